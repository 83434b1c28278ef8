"""The steps of a trace and the window that every other figure is taken over.

A step is a ``ProfilerStep#N`` range on the host. Where two overlap, the later start wins. The window is [start of the
first step, end of the last step), half-open. Without steps it runs from the first to the last operator, runtime
call, driver call or device row, and every row counts, those that start at its very end included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.traces.model import fields
from stallscope.traces.model.fields import CALLS, DEVICE_WORK, Category
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.trace import ROUNDING_NS, Bools, Ints, Trace

CUT_TIME = 0.25  # a first or last step shorter than this share of the other steps' median …
CUT_ROWS = 0.5  # … and holding fewer operators and calls than this share of theirs was cut short by the recorder


@dataclass(frozen=True, slots=True)
class Window:
    """The window and its steps, integer ns."""

    start: int
    end: int
    step_starts: Ints  # (s,) ascending; the window's own bounds without steps
    step_ends: Ints  # (s,)
    whole: Bools  # (s,) False: the recorder cut the step short
    from_steps: bool  # False: the whole trace stands for one step
    overlaps: int = 0  # steps that began before the one before them had ended

    @property
    def count(self) -> int:
        """Number of steps, at least 1."""
        return len(self.step_starts)

    @property
    def length(self) -> int:
        """Length of the window in ns."""
        return self.end - self.start

    def holds(self, ts_ns: Ints) -> Bools:
        """Which rows count: those that start inside the window; without steps all do."""
        if not self.from_steps:
            return np.ones(len(ts_ns), dtype=np.bool_)
        inside: Bools = (ts_ns >= self.start) & (ts_ns < self.end)
        return inside

    def cover(self, trace: Trace, rows: Ints) -> Intervals:
        """Union of the given event rows, clipped to the window."""
        starts, ends = trace.events.ts_ns[rows], trace.events.ts_ns[rows] + trace.events.dur_ns[rows]
        return intervals.clip(intervals.union(starts, ends), self.start, self.end)

    def durations(self, trace: Trace, rows: Ints) -> Ints:
        """Duration of each given event row inside the window, ns, shape of ``rows``."""
        starts, ends = trace.events.ts_ns[rows], trace.events.ts_ns[rows] + trace.events.dur_ns[rows]
        return self.inside(starts, ends)

    def inside(self, starts: Ints, ends: Ints) -> Ints:
        """How much of each stretch lies inside the window, ns."""
        found: Ints = np.maximum(np.minimum(ends, self.end) - np.maximum(starts, self.start), 0)
        return found

    def issues(self) -> list[TraceIssue]:
        """Steps that overlap, or look cut short."""
        found = []
        if self.overlaps:
            advice = (
                "These steps begin before the step before them ends, or with it; each was taken to end where the next "
                "begins, so times per step are approximate. Call profiler.step() once an iteration, on one thread."
            )
            share = self.overlaps / (self.count + self.overlaps)
            found.append(TraceIssue("step_overlap", Severity.DATA_LOSS, self.overlaps, advice, share=share))
        short = int((~self.whole).sum())
        if short:
            advice = "A first or last step was cut short by the recorder; it is left out of medians, not of totals."
            found.append(TraceIssue("short_step", Severity.NOTICE, short, advice, share=short / self.count))
        return found


def find_window(trace: Trace) -> Window:
    """The window of a trace; of a trace without any activity, an empty window at 0."""
    starts, ends, overlaps = _step_ranges(trace)
    if len(starts):
        whole = _whole(trace, starts, ends)
        return Window(int(starts[0]), int(ends[-1]), starts, ends, whole, from_steps=True, overlaps=overlaps)
    rows = trace.events.rows(Category.CPU_OP, *CALLS, *DEVICE_WORK)
    first = int(trace.events.ts_ns[rows].min()) if len(rows) else 0
    last = int((trace.events.ts_ns[rows] + trace.events.dur_ns[rows]).max()) if len(rows) else 0
    bounds = np.array([first], dtype=np.int64), np.array([last], dtype=np.int64)
    return Window(first, last, *bounds, np.ones(1, dtype=np.bool_), from_steps=False)


def _step_ranges(trace: Trace) -> tuple[Ints, Ints, int]:
    """Starts and ends of the steps, ascending, none overlapping, none empty; and how many overlapped the one before."""
    names = frozenset(i for i, name in enumerate(trace.strings) if fields.step_number(name) is not None)
    rows = np.flatnonzero(trace.name_mask(names) & (trace.events.category == Category.ANNOTATION))
    order = np.argsort(trace.events.ts_ns[rows], kind="stable")
    starts = trace.events.ts_ns[rows][order]
    ends = starts + trace.events.dur_ns[rows][order]
    overlaps = int((ends[:-1] > starts[1:] + ROUNDING_NS).sum())
    if len(starts):
        ends[:-1] = np.minimum(ends[:-1], starts[1:])
    real = ends > starts
    return starts[real], ends[real], overlaps


def _whole(trace: Trace, starts: Ints, ends: Ints) -> Bools:
    """False for a first or last step that is far shorter and emptier than the others."""
    whole = np.ones(len(starts), dtype=np.bool_)
    ts_ns = np.sort(trace.events.ts_ns[trace.events.rows(Category.CPU_OP, *CALLS)])
    held = np.searchsorted(ts_ns, ends) - np.searchsorted(ts_ns, starts)
    durations = ends - starts
    for edge in {0, len(starts) - 1} if len(starts) > 1 else ():
        others = np.arange(len(starts)) != edge
        is_short = durations[edge] < CUT_TIME * np.median(durations[others])
        whole[edge] = not (is_short and held[edge] < CUT_ROWS * np.median(held[others]))
    return whole
