"""What each step of a trace did, counted: exact integers by step, and every wait with its place.

A step holds what the host called in it: device rows belong to the step of the call that started them. Steps that the
recorder cut short, and evaluations, do not count; long ones do: an allocation may be what made them long.

*A wait* is what one operator waits: the copy and the Synchronize call of one ``.item()`` are one wait. Synchronize
calls in no operator are one each, the profiler's own none. A copy that returns early or late by chance (to the device,
from pageable memory) is no wait by itself: it is counted as a pageable copy. *A read* is a wait that brings a value to
the host. On a run without a GPU waits are the calls of the script that would wait on one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.causes.waits import BY_CALL
from stallscope.analysis.check.launches import LaunchRange, predict_launches
from stallscope.analysis.columns.rows import named
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.step_times import evaluation_steps
from stallscope.analysis.stages.sync import STALLS
from stallscope.analysis.stages.where.joined import Joined
from stallscope.analysis.stages.where.launches import launched_at
from stallscope.traces.model.fields import ALLOCATES, SYNCHRONIZES, CallKind, Category, Direction, Memory
from stallscope.traces.model.manifest import IF_COPIED, Manifest
from stallscope.traces.model.trace import Bools, Ints

UPLOADS: Final = ("to_device", "tensor_to_device")
NOT_READS: Final = (*UPLOADS, "synchronize")
READ: Final = "aten::_local_scalar_dense"  # of one value, whichever copy the vendor makes of it


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait of one step."""

    step: int  # of those that count, from 0
    line: str | None  # "train.py:88"; None: not known
    called: str | None
    what: str  # where no line is known: the operator, or the call
    is_read: bool
    is_sure: bool = True  # False: it waits only if there is something to copy


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of the steps that count, c of them; a figure that is missing is unknown."""

    steps: int
    by_step: dict[str, Ints]  # (c,) each
    waits: tuple[Wait, ...] | None  # None: unknown
    waits_steps: int  # steps that the waits are of: without a GPU those of the attribution window
    predicted: bool  # no GPU was used
    launches: LaunchRange | None = None  # that one would make; None: there was one, or no steps


def find_counts(stages: Stages, manifest: Manifest | None) -> Counts:
    """Count what each step did."""
    chosen = _steps(stages, manifest)
    predicted = stages.trace.vendor == "cpu"
    joined = stages.places.joined
    if predicted:
        waits = None if joined is None else _would_wait(joined)
    else:
        waits = _waits(stages, chosen) if stages.launches.known else None
    return Counts(
        steps=int(chosen.sum()),
        by_step={} if predicted and not stages.window.from_steps else _by_step(stages, chosen),
        waits=waits,
        waits_steps=joined.steps if predicted and joined is not None else int(chosen.sum()),
        predicted=predicted,
        launches=_predicted(stages, chosen) if predicted and stages.window.from_steps else None,
    )


def _predicted(stages: Stages, chosen: Bools) -> LaunchRange:
    step = _Tally(stages, chosen).step(stages.trace.events.ts_ns[stages.operators.rows])
    return predict_launches(stages, step, int(chosen.sum()))


def _steps(stages: Stages, manifest: Manifest | None) -> Bools:
    """Which steps of the host's window count, (s,)."""
    counts = stages.window.whole.copy()
    counts[[at for at in evaluation_steps(stages.trace.path, manifest) if at < len(counts)]] = False
    return counts if counts.any() else np.ones_like(counts)


class _Tally:
    """Counts instants by step."""

    def __init__(self, stages: Stages, chosen: Bools) -> None:
        self._window, self._chosen = stages.window, chosen

    def step(self, ts_ns: Ints) -> Ints:
        """The step of each instant among those that count; -1: in none of them."""
        window = self._window
        at = np.clip(np.searchsorted(window.step_starts, ts_ns, side="right") - 1, 0, window.count - 1)
        number = np.where(self._chosen, np.cumsum(self._chosen) - 1, -1)
        return np.where(window.holds(ts_ns), number[at], -1)

    def of(self, ts_ns: Ints, weights: Ints | None = None) -> Ints:
        """How many of them, or what they weigh together, in each step, (c,)."""
        found = np.zeros(int(self._chosen.sum()), dtype=np.int64)
        step = self.step(ts_ns)
        np.add.at(found, step[step >= 0], 1 if weights is None else weights[step >= 0])
        return found


def _by_step(stages: Stages, chosen: Bools) -> dict[str, Ints]:
    tally, events = _Tally(stages, chosen), stages.trace.events
    found = {"operators": tally.of(events.ts_ns[events.rows(Category.CPU_OP)])}
    if stages.launches.known:
        found |= _of_host(stages, tally)
    if stages.measured and stages.trace.vendor != "cpu":
        found |= _of_device(stages, tally)
    return found


