"""Which part of a trace is replayed: one contiguous run of steps that stands for all of them, of bounded size.

A replay costs time for every event, many times over. So it takes the longest run of steps that count
(``completion.py``: not cut, not cold, not an outlier that never comes back) of at most ``MOST`` events:

1. all of them, where they fit;
2. where long steps come back, as many whole periods as fit, from the end of one long step to that of another: the run
   holds as many long steps a step as the trace;
3. else the run of as many steps as fit whose mean is nearest to the mean of all;
4. of a single step, or a trace without steps, that is larger than that: its middle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from stallscope.analysis.stages.completion import LONG, Completion
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import CALLS, DEVICE_WORK, Category
from stallscope.traces.model.trace import Bools, Floats, Ints, Trace

MOST: Final = 60_000  # events of a run


def find_run(trace: Trace, window: Window, completion: Completion, most: int = MOST) -> Window:
    """The run that is replayed: ``window`` itself, or some of its steps, or a part of one."""
    held = _events(trace, window)
    counts = completion.counted(window)
    lengths = np.append(window.step_starts[1:], window.step_ends[-1:]) - window.step_starts
    lengths[window.count - len(completion.lengths) :] = completion.lengths
    first, last = _longest(counts)
    if held[first:last].sum() > most:
        first, last = _fitting(held, lengths, first, last, most, periodic=completion.recurring > 0)
    chosen = _steps(window, first, last)
    return chosen if held[first:last].sum() <= most else _middle(trace, chosen, most)


def _events(trace: Trace, window: Window) -> Ints:
    """Operators, calls and device rows that start in each step, (s,)."""
    rows = trace.events.rows(Category.CPU_OP, *CALLS, *DEVICE_WORK)
    starts = np.sort(trace.events.ts_ns[rows])
    ends = np.append(window.step_starts[1:], window.end + (not window.from_steps))
    held: Ints = np.searchsorted(starts, ends) - np.searchsorted(starts, window.step_starts)
    return held


def _longest(counts: Bools) -> tuple[int, int]:
    """The longest stretch of steps that count, the first of several: [first, last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], counts, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    at = int(np.argmax(ends - starts))
    return int(starts[at]), int(ends[at])


def _fitting(held: Ints, lengths: Ints, first: int, last: int, most: int, *, periodic: bool) -> tuple[int, int]:
    """The run of at most ``most`` events, and of at least one step, that stands best for the steps first … last - 1."""
    sums = np.concatenate(([0], np.cumsum(held)))
    total = np.concatenate(([0], np.cumsum(lengths)))
    starts = np.arange(first, last)
    ends = np.minimum(np.searchsorted(sums, sums[starts] + most, side="right") - 1, last)
    ends = np.maximum(ends, starts + 1)
    if periodic:
        after = first + 1 + np.flatnonzero(lengths[first:last] > LONG * np.median(lengths[first:last]))
        starts = np.append(after[:-1], first) if len(after) > 1 else np.array([first])
        fit = [after[(after > start) & (sums[after] - sums[start] <= most)] for start in starts.tolist()]
        whole = [(start, int(some[-1])) for start, some in zip(starts.tolist(), fit, strict=True) if len(some)]
        if whole:
            return max(whole, key=lambda run: run[1] - run[0])
        starts, ends = np.array([first]), np.array([max(first + 1, int(ends[0]))])
    means: Floats = (total[ends] - total[starts]) / (ends - starts)
    mean = (total[last] - total[first]) / (last - first)
    widest = ends - starts == (ends - starts).max()
    best = int(np.argmin(np.where(widest, np.abs(means - mean), np.inf)))
    return int(starts[best]), int(ends[best])


def _steps(window: Window, first: int, last: int) -> Window:
    if (first, last) == (0, window.count):
        return window
    end = int(window.step_starts[last]) if last < window.count else window.end
    return replace(
        window,
        start=int(window.step_starts[first]),
        end=end,
        step_starts=window.step_starts[first:last],
        step_ends=window.step_ends[first:last],
        whole=window.whole[first:last],
    )


def _middle(trace: Trace, window: Window, most: int) -> Window:
    """The middle of a window, as one step: half of ``most`` events to either side."""
    rows = trace.events.rows(Category.CPU_OP, *CALLS, *DEVICE_WORK)
    starts = np.sort(trace.events.ts_ns[rows])
    inside = starts[(starts >= window.start) & (starts <= window.end)]
    low = max(0, (len(inside) - most) // 2)
    start, end = int(inside[low]), int(inside[min(len(inside) - 1, low + most)])
    bounds = np.array([start], dtype=np.int64), np.array([end], dtype=np.int64)
    return Window(start, end, *bounds, np.ones(1, dtype=np.bool_), from_steps=True, source="whole_trace")
