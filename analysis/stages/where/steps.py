"""The steps of a trace and the window that every other figure is taken over.

A step is a ``ProfilerStep#N`` range on the host; where two overlap, the later start wins. Without such marks, or where
one holds several iterations, the iterations are the steps (``iterations.py``). The window is [start of the first step,
end of the last step), half-open. Without any step it runs from the first to the last operator, runtime call, driver
call or device row, and every row counts, those that start at its very end included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.stages.where.iterations import Source, find_iterations, inside_steps
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
    source: Source = "profiler_step"  # what marks the steps
    startup: int = 0  # ns of activity before the first step
    shutdown: int = 0  # and after the last
    pieces: Intervals | None = None  # what of it counts; None: all

    @property
    def count(self) -> int:
        """Number of steps, at least 1."""
        return len(self.step_starts)

    @property
    def span(self) -> Intervals:
        """The time that counts."""
        return intervals.span(self.start, self.end) if self.pieces is None else self.pieces

    @property
    def length(self) -> int:
        """Length of the window in ns."""
        return self.end - self.start if self.pieces is None else intervals.total(self.pieces)

    def only(self, counts: Bools) -> Window:
        """The window with only those of its steps, each up to the start of the next; (s,), at least one of them."""
        until = np.append(self.step_starts[1:], self.end)
        starts, ends = self.step_starts[counts], self.step_ends[counts]
        return replace(
            self,
            start=int(starts[0]),
            end=int(until[counts][-1]),
            step_starts=starts,
            step_ends=ends,
            whole=self.whole[counts],
            pieces=intervals.union(starts, until[counts]),
        )

    def holds(self, ts_ns: Ints) -> Bools:
        """Which rows count: those that start inside the window; without steps all do."""
        if not self.from_steps:
            return np.ones(len(ts_ns), dtype=np.bool_)
        if self.pieces is not None:
            return intervals.covers(self.pieces, ts_ns)
        inside: Bools = (ts_ns >= self.start) & (ts_ns < self.end)
        return inside

    def cover(self, trace: Trace, rows: Ints) -> Intervals:
        """Union of the given event rows, clipped to the window."""
        starts, ends = trace.events.ts_ns[rows], trace.events.ts_ns[rows] + trace.events.dur_ns[rows]
        return self.clip(intervals.union(starts, ends))

    def clip(self, times: Intervals) -> Intervals:
        """What of them lies in the window."""
        if self.pieces is not None:
            return intervals.intersect(times, self.pieces)
        return intervals.clip(times, self.start, self.end)

    def place(self, ts_ns: Ints) -> Ints:
        """How much of the window lies before each instant, ns, shape of ``ts_ns``."""
        if self.pieces is not None:
            return intervals.covered_before(self.pieces, ts_ns)
        return np.clip(ts_ns, self.start, self.end) - self.start

    def durations(self, trace: Trace, rows: Ints) -> Ints:
        """Duration of each given event row inside the window, ns, shape of ``rows``."""
        starts, ends = trace.events.ts_ns[rows], trace.events.ts_ns[rows] + trace.events.dur_ns[rows]
        return self.inside(starts, ends)

    def inside(self, starts: Ints, ends: Ints) -> Ints:
        """How much of each stretch lies inside the window, ns."""
        return self.place(ends) - self.place(starts)

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
    first, last = _extent(trace)
    starts, ends, overlaps = _step_ranges(trace)
    iterations = inside_steps(trace, starts, ends) if len(starts) else find_iterations(trace)
    source: Source = "profiler_step"
    if iterations is not None:
        starts, ends, overlaps, source = iterations.bounds[:-1], iterations.bounds[1:], 0, iterations.source
    if not len(starts):
        bounds = np.array([first], dtype=np.int64), np.array([last], dtype=np.int64)
        return Window(first, last, *bounds, np.ones(1, dtype=np.bool_), from_steps=False, source="whole_trace")
    return Window(
        start=int(starts[0]),
        end=int(ends[-1]),
        step_starts=starts,
        step_ends=ends,
        whole=_whole(trace, starts, ends),
        from_steps=True,
        overlaps=overlaps,
        source=source,
        startup=max(0, int(starts[0]) - first),
        shutdown=max(0, last - int(ends[-1])),
    )


def _extent(trace: Trace) -> tuple[int, int]:
    """From the first to the last operator, call or device row."""
    rows = trace.events.rows(Category.CPU_OP, *CALLS, *DEVICE_WORK)
    if not len(rows):
        return 0, 0
    return int(trace.events.ts_ns[rows].min()), int(trace.events.end_ns[rows].max())


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
