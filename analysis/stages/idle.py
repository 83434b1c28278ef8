"""Why each device was idle: every gap in the union of its work, divided among causes in time.

A gap ends when work starts. The rule looks at the launch of that work, and walks back in time on the thread that
launched it; a gap at the end of the window is ended by the first work after it, or by nothing (then the thread is the
one that launches most, as it is for the gaps of all but the 32 threads that end most of them). With ``c0`` and ``c1``
the start and end of the launch call, and *ready* = the later of ``c1`` and ``c0`` + 20 µs (no launch onto an idle GPU
usually takes longer):

1. ``unrecorded``: stretches in which the recorder lost device rows, whatever the host did.
2. From ``c0`` to the end of the gap the work had been launched and had not started. Until *ready* that is ``launch``
   (``memcpy`` where the work is a copy). What comes after it is, up to 100 µs, ``stream_dependency`` where the work had
   something to wait for (the gap began with the end of work on another stream and not of its own, or a wait-event call
   came between the launch and the one before it on the same thread), else ``launch`` (``memcpy``) as well, as
   between two kernels that were queued. A longer stretch is ``stream_dependency`` while another device worked, else
   ``unexplained``: nothing that was recorded kept the work from starting.
3. Before ``c0`` the host had not launched the work. Each instant goes to the first of these in which the launching
   thread was: a Synchronize call (``sync``: the device had finished, the call had not returned; ``unexplained`` in
   stretches over 100 µs of waiting while no device did anything that was recorded); a copy call (``memcpy``); the
   DataLoader (``dataloader``); a launch call (``launch``); an operator or another runtime call (``host_operator``).
4. Where that thread was in none of them, it may have been waiting for another host thread, as the autograd thread
   does for the main one: the instant goes to the first of the same list in which any of the other threads was that
   launch work, fetch data or hold the steps.
5. What is left is ``host_python``: the host ran, and was in no operator. In a trace without operators it is
   ``unexplained``, and so is a gap ended by work whose launch is not in the trace (but for 1. and other devices).

Every instant is given away once, so the causes of a device sum to its idle time to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import both, grouped, numbered, rows_named, without
from stallscope.analysis.contract.idle import IDLE_CAUSES
from stallscope.analysis.stages.activity import is_dataloader
from stallscope.analysis.stages.sync import LONG_WAIT_NS, long_waits_without_work
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model import fields as names
from stallscope.traces.model.fields import CALLS, COPIES, LAUNCHES, CallKind, Category
from stallscope.traces.model.trace import Bools, Ints, Trace

START_NS: Final = 20_000  # from a launch call's start to the work's start on an idle device, at most, usually
MOST_THREADS: Final = 32  # launching threads told apart
NEVER: Final = np.iinfo(np.int64).max
ON_HOST: Final = ("unexplained", "sync", "memcpy", "dataloader", "launch", "host_operator")  # in order of rank


@dataclass(frozen=True, slots=True)
class DeviceIdle:
    """The idle time of one device in the window: the stretches of each cause, no instant in two of them."""

    device: int
    spans: dict[str, Intervals]  # by name of the cause, all of ``IDLE_CAUSES``

    def ns(self, cause: str) -> int:
        """How long the device idled for the cause of that name, ns."""
        return intervals.total(self.spans[cause])

    @property
    def total(self) -> int:
        """Sum of the causes, ns."""
        return sum(map(self.ns, self.spans))

    def conserved(self, window: Window, busy_ns: int) -> bool:
        """Whether the causes sum to the idle time, to the nanosecond, and no instant has two."""
        together = intervals.join(*self.spans.values())
        return self.total + busy_ns == window.length and intervals.total(together) == self.total


@dataclass(frozen=True, slots=True)
class Gaps:
    """The idle gaps of one device, g of them, and what ended each."""

    starts: Ints
    ends: Ints
    launch_start: Ints  # of the call that launched the ending work; NEVER: no work; -1: no call in the trace
    ready: Ints  # when the ending work should have started
    thread: Ints  # that launched it; the busiest one where there is no call
    is_copy: Bools
    waits: Bools  # the ending work had something else to wait for


def find_idle(
    trace: Trace, window: Window, launches: Launches, blocking: Ints, lost: Intervals | None = None
) -> tuple[DeviceIdle, ...]:
    """The idle account of every device that worked in the window, by ordinal.

    ``blocking`` are the event rows of calls in which the host waited; ``lost`` the stretches without device rows.
    """
    host = Host(trace, window, launches, blocking)
    rows = trace.work.row
    active = window.holds(trace.events.ts_ns[rows]) | (window.durations(trace, rows) > 0)
    lost = intervals.empty() if lost is None else lost
    devices = np.unique(trace.work.device[active]).tolist()
    if not devices:  # no device worked: one that was idle throughout
        return (_divide(0, host, _endless(window, host), lost),)
    return tuple(_divide(d, host, _find_gaps(trace, window, launches, d, host), lost) for d in devices)


def _divide(device: int, host: Host, gaps: Gaps, lost: Intervals) -> DeviceIdle:
    """Divide the gaps of one device among the causes."""
    known = gaps.launch_start >= 0
    launched = np.where(known, np.clip(gaps.launch_start, gaps.starts, gaps.ends), gaps.starts)
    held = {cause.name: [intervals.empty()] for cause in IDLE_CAUSES}
    for cause, stretches in _after_launch(device, host, gaps, launched):
        held[cause].append(stretches)
    for thread, mine in _by_thread(gaps.thread, np.flatnonzero(known & (launched > gaps.starts)), host.main):
        for cause, stretches in host.divide(thread, intervals.union(gaps.starts[mine], launched[mine])):
            held[cause].append(stretches)
    spans = {cause: intervals.subtract(intervals.join(*parts), lost) for cause, parts in held.items()}
    spans["unrecorded"] = intervals.intersect(intervals.union(gaps.starts, gaps.ends), lost)
    return DeviceIdle(device, spans)


def _after_launch(device: int, host: Host, gaps: Gaps, launched: Ints) -> Iterator[tuple[str, Intervals]]:
    """The part of each gap in which the work that ends it had been launched, by cause; all of one without a launch."""
    known, ready = gaps.launch_start >= 0, np.clip(gaps.ready, launched, gaps.ends)
    short = known & (gaps.ends - ready <= LONG_WAIT_NS)
    late = _chosen(ready, gaps.ends, ~short)
    elsewhere = intervals.intersect(late, host.working_elsewhere(device))
    yield "stream_dependency", elsewhere
    yield "unexplained", intervals.subtract(late, elsewhere)
    yield "stream_dependency", _chosen(ready, gaps.ends, short & gaps.waits)
    for cause, ended in (("memcpy", gaps.is_copy), ("launch", ~gaps.is_copy)):
        yield cause, _chosen(launched, ready, known & ended)
        yield cause, _chosen(ready, gaps.ends, short & ended & ~gaps.waits)


def _chosen(starts: Ints, ends: Ints, chosen: Bools) -> Intervals:
    return intervals.union(starts[chosen], ends[chosen])


def _by_thread(thread: Ints, chosen: Ints, main: int) -> list[tuple[int, Ints]]:
    """The chosen gaps by the thread that ended them; those of the threads with fewest as the main thread's."""
    groups = sorted(grouped(thread[chosen]), key=lambda group: (-len(group[1]), group[0]))
    kept = [(number, chosen[members]) for number, members in groups[:MOST_THREADS]]
    rest = [chosen[members] for _, members in groups[MOST_THREADS:]]
    return [*kept, (main, np.concatenate(rest))] if rest else kept