def _of_host(stages: Stages, tally: _Tally) -> dict[str, Ints]:
    events, calls = stages.trace.events, stages.launches.calls

    def of(rows: Ints) -> Ints:
        return tally.of(events.ts_ns[rows])

    graphs = events.is_call(calls, CallKind.GRAPH_LAUNCH)
    captures = [of(events.calls(kind)) for kind in (CallKind.CAPTURE_BEGIN, CallKind.GRAPH_INSTANTIATE)]
    return {
        "launches": of(calls),
        "kernel_launches": of(calls[~graphs]),
        "graph_launches": of(calls[graphs]),
        "sync_calls": of(events.calls(*SYNCHRONIZES)),
        "allocations": of(events.calls(*ALLOCATES)),
        "graph_captures": np.maximum(*captures),
    }


def _of_device(stages: Stages, tally: _Tally) -> dict[str, Ints]:
    work, category = stages.trace.work, stages.trace.events.category[stages.trace.work.row]
    at = launched_at(stages.trace, stages.launches)
    copies = category == Category.MEMCPY

    def of(chosen: Bools) -> Ints:
        return tally.of(at[chosen])

    found = {
        "kernels": of(category == Category.KERNEL),
        "memcpys": of(copies),
        "memsets": of(category == Category.MEMSET),
        "pageable_copies": of(copies & (work.memory == Memory.pageable)),
    }
    for name, direction in (("h2d_bytes", Direction.HtoD), ("d2h_bytes", Direction.DtoH)):
        this_way = copies & (work.direction == direction)
        if work.bytes.known[this_way].all():
            found[name] = tally.of(at[this_way], work.bytes.values[this_way])
    return found


def _waits(stages: Stages, chosen: Bools) -> tuple[Wait, ...]:
    """The waits of a run on a GPU, each operator's once."""
    trace, ledger = stages.trace, stages.syncs.ledger
    by_copy = _copy_kinds(stages)
    own = set(stages.syncs.by_profiler.tolist())
    kept = [
        row
        for row, kind in zip(ledger.rows.tolist(), ledger.kind.tolist(), strict=True)
        if kind in STALLS and row not in own and by_copy.get(row) != "early or late"
    ]
    rows = np.array(kept, dtype=np.int64)
    step = _Tally(stages, chosen).step(trace.events.ts_ns[rows])
    rows, step = rows[step >= 0], step[step >= 0]
    parents = stages.operators.parent[rows]
    groups: dict[tuple[str, int], list[int]] = {}
    for i, (row, parent) in enumerate(zip(rows.tolist(), parents.tolist(), strict=True)):
        groups.setdefault(("operator", parent) if parent >= 0 else ("call", row), []).append(i)
    places = stages.places.of(rows)
    local = set(rows[named(trace, parents, lambda name: name == READ)].tolist())
    reads = {row for row in rows.tolist() if by_copy.get(row) == "read"} | local | _reading(stages, by_copy, rows)
    return tuple(
        Wait(
            step=int(step[members[0]]),
            line=places[members[0]].call_site,
            called=site.called if (site := places[members[0]].site) else None,
            what=places[members[0]].operator or trace.name_of(int(rows[members[0]])),
            is_read=any(int(rows[i]) in reads for i in members),
        )
        for members in groups.values()
    )


def _copy_kinds(stages: Stages) -> dict[int, str]:
    """Copy calls, by event row, that read values back, and those from pageable memory that may return early."""
    trace, calls = stages.trace, stages.launches.work_call
    copies = (trace.events.category[trace.work.row] == Category.MEMCPY) & (calls >= 0)
    found = dict.fromkeys(calls[copies & (trace.work.direction == Direction.DtoH)].tolist(), "read")
    uploads = copies & (trace.work.direction == Direction.HtoD)
    soft = calls[uploads][trace.events.is_call(calls[uploads], CallKind.COPY_ASYNC)]
    return found | dict.fromkeys(soft.tolist(), "early or late")


def _reading(stages: Stages, by_copy: dict[int, str], rows: Ints) -> set[int]:
    """Waits in an operator that also made a copy to the host, which need not have waited by itself."""
    parent = stages.operators.parent
    around = {int(parent[row]) for row, kind in by_copy.items() if kind == "read"} - {-1}
    return {row for row in rows.tolist() if int(parent[row]) in around}


def _would_wait(joined: Joined) -> tuple[Wait, ...]:
    """The calls of a run without a GPU that would wait on one, one each."""
    found = []
    for number, name in enumerate(joined.site_names):
        if not name.would_synchronize:
            continue
        is_read = BY_CALL.get(name.called) not in NOT_READS
        for step, calls in enumerate(joined.site_in_steps[number].tolist()):
            wait = Wait(step, name.line, name.called, name.called, is_read, name.called not in IF_COPIED)
            found += [wait] * calls
    return tuple(found)
