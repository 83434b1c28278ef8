"""Which part of a trace is replayed: one contiguous run of steps that stands for all of them, of bounded size.

A replay costs time for every event, many times over. So it takes the longest run of steps that count
(``completion.py``: not cut, not cold, not an outlier that never comes back) of at most ``MOST`` events:

1. all of them, where they fit;
2. where long steps come back, as many whole periods as fit, from the end of one long step to that of another: the run
   holds as many long steps a step as the trace;
3. else of the runs of as many steps as fit, or of three quarters or half as many, the one that is most like all of
   them: in the length of a step, in its events, in the device's time;
4. of a single step, or a trace without steps, that is larger than that: the part of its events that is most like all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stallscope.analysis.stages.completion import LONG, Completion
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import CALLS, DEVICE_WORK, Category
from stallscope.traces.model.trace import Bools, Floats, Ints, Trace

MOST: Final = 120_000  # events of a run
SHARES: Final = (1.0, 0.75, 0.5)  # of the steps that fit
NARROWER: Final = 0.05  # so much more must a run without any steps be like all than the widest
PARTS: Final = 8  # of a run without steps, between which it may begin


def find_run(trace: Trace, window: Window, completion: Completion, most: int = MOST) -> Window:
    """The run that is replayed: ``window`` itself, or some of its steps, or a part of one."""
    lengths = np.append(window.step_starts[1:], window.step_ends[-1:]) - window.step_starts
    lengths[window.count - len(completion.lengths) :] = completion.lengths
    steps = _profile(trace, window, lengths)
    first, last = _longest(completion.counted(window))
    if steps.events[first:last].sum() > most:
        first, last = _fitting(steps.of(first, last), most, periodic=completion.recurring > 0) + first
    chosen = _steps(window, int(first), int(last))
    return chosen if steps.events[first:last].sum() <= most else _part(trace, chosen, most)


@dataclass(frozen=True, slots=True)
class _Profile:
    """What steps are like."""

    lengths: Ints  # (s,) ns
    events: Ints  # (s,) operators, calls and device rows that start in each
    device: Ints  # (s,) ns of device rows that start in each

    def of(self, first: int, last: int) -> _Profile:
        return _Profile(self.lengths[first:last], self.events[first:last], self.device[first:last])

    def unlike(self, starts: Ints, ends: Ints) -> Floats:
        """How far the mean steps of runs [start, end) are from the mean of all, (r,)."""
        far = np.zeros(len(starts))
        for column in (self.lengths, self.events, self.device):
            sums = np.concatenate(([0], np.cumsum(column)))
            far += np.abs((sums[ends] - sums[starts]) / (ends - starts) / max(1.0, float(column.mean())) - 1)
        return far


def _profile(trace: Trace, window: Window, lengths: Ints) -> _Profile:
    ends = np.append(window.step_starts[1:], window.end + (not window.from_steps))
    rows = trace.events.rows(Category.CPU_OP, *CALLS, *DEVICE_WORK)
    starts = np.sort(trace.events.ts_ns[rows])
    work = trace.work.row[np.argsort(trace.events.ts_ns[trace.work.row], kind="stable")]
    worked = np.concatenate(([0], np.cumsum(trace.events.dur_ns[work])))

    def before(ns: Ints) -> Ints:
        found: Ints = worked[np.searchsorted(trace.events.ts_ns[work], ns)]
        return found

    events = np.searchsorted(starts, ends) - np.searchsorted(starts, window.step_starts)
    return _Profile(lengths, events, before(ends) - before(window.step_starts))


def _longest(counts: Bools) -> tuple[int, int]:
    """The longest stretch of steps that count, the first of several: [first, last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], counts, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    at = int(np.argmax(ends - starts))
    return int(starts[at]), int(ends[at])


def _fitting(steps: _Profile, most: int, *, periodic: bool) -> Ints:
    """The run [first, last) of at most ``most`` events, and of at least one step, that stands best for the steps."""
    if periodic:
        whole = _periods(steps, most)
        if whole is not None:
            return np.array(whole)
    sums = np.concatenate(([0], np.cumsum(steps.events)))
    starts = np.arange(len(steps.events))
    fit = np.searchsorted(sums, sums[starts] + most, side="right") - 1 - starts
    fit = np.maximum(1, fit)
    widest = int(fit.max())
    wanted = np.unique([max(1, int(share * widest)) for share in SHARES])
    starts, wide = (each.ravel() for each in np.meshgrid(starts, wanted, indexing="ij"))
    possible = wide <= np.repeat(fit, len(wanted))
    starts, wide = starts[possible], wide[possible]
    best = int(np.argmin(steps.unlike(starts, starts + wide) + NARROWER * (1 - wide / widest)))
    return np.array([starts[best], starts[best] + wide[best]])


def _periods(steps: _Profile, most: int) -> tuple[int, int] | None:
    """The most steps that fit, from the first or the end of a long one to the end of a long one; None: none fit."""
    sums = np.concatenate(([0], np.cumsum(steps.events)))
    after = 1 + np.flatnonzero(steps.lengths > LONG * np.median(steps.lengths))
    runs = []
    for start in [*after[:-1].tolist(), 0]:
        fit = after[(after > start) & (sums[after] - sums[start] <= most)]
        runs += [(start, int(fit[-1]))] if len(fit) else []
    return max(runs, key=lambda run: run[1] - run[0], default=None)


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


def _part(trace: Trace, window: Window, most: int) -> Window:
    """A part of a window, as one step: ``most`` events that are most like all of its own."""
    rows = trace.events.rows(Category.CPU_OP, *CALLS, *DEVICE_WORK)
    starts = np.sort(trace.events.ts_ns[rows])
    inside = starts[(starts >= window.start) & (starts <= window.end)]
    cuts = inside[np.unique(np.arange(0, len(inside), max(1, most // PARTS)))]
    cuts = np.append(cuts, window.end) if cuts[-1] < window.end else cuts
    pieces = replace(window, step_starts=cuts[:-1], step_ends=cuts[1:], whole=np.ones(len(cuts) - 1, dtype=np.bool_))
    profile = _profile(trace, pieces, np.diff(cuts))
    first, last = _fitting(profile, most, periodic=False).tolist()
    bounds = cuts[first : first + 1], cuts[last : last + 1]
    return Window(
        int(cuts[first]), int(cuts[last]), *bounds, np.ones(1, dtype=np.bool_), from_steps=True, source="whole_trace"
    )