def _endless(window: Window, host: Host) -> Gaps:
    """The whole window as one gap that nothing ends."""
    bounds = window.span
    never, no = np.full(len(bounds), NEVER), np.zeros(len(bounds), dtype=np.bool_)
    return Gaps(bounds.starts, bounds.ends, never, never, np.full(len(bounds), host.main), no, no)


def _find_gaps(trace: Trace, window: Window, launches: Launches, device: int, host: Host) -> Gaps:
    """The gaps of one device and what ended each."""
    work = np.flatnonzero(trace.work.device == device)  # ascending in time
    rows = trace.work.row[work]
    starts, ends = trace.events.ts_ns[rows], trace.events.end_ns[rows]
    idle = intervals.subtract(window.span, window.cover(trace, rows))
    place = np.searchsorted(starts, idle.ends, side="left")
    exists = place < len(work)
    ender = work[np.minimum(place, len(work) - 1)]
    call = np.where(exists, launches.work_call[ender], -1)
    waits = _after_another_stream(trace.work.stream[work], ends, idle.starts, trace.work.stream[ender])
    launch_start = np.where(exists, np.where(call >= 0, trace.events.ts_ns[call], -1), NEVER)
    ready = np.maximum(trace.events.end_ns[call], trace.events.ts_ns[call] + START_NS)
    return Gaps(
        starts=idle.starts,
        ends=idle.ends,
        launch_start=launch_start,
        ready=np.where(call >= 0, ready, np.where(exists, -1, NEVER)),
        thread=np.where(call >= 0, trace.events.thread[call], host.main),
        is_copy=exists & (trace.events.category[trace.work.row[ender]] == Category.MEMCPY),
        waits=exists & (waits | host.waits_for_event(call)),
    )


