"""Where the host waits for the device, and where else a call stops it: the ledger.

``sync_calls`` are the Synchronize calls. The *sync stall* is host time blocked waiting for the device: those calls,
less the profiler's own, plus copies that block. The ledger lists these and what else holds the host up, by kind:

    synchronize    Device-, Stream-, Event- and CtxSynchronize
    copy           copies that block (``memcpy.py``)
    allocation     cudaMalloc, cudaFree, cudaHostAlloc … and their HIP and driver forms: slow, and some wait for the GPU
    queue_full     launches that waited for room in the queue (``queue.py``)
    graph_launch   launches of CUDA and HIP graphs, which take long for each node

Polling (``cudaEventQuery``) is no wait, nor is ``.item()`` on a CPU tensor, which makes no call. The profiler's own
is a DeviceSynchronize in no operator that opens or closes the recording: the first or last call of the file, outside
every step.

*Blocked* is the time in the call, *waited* what is left of it without the call's own cost (``awaited.py``). *Idle
after* is how long no device works from the moment on at which the work ran out while the host was in the call, until
some works again, or the host turns to the DataLoader, which is not the call's doing; a call that came when the queue
was empty already only adds the time that it takes itself. No idle instant is counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import both, rows_named, without
from stallscope.analysis.stages import awaited
from stallscope.analysis.stages.activity import is_dataloader
from stallscope.analysis.stages.awaited import Awaited
from stallscope.analysis.stages.memcpy import Copies
from stallscope.analysis.stages.queue import Queue
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.operators import Operators
from stallscope.analysis.stages.where.places import Place, Places
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import ALLOCATES, CALLS, SYNCHRONIZES, CallKind, Category, Direction
from stallscope.traces.model.trace import Bools, Ints, OptionalInts, Trace

LONG_WAIT_NS = 100_000  # returning from a wait, or a kernel's start, takes some 10 µs; an idle GPU this long does not
STALLS: Final = ("synchronize", "copy")  # kinds that make up the sync stall


@dataclass(frozen=True, slots=True)
class Site:
    """Calls of one kind and name from one place; ns over the window."""

    kind: str
    api: str
    place: Place
    by_profiler: bool
    calls: int  # that start inside the window
    blocked_ns: int  # sum of durations inside the window
    waited_ns: int  # of that, beyond what the calls cost by themselves
    idle_after_ns: int | None  # None: it is not such a call as the device can be waiting for
    lag_ns: float | None  # median queue-drain lag
    drained_share: float | None  # of the calls: the queue was empty when it came
    waited_for: str | None  # the kernel or copy that most often ended the wait
    waited_way: Direction = Direction.unknown  # of that copy

    @property
    def operator(self) -> str | None:
        """The operator as the user wrote it."""
        return self.place.operator


@dataclass(frozen=True, slots=True)
class Syncs:
    """The waits of the window."""

    calls: int  # Synchronize calls that start inside
    call_ns: int  # union of Synchronize calls
    stall: Intervals  # host blocked waiting for the device, the profiler's own waits left out
    blocking: Ints  # event rows, trace-wide, of the calls that make up the stall
    sites: tuple[Site, ...]  # most time first, the profiler's own last
    ledger_ns: int  # sum of the durations of everything listed, inside the window
    idle_ns: int  # no device works, and the host fetches no data
    ledger: Entries  # every call that the sites are made of, trace-wide
    by_profiler: Ints  # event rows of the profiler's own Synchronize calls

    def conserved(self) -> bool:
        """Whether the sites account for the whole stall, every call listed, and no more idling than there is."""
        stalls = sum(s.blocked_ns for s in self.sites if s.kind in STALLS and not s.by_profiler)
        return (
            stalls >= intervals.total(self.stall)
            and sum(s.blocked_ns for s in self.sites) == self.ledger_ns
            and all(0 <= s.waited_ns <= s.blocked_ns for s in self.sites)
            and sum(s.idle_after_ns or 0 for s in self.sites) <= self.idle_ns
        )


def find_syncs(trace: Trace, window: Window, launches: Launches, copies: Copies, places: Places, queue: Queue) -> Syncs:
    """The synchronizing calls, blocking copies and other calls of the window that held the host up."""
    synchronize = trace.events.calls(*SYNCHRONIZES)
    own = _profilers_own(trace, window, places.operators)
    blocking = both(without(synchronize, own), copies.blocking_calls)
    fetches = rows_named(trace, trace.events.rows(Category.CPU_OP, Category.ANNOTATION), is_dataloader)
    busy = intervals.join(window.cover(trace, trace.work.row), window.cover(trace, fetches))
    idle = intervals.subtract(window.span, busy)
    ledger = _entries(trace, launches, synchronize, copies.blocking_calls, queue)
    entries = ledger.seen(trace, window)
    idle_after = np.zeros(len(entries.rows), dtype=np.int64)
    leaves_idle = np.isin(entries.rows, blocking) | ((entries.kind == "allocation") & (entries.waits.work >= 0))
    idle_after[leaves_idle] = _idle_after(trace, window, entries.rows[leaves_idle], idle)
    sites = _sites(trace, window, places, entries, np.where(leaves_idle, idle_after, -1), own)
    return Syncs(
        calls=int(window.holds(trace.events.ts_ns[synchronize]).sum()),
        call_ns=intervals.total(window.cover(trace, synchronize)),
        stall=window.cover(trace, blocking),
        blocking=blocking,
        sites=tuple(sorted(sites, key=_rank)),
        ledger_ns=int(window.durations(trace, entries.rows).sum()),
        idle_ns=intervals.total(idle),
        ledger=ledger,
        by_profiler=own,
    )


def long_waits_without_work(stall: Intervals, busy: Intervals) -> Intervals:
    """Stretches over 100 µs in which the host waited while no recorded work ran on any device.

    Nothing in the trace explains such a wait: the kernels it waited for were not recorded, or another process held
    the device.
    """
    alone = intervals.subtract(stall, busy)
    long = alone.ends - alone.starts > LONG_WAIT_NS
    return Intervals(alone.starts[long], alone.ends[long])


def waits_without_work(stall: Intervals, busy: Intervals) -> int:
    """Nanoseconds of such stretches."""
    return intervals.total(long_waits_without_work(stall, busy))


def _rank(site: Site) -> tuple[bool, bool, int, str, str, str]:
    """Waits before other calls, most time first."""
    where = f"{site.place.chain} {site.place.module} {site.place.function} {site.place.thread}"
    return site.by_profiler, site.kind not in STALLS, -site.blocked_ns, site.api, site.operator or "", where


def _profilers_own(trace: Trace, window: Window, operators: Operators) -> Ints:
    """The DeviceSynchronize rows that open or close the recording, at most two.

    The first and the last of the file, each only if it is in no operator, outside every step, and the first or last
    call of its thread (other threads, such as NCCL's watchdog, go on polling).
    """
    calls, device_wide = trace.events.rows(*CALLS), trace.events.calls(CallKind.DEVICE_SYNC)
    found = []
    for edge in (0, -1) if len(device_wide) else ():
        row = int(device_wide[edge])
        same_thread = calls[trace.events.thread[calls] == trace.events.thread[row]]
        inside = window.from_steps and bool(window.holds(trace.events.ts_ns[[row]])[0])
        if same_thread[edge] == row and operators.parent[row] < 0 and not inside:
            found.append(row)
    return np.unique(np.array(found, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Entries:
    """The calls of the ledger, k of them, ascending."""

    rows: Ints
    kind: np.ndarray[tuple[int], np.dtype[np.str_]]
    waits: Awaited

    def of(self, chosen: Ints | Bools) -> Entries:
        """Those of the entries, in this order."""
        waits = Awaited(self.waits.work[chosen], self.waits.lag_ns.of(chosen), self.waits.waited_ns[chosen])
        return Entries(self.rows[chosen], self.kind[chosen], waits)

    def seen(self, trace: Trace, window: Window) -> Entries:
        """Those that start in the window, or last into it."""
        return self.of(window.holds(trace.events.ts_ns[self.rows]) | (window.durations(trace, self.rows) > 0))


def _entries(trace: Trace, launches: Launches, synchronize: Ints, copies: Ints, queue: Queue) -> Entries:
    """Every call of the ledger, trace-wide, with what it waited for. No call is in it twice."""
    allocations = trace.events.calls(*ALLOCATES)
    free = ~np.isin(queue.blocked_calls, copies)
    full = queue.blocked_calls[free]
    graphs = without(trace.events.calls(CallKind.GRAPH_LAUNCH), full)
    none = np.zeros(len(full) + len(graphs), dtype=np.int64)
    nothing = OptionalInts(none, none.astype(np.bool_))
    waited = np.concatenate((queue.blocked_ns[free], np.zeros(len(graphs), dtype=np.int64)))
    parts = (
        awaited.find_awaited(trace, launches, synchronize),
        awaited.find_awaited_by_copies(trace, launches, copies),
        awaited.find_awaited_by_allocations(trace, launches, allocations),
        Awaited(none - 1, nothing, waited),
    )
    lag = OptionalInts(
        np.concatenate([part.lag_ns.values for part in parts]), np.concatenate([part.lag_ns.known for part in parts])
    )
    waits = Awaited(
        np.concatenate([part.work for part in parts]), lag, np.concatenate([part.waited_ns for part in parts])
    )
    rows = (synchronize, copies, allocations, full, graphs)
    kinds = ("synchronize", "copy", "allocation", "queue_full", "graph_launch")
    made = Entries(np.concatenate(rows), np.repeat(kinds, [len(each) for each in rows]), waits)
    return made.of(np.argsort(made.rows, kind="stable"))


def _idle_after(trace: Trace, window: Window, rows: Ints, idle: Intervals) -> Ints:
    """Idle time that each of the calls (ascending) leaves behind, ns; no instant is given to two."""
    found = np.zeros(len(rows), dtype=np.int64)
    if not len(rows) or not len(idle):
        return found
    starts, ends = trace.events.ts_ns[rows], trace.events.end_ns[rows]
    reach = np.maximum.accumulate(ends)
    furthest = np.maximum.accumulate(np.where(ends == reach, np.arange(len(rows)), 0))
    place = np.searchsorted(starts, idle.starts, side="right") - 1
    owner = np.where(place >= 0, furthest[np.maximum(place, 0)], -1)
    in_call = (owner >= 0) & (ends[owner] >= idle.starts) & (idle.starts > window.start)
    lasts = in_call & (idle.ends >= ends[owner])  # else the wait went on: work was still to come
    np.add.at(found, owner[lasts], (idle.ends - idle.starts)[lasts])
    free = Intervals(idle.starts[~in_call], idle.ends[~in_call])
    begins = np.maximum(starts, np.concatenate(([starts[0]], reach[:-1])))  # what an earlier call covers is its own
    begins = np.minimum(begins, ends)
    found += intervals.covered_before(free, ends) - intervals.covered_before(free, begins)
    return found


def _sites(trace: Trace, window: Window, places: Places, entries: Entries, idle_after: Ints, own: Ints) -> list[Site]:
    """The ledger's calls grouped by kind, call and place."""
    found_at = places.of(entries.rows)
    own_rows = set(own.tolist())
    groups: dict[tuple[str, str, Place, bool], list[int]] = {}
    for i, (row, kind, place) in enumerate(zip(entries.rows.tolist(), entries.kind.tolist(), found_at, strict=True)):
        groups.setdefault((kind, trace.name_of(row), place, row in own_rows), []).append(i)
    blocked = window.durations(trace, entries.rows)
    inside = window.holds(trace.events.ts_ns[entries.rows])
    waited = np.minimum(entries.waits.waited_ns, blocked)
    found = []
    for key, members in groups.items():
        chosen = np.array(members, dtype=np.int64)
        known = entries.waits.lag_ns.known[chosen]
        lags = entries.waits.lag_ns.values[chosen][known]
        waited_for, waited_way = _most_frequent(trace, entries.waits.work[chosen].tolist())
        found.append(
            Site(
                *key,
                calls=int(inside[chosen].sum()),
                blocked_ns=int(blocked[chosen].sum()),
                waited_ns=int(waited[chosen].sum()),
                idle_after_ns=int(np.maximum(idle_after[chosen], 0).sum()) if (idle_after[chosen] >= 0).any() else None,
                lag_ns=float(np.median(lags)) if len(lags) else None,
                drained_share=float((lags <= 0).mean()) if len(lags) else None,
                waited_for=waited_for,
                waited_way=waited_way,
            )
        )
    return found


def _most_frequent(trace: Trace, work: Sequence[int]) -> tuple[str | None, Direction]:
    """The name that most of the device rows carry, the first in order of text among equals; the way of such a copy."""
    waited = ((trace.name_of(int(trace.work.row[i])), int(trace.work.direction[i])) for i in work if i >= 0)
    counts = Counter(waited)
    name, direction = min(counts, key=lambda key: (-counts[key], key)) if counts else (None, Direction.unknown)
    return name, Direction(direction)
