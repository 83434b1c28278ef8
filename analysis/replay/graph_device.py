"""The device's half of the graph: kernels, copies and memsets in stream order, and what each had to wait for.

*Launch latency*: from the start of the launch call (or its end, whichever varies less) to the start of its work, the
median over launches onto an idle stream, for kernels, copies and memsets apart. *Gap*: between the end of a piece of
work and the start of the next on its stream, the mean over those that were queued for 15 µs or more; work that overlaps
the one before it on its stream (programmatic dependent launch, ROCm) keeps its own, negative gap.

*Carried* work was launched before the window and runs, or waits in the queue, while it lasts: it starts when its stream
is free, and as measured only where a gap stood before it. The same holds of *orphans*, work whose launch is not in the
trace, but that what starts after a gap follows the host, whoever launched it.

Work that starts over 10 µs later than both allow waited for something else: for work on another stream of its device if
some ended just before (12 µs, 40 µs after waits over 100 µs), else for nothing that was recorded: it is *late*.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from stallscope.analysis.columns.rows import grouped, numbered
from stallscope.analysis.replay.graph import NEVER, Constants, Kind, Small, Work
from stallscope.analysis.stages.doubts import zero_durations
from stallscope.analysis.stages.sync import LONG_WAIT_NS
from stallscope.analysis.stages.where.launches import Launches, stream_numbers
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import Category, Direction, KernelFamily
from stallscope.traces.model.trace import ROUNDING_NS, Bools, Ints, Trace

QUEUED_NS: Final = 15_000  # launched that long before the work before it ended: it was queued
LONGEST_GAP_NS: Final = 10_000  # between queued kernels; what takes longer waits for something
OVERLAP_NS: Final = -ROUNDING_NS  # this is no overlap
LATE_NS: Final = 10_000
NEAR_NS: Final = 12_000
SLACK_NS: Final = 2_000  # work may start while the last blocks of what it waits for run out
NEAR_LONG_NS: Final = 40_000
SLOW: Final = 3  # times the usual call
ENOUGH: Final = 3  # samples of a latency
ASSUMED_LAUNCH_NS: Final = 8_000  # launch latency where the trace shows none
ASSUMED_GAP_NS: Final = 1_300


class Device(msgspec.Struct, frozen=True):
    """k pieces of device work, by stream and in order of start; times in ns after the start of the window."""

    work: Ints  # (k,) index into ``trace.work``
    stream: Ints  # (k,) from 0
    start: Ints
    end: Ints
    kind: Small
    classes: Small
    call: Ints  # (k,) event row of the launch call, -1: none in the window
    carried: Bools
    release: Ints  # (k,) its own start where there is no call and a gap before it; else NEVER
    latency: Ints  # (k,) launch latency
    from_end: Bools  # (k,) it counts from the end of the call
    gap: Ints
    staging: Ints  # (k,) of its call the host spent staging a copy, before the call proper
    other: Ints  # (k,) place of the work on another stream that it waited for, -1: none
    late_ns: int
    launch_ns: int | None
    launch_from_end: bool
    gap_ns: int | None

    def __len__(self) -> int:
        return len(self.work)

    def constants(self, sync_return_ns: int | None, launch_call_ns: int | None, depth: int | None) -> Constants:
        """The latencies of the trace."""
        return Constants(
            launch_ns=self.launch_ns,
            launch_from_end=self.launch_from_end,
            gap_ns=self.gap_ns,
            sync_return_ns=sync_return_ns,
            launch_call_ns=launch_call_ns,
            queue_depth=depth,
        )


class _Rows(msgspec.Struct, frozen=True):
    """The work as measured, by stream and start."""

    work: Ints
    stream: Ints
    start: Ints
    end: Ints
    call: Ints
    call_start: Ints
    call_end: Ints
    previous: Ints  # end of the work before it on its stream, NEVER for the first

    @property
    def launched(self) -> Bools:
        return self.call >= 0

    @property
    def follows_closely(self) -> Bools:
        """No gap stood before it on its stream."""
        closely: Bools = (self.previous > NEVER) & (self.start - self.previous <= LONGEST_GAP_NS)
        return closely


def find_device(trace: Trace, window: Window, launches: Launches, blocking: Ints) -> Device:
    """The device work of a window; ``blocking`` are the event rows of copy calls that block."""
    rows, carried = _rows(trace, window, launches)
    categories = trace.events.category[trace.work.row[rows.work]]
    kind = (categories.astype(np.int64) - int(Category.KERNEL) + int(Kind.KERNEL)).astype(np.uint8)
    latency, from_end, launch = _latencies(rows, kind)
    _slow_calls(rows, latency, from_end, np.isin(rows.call, blocking))
    gap, gap_ns = _gaps(rows)
    staging = _staging(trace, rows, blocking, latency, from_end)
    other, behind, late = _waits(trace, rows, latency, from_end, gap, staging)
    return Device(
        work=rows.work,
        stream=rows.stream,
        start=rows.start,
        end=rows.end,
        kind=kind,
        classes=_classes(trace, rows.work, kind),
        call=rows.call,
        carried=carried,
        release=np.where((rows.launched | rows.follows_closely) & ~behind, NEVER, rows.start),
        latency=latency,
        from_end=from_end,
        gap=gap,
        staging=staging,
        other=other,
        late_ns=late,
        launch_ns=launch[0] if launch else None,
        launch_from_end=launch[1] if launch else False,
        gap_ns=gap_ns,
    )


def _rows(trace: Trace, window: Window, launches: Launches) -> tuple[_Rows, Bools]:
    """What was launched in the window, what else ran until all of that was done, and which of it came before."""
    events, all_calls = trace.events, launches.work_call
    start, end = events.ts_ns[trace.work.row] - window.start, events.end_ns[trace.work.row] - window.start
    inside = (all_calls >= 0) & window.holds(events.ts_ns[all_calls]) if len(trace.work) else all_calls >= 0
    after = (all_calls >= 0) & (events.ts_ns[all_calls] >= window.end) if len(trace.work) else all_calls >= 0
    done = max(window.length, int(end[inside].max(initial=0)))
    runs = (end > 0) & (start < done) & ~(after & window.from_steps)
    work = np.flatnonzero(inside | runs)
    _, stream = numbered(stream_numbers(trace)[work])
    order = np.lexsort((end[work], start[work], stream))
    work, stream = work[order], stream[order]
    call = np.where(inside[work], all_calls[work], -1)
    follows = np.concatenate(([False], stream[1:] == stream[:-1]))[: len(work)]
    start, end = np.maximum(start[work], 0), _with_usual(trace, work, start[work], np.maximum(end[work], 0), stream)
    return _Rows(
        work=work,
        stream=stream,
        start=start,
        end=end,
        call=call,
        call_start=np.where(call >= 0, events.ts_ns[call] - window.start, 0) if len(events) else call,
        call_end=np.where(call >= 0, events.end_ns[call] - window.start, 0) if len(events) else call,
        previous=np.where(follows, np.concatenate(([NEVER], end[:-1]))[: len(work)], NEVER),
    ), _carried(stream, start, call, all_calls[work])


def _with_usual(trace: Trace, work: Ints, start: Ints, end: Ints, stream: Ints) -> Ints:
    """The ends; work without a duration takes the usual one of its name, as far as its stream is free; by stream."""
    zero, usual = zero_durations(trace)
    length = np.zeros(len(trace.work), dtype=np.int64)
    length[zero] = usual
    until = np.append(np.where(stream[1:] == stream[:-1], start[1:], -NEVER), -NEVER)[: len(work)]
    lacks = length[work] > 0
    return np.where(lacks, np.maximum(end, np.minimum(start + length[work], until)), end)


def _carried(stream: Ints, start: Ints, call: Ints, any_call: Ints) -> Bools:
    """Which work was launched before the window: its call says so, or it ran before all whose call is known."""
    first = np.full(int(stream.max()) + 1 if len(stream) else 0, -NEVER)
    np.minimum.at(first, stream[call >= 0], start[call >= 0])
    found: Bools = (call < 0) & ((any_call >= 0) | (start < first[stream]))
    return found


def _classes(trace: Trace, work: Ints, kind: Small) -> Small:
    """The class of each piece of work."""
    copies = (kind == Kind.MEMCPY) & np.isin(trace.work.direction[work], (Direction.HtoD, Direction.DtoH))
    talks = trace.work.family[work] == KernelFamily.COLLECTIVE
    found = np.where(copies, Work.COPY, np.where(talks, Work.COMMUNICATION, Work.COMPUTE))
    return found.astype(np.uint8)


def _latencies(rows: _Rows, kind: Small) -> tuple[Ints, Bools, tuple[int, bool] | None]:
    """(launch latency of each piece, whether from the end of its call, both for kernels where the trace shows it)."""
    first = np.zeros(len(rows.work), dtype=np.bool_)  # a graph launch starts many: its first tells
    by_start = np.argsort(rows.start, kind="stable")
    first[by_start[np.unique(rows.call[by_start], return_index=True)[1]]] = True
    first &= rows.launched
    idle = first & (rows.previous <= rows.call_start)
    latency, from_end = np.zeros(len(rows.work), dtype=np.int64), np.zeros(len(rows.work), dtype=np.bool_)
    kernels = kind == Kind.KERNEL
    known = _latency(rows, first & kernels, idle & kernels) or _latency(rows, first, idle)
    usual = known or (ASSUMED_LAUNCH_NS, False)
    for each in (Kind.KERNEL, Kind.MEMCPY, Kind.MEMSET):
        mine = kind == each
        found = _latency(rows, first & mine, idle & mine, from_start=each == Kind.MEMCPY)
        latency[mine], from_end[mine] = found or (_since_start(rows, usual) if each == Kind.MEMCPY else usual)
    return latency, from_end, known


def _since_start(rows: _Rows, usual: tuple[int, bool]) -> tuple[int, bool]:
    """A latency counted from the start of the call: a copy may end with its call, and so cannot start after it."""
    latency, from_end = usual
    if not from_end:
        return usual
    return latency + int(np.median((rows.call_end - rows.call_start)[rows.launched])), False


def _latency(rows: _Rows, first: Bools, idle: Bools, *, from_start: bool = False) -> tuple[int, bool] | None:
    """(ns, whether from the end of the call) over the launches onto an idle stream; None: nothing tells it.

    ``from_start``: copies, whose call may end with the copy. Without an idle stream, or where what ran on one had
    waited for another, the quickest start counts.
    """
    waited = idle.any() and np.median((rows.start - rows.call_start)[idle]) >= LONG_WAIT_NS
    if idle.sum() < ENOUGH or waited:
        quickest = int((rows.start - rows.call_start)[first].min()) if first.any() else LONG_WAIT_NS
        return (quickest, False) if quickest < LONG_WAIT_NS else None
    since_start, since_end = (rows.start - rows.call_start)[idle], (rows.start - rows.call_end)[idle]
    spread = [float(np.median(np.abs(each - np.median(each)))) for each in (since_start, since_end)]
    if from_start or spread[0] <= spread[1]:
        return int(np.median(since_start)), False
    return int(np.median(since_end)), True


def _slow_calls(rows: _Rows, latency: Ints, from_end: Bools, blocks: Bools) -> None:
    """Work of a call that took far longer than most (it loaded code, say) is launched at its end; changes both."""
    length = rows.call_end - rows.call_start
    usual = int(np.median(length[rows.launched])) if rows.launched.any() else 0
    slow = rows.launched & ~from_end & ~blocks & (length > SLOW * usual + LATE_NS)
    slow &= (rows.previous <= rows.call_start) & (rows.start > rows.call_start + latency + LATE_NS)
    latency[slow] = np.minimum(latency - usual, rows.start - rows.call_end)[slow]
    from_end[slow] = True


def _gaps(rows: _Rows) -> tuple[Ints, int | None]:
    """(gap before each piece, the usual one)."""
    measured = rows.start - rows.previous
    queued = rows.launched & (rows.previous > NEVER) & (rows.call_start < rows.previous - QUEUED_NS)
    sample = measured[queued & (measured >= OVERLAP_NS) & (measured <= LONGEST_GAP_NS)]
    found = int(sample.mean()) if len(sample) >= ENOUGH else None
    usual = ASSUMED_GAP_NS if found is None else found
    gap = np.where(measured < OVERLAP_NS, measured, np.where(queued, usual, np.minimum(usual, measured)))
    return np.where(rows.previous > NEVER, gap, 0), found


def _staging(trace: Trace, rows: _Rows, blocking: Ints, latency: Ints, from_end: Bools) -> Ints:
    """What the host took to stage each upload before it could start, where the stream was idle; changes ``latency``.

    The latency of such a copy is taken to be that of the quickest one, for staging is part of every one.
    """
    upload = trace.work.direction[rows.work] == Direction.HtoD
    chosen = rows.launched & upload & np.isin(rows.call, blocking) & ~from_end
    idle = chosen & (rows.previous <= rows.call_start)
    delay = rows.start - rows.call_start
    if not idle.any():
        return np.zeros(len(rows.work), dtype=np.int64)
    latency[chosen] = min(max(0, int(delay[idle].min())), ASSUMED_LAUNCH_NS)
    return np.where(idle, np.maximum(delay - latency, 0), 0)


def _waits(
    trace: Trace, rows: _Rows, latency: Ints, from_end: Bools, gap: Ints, staging: Ints
) -> tuple[Ints, Bools, int]:
    """What late work waited for.

    (The work on another stream that it waited for, or -1; whether it opens the recording, so that it waited for what
    came before; ns that nothing explains.)
    """
    other, late = np.full(len(rows.work), -1, dtype=np.int64), 0
    behind = np.zeros(len(rows.work), dtype=np.bool_)
    ready = np.maximum(np.where(from_end, rows.call_end, rows.call_start) + latency + staging, rows.previous + gap)
    delay = np.where(rows.launched, rows.start - ready, 0)
    for _, mine in grouped(trace.work.device[rows.work]):
        waited = mine[delay[mine] > LATE_NS]
        by_end = mine[np.argsort(rows.end[mine], kind="stable")]
        place = np.searchsorted(rows.end[by_end], rows.start[waited] + SLACK_NS, side="right") - 1
        found = by_end[np.maximum(place, 0)]
        near = np.where(delay[waited] > LONG_WAIT_NS, NEAR_LONG_NS, NEAR_NS)
        explained = (place >= 0) & (rows.start[waited] - rows.end[found] <= near)
        explained &= (rows.stream[found] != rows.stream[waited]) & (rows.start[found] < rows.start[waited])
        other[waited[explained]] = found[explained]
        behind[waited[place < 0]] = True
        late += int(delay[waited[~explained & (place >= 0)]].sum())
    return other, behind, late