def _after_another_stream(streams: Ints, ends: Ints, moments: Ints, own: Ints) -> Bools:
    """Whether work ended at each moment, and none of it on the stream ``own``."""
    distinct, stream = numbered(np.concatenate((streams, own)))
    _, at = np.unique(np.concatenate((ends, moments)), return_inverse=True)
    pairs = at.reshape(-1) * len(distinct) + stream
    ended = np.isin(at.reshape(-1)[len(ends) :], at.reshape(-1)[: len(ends)])
    found: Bools = ended & ~np.isin(pairs[len(ends) :], pairs[: len(ends)])
    return found


class Host:
    """What each host thread was doing."""

    def __init__(self, trace: Trace, window: Window, launches: Launches, blocking: Ints) -> None:
        self._trace = trace
        events = trace.events
        self._operators = events.rows(Category.CPU_OP)
        ranges = events.rows(Category.ANNOTATION, Category.CPU_OP)
        started, copies = events.calls(*LAUNCHES), events.calls(*COPIES)
        waits = without(blocking, copies)
        self._hollow = long_waits_without_work(window.cover(trace, waits), window.cover(trace, trace.work.row))
        self._event_waits = events.calls(CallKind.STREAM_WAIT)
        self._launching = both(started, launches.work_call[launches.work_call >= 0])
        steps = rows_named(trace, ranges, lambda name: names.step_number(name) is not None)
        fetches = rows_named(trace, ranges, is_dataloader)
        owners = np.concatenate((events.thread[self._launching], events.thread[steps], events.thread[fetches]))
        self._threads = np.unique(owners).tolist()
        self.main = int(np.bincount(events.thread[self._launching]).argmax()) if len(self._launching) else -1
        self._kinds = (waits, copies, fetches, started, np.concatenate((self._operators, events.rows(*CALLS))))

    def working_elsewhere(self, device: int) -> Intervals:
        """When another device worked."""
        rows = self._trace.work.row[self._trace.work.device != device]
        return intervals.union(self._trace.events.ts_ns[rows], self._trace.events.end_ns[rows])

    def waits_for_event(self, calls: Ints) -> Bools:
        """Whether a wait-event call came between each launch call and the one before it on its thread."""
        waited = np.zeros(len(calls), dtype=np.bool_)
        threads = self._trace.events.thread
        known = np.flatnonzero(calls >= 0)
        asked, launched = dict(grouped(threads[calls[known]])), dict(grouped(threads[self._launching]))
        for thread, members in grouped(threads[self._event_waits]):
            waits, here = self._event_waits[members], known[asked.get(thread, known[:0])]
            mine = self._launching[launched.get(thread, known[:0])]
            last = np.searchsorted(mine, calls[here], side="left") - 1
            since = np.where(last >= 0, mine[np.maximum(last, 0)], -1)
            waited[here] = np.searchsorted(waits, calls[here]) > np.searchsorted(waits, since, side="right")
        return waited

    def divide(self, thread: int, left: Intervals) -> Iterator[tuple[str, Intervals]]:
        """The stretches before a launch by what ``thread`` was doing, else another that matters, by cause."""
        for threads in ([thread], [other for other in self._threads if other != thread]):
            for cause, doing in zip(ON_HOST, self._doing(threads), strict=True):
                yield cause, intervals.intersect(left, doing)
                left = intervals.subtract(left, doing)
        yield "host_python" if len(self._operators) else "unexplained", left

    def _doing(self, threads: list[int]) -> list[Intervals]:
        """When any of the threads was in each of the kinds of ``ON_HOST``."""
        covers = [self._cover(rows, threads) for rows in self._kinds]
        return [intervals.intersect(covers[0], self._hollow), *covers]

    def _cover(self, rows: Ints, threads: list[int]) -> Intervals:
        chosen = rows[np.isin(self._trace.events.thread[rows], threads)]
        return intervals.union(self._trace.events.ts_ns[chosen], self._trace.events.end_ns[chosen])
