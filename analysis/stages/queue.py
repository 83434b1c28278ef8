"""The launch queue: how far the host runs ahead of a device, and the launches that had to wait for room in it.

The *queue depth* is the number of launches whose work has not started. It rises when a launch call returns and falls
when the (first) row of its work starts; work launched before the recording was in the queue from its beginning.

A stream's queue holds about 1020 launches on NVIDIA GPUs; a launch that finds it full blocks the host until a place is
free. The trace does not say so, but the depth shows a plateau: the queue of a stream counts as full at its greatest
depth where that is 64 or more and 20 launches or more returned within 2 % of it after more than twice the time that a
launch takes well below it. Such a launch is blocked for its duration less that of an unblocked one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns.rows import grouped
from stallscope.analysis.stages.where.launches import Launches, stream_numbers
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.trace import Bools, Ints, Trace

DEEP: Final = 64  # launches
NEAR: Final = 0.98  # of the greatest depth: at the plateau
BELOW: Final = 0.90  # of the greatest depth: not at it
MANY: Final = 20  # slow launches that returned at the plateau
SLOWER: Final = 2.0  # times the median of those below


@dataclass(frozen=True, slots=True)
class Queue:
    """Depth of the launch queues over the window, all streams of all devices together."""

    deepest: int | None  # None: no launch is paired with work
    median: float | None  # over time
    at_step_ends: Ints  # (s,)
    full_depth: int | None  # of one stream's queue, where launches waited for room in it
    blocked_calls: Ints  # event rows of the launches that waited, trace-wide
    blocked_ns: Ints  # beyond what a launch takes, shape of ``blocked_calls``


@dataclass(frozen=True, slots=True)
class Passes:
    """Launches on their way through the queue, n of them, in launch order; times in ns."""

    entered: Ints  # (n,)
    started: Ints  # (n,) when the work left the queue
    call: Ints  # (n,) event row, -1: not in the trace
    stream: Ints  # (n,) as ``stream_numbers`` numbers them

    def of(self, chosen: Ints) -> Passes:
        """Those of the launches, in this order."""
        return Passes(self.entered[chosen], self.started[chosen], self.call[chosen], self.stream[chosen])


def find_queue(trace: Trace, window: Window, launches: Launches) -> Queue:
    """Depth over time and the launches that waited for room."""
    passes = _passes(trace, launches)
    blocked, beyond, depth = _blocked(trace, passes)
    if not len(passes.started):
        return Queue(None, None, np.zeros(window.count, dtype=np.int64), None, blocked, beyond)
    entered, started = np.sort(passes.entered), np.sort(passes.started)
    at_ends = np.searchsorted(entered, window.step_ends, side="right") - np.searchsorted(
        started, window.step_ends, side="right"
    )
    deepest, median = _over_time(entered, started, window)
    return Queue(deepest, median, np.maximum(at_ends, 0).astype(np.int64), depth, blocked, beyond)


def depth_over_time(trace: Trace, launches: Launches) -> tuple[Ints, Ints]:
    """(times in ns, ascending, the depth from each of them to the next) of all streams together."""
    passes = _passes(trace, launches)
    times, at = np.unique(np.concatenate((passes.entered, passes.started)), return_inverse=True)
    ways = np.repeat((1.0, -1.0), len(passes.call))
    change = np.bincount(at.reshape(-1), ways, len(times))
    return times, np.cumsum(change).astype(np.int64)


def _passes(trace: Trace, launches: Launches) -> Passes:
    """All launches. A graph launch is one: it leaves the queue when its first row starts."""
    calls = launches.work_call
    paired = np.flatnonzero(calls >= 0)
    _, first = np.unique(calls[paired], return_index=True)  # work rows ascend in time
    chosen = np.concatenate((np.flatnonzero(calls < 0), paired[first]))
    starts, call = trace.events.ts_ns[trace.work.row[chosen]], calls[chosen]
    stream = stream_numbers(trace)[chosen]
    entered = np.where(call >= 0, np.minimum(trace.events.end_ns[call], starts), starts)
    early = (call < 0) & (starts < _first_paired(starts, call, stream))
    entered[early] = int(trace.events.ts_ns[0]) - 1 if len(trace.events) else 0
    order = np.argsort(np.where(call >= 0, call, -1), kind="stable")
    return Passes(entered, starts, call, stream).of(order)


def _first_paired(starts: Ints, call: Ints, stream: Ints) -> Ints:
    """For each row the start of the first row on its stream whose call is known; the end of time where none is."""
    first = np.full(int(stream.max()) + 1 if len(stream) else 0, np.iinfo(np.int64).max)
    np.minimum.at(first, stream[call >= 0], starts[call >= 0])
    return first[stream]


def _over_time(entered: Ints, started: Ints, window: Window) -> tuple[int, float]:
    """Greatest depth inside the window and the median over its time; both arrays sorted."""
    times = np.concatenate((entered, started))
    order = np.argsort(times, kind="stable")
    depth = np.cumsum(np.concatenate((np.ones(len(entered)), -np.ones(len(started))))[order])
    cuts = np.clip(np.concatenate((times[order], [window.end])), window.start, window.end)
    lasted = np.diff(cuts)
    if not lasted.any():
        return 0, 0.0
    depth, lasted = np.append(depth, 0.0), np.append(lasted, cuts[0] - window.start)
    by_depth = np.argsort(depth, kind="stable")
    half = np.searchsorted(np.cumsum(lasted[by_depth]), window.length / 2)
    return int(depth[lasted > 0].max()), float(depth[by_depth][min(int(half), len(depth) - 1)])


def _blocked(trace: Trace, passes: Passes) -> tuple[Ints, Ints, int | None]:
    """(calls that waited for room, for how long, how many launches the queue held)."""
    found, beyond, depth = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], None
    for _, mine in grouped(passes.stream):
        full = _full(trace, passes.of(mine))
        if full is not None:
            found.append(full[0])
            beyond.append(full[1])
            depth = max(depth or 0, full[2])
    rows, ns = np.concatenate(found), np.concatenate(beyond)
    order = np.argsort(rows, kind="stable")
    return rows[order], ns[order], depth


def _full(trace: Trace, passes: Passes) -> tuple[Ints, Ints, int] | None:
    """The same for one stream; None where its queue was never full. Launches in order, one start after the other."""
    call = passes.call
    pending = np.arange(1, len(call) + 1) - np.searchsorted(np.sort(passes.started), passes.entered, side="right")
    known: Bools = call >= 0
    top = int(pending[known].max()) if known.any() else 0
    near, below = known & (pending >= NEAR * top), known & (pending < BELOW * top)
    if top < DEEP or not below.any():
        return None
    durations = np.where(known, trace.events.dur_ns[call], 0)
    usual = int(np.median(durations[below]))
    waited = near & (durations > SLOWER * usual)
    return (call[waited], durations[waited] - usual, top) if waited.sum() >= MANY else None
