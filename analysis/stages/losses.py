"""Launches whose work was not recorded: where the recorder lost device rows, and which idle time says nothing.

CUPTI drops records when its buffers are full or its clock jumps, mostly at the start or the end of a recording. Then
kernel launches in a row, at the head or the tail of the file, have no work (or, anywhere else, many of them). While a
graph is captured no launch has work; that is no loss. Single launches without work say nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.stages.where.steps import Window
from stallscope.analysis.units import percent
from stallscope.traces.model.fields import LAUNCHES, CallKind
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.trace import Bools, Ints, Trace

AT_AN_EDGE = 3  # launches in a row without work, at the head or the tail of the file
ANYWHERE = 16  # the same elsewhere
FEW_MISSING = 0.01  # of the launches: they say nothing
MOST_MISSING = 0.20
SHOWN = 3  # stretches named in the advice


@dataclass(frozen=True, slots=True)
class Losses:
    """Where device rows are missing; ns."""

    stretches: Intervals
    launches: int  # launches in them
    single: int  # other launches without work
    started: int  # kernel and graph launches of the file, those of captures left out

    def share(self, window: Window) -> float:
        """Part of the window in the stretches."""
        inside = intervals.total(window.clip(self.stretches))
        return inside / window.length if window.length else 0.0

    def issues(self, trace: Trace, window: Window) -> list[TraceIssue]:
        """What to say of it."""
        found = []
        if self.launches:
            advice = (
                f"The work of these launches was not recorded: {self._where(trace)}, {percent(self.share(window))} of "
                "the window. What the GPU did then is unknown: its busy time is too low, and idle time there is not "
                "the script's. Record fewer steps, or with a larger CUPTI buffer."
            )
            found.append(
                TraceIssue("gpu_records_lost", Severity.DATA_LOSS, self.launches, advice, share=self.share(window))
            )
        if self.single:
            severity, advice = self._of_single()
            found.append(TraceIssue("launch_without_work", severity, self.single, advice, share=self.single_share))
        return found

    @property
    def single_share(self) -> float:
        """Launches without work that lie among others with work, as a part of all."""
        return self.single / self.started if self.started else 0.0

    @property
    def too_many(self) -> bool:
        """Whether so much work is missing here and there that figures of the rest mean nothing."""
        return self.single >= AT_AN_EDGE and self.single_share > MOST_MISSING

    def _of_single(self) -> tuple[Severity, str]:
        if self.single < AT_AN_EDGE or self.single_share <= FEW_MISSING:
            return (
                Severity.INFO,
                "These launches, one here and there, have no work in the trace; no figure depends on it.",
            )
        what = "GPU figures are withheld" if self.too_many else "GPU figures are too low by about as much"
        return Severity.DATA_LOSS, f"The work of these launches was not recorded; {what}. Record again."

    def _where(self, trace: Trace) -> str:
        first = int(trace.events.ts_ns.min())
        starts, ends = (self.stretches.starts - first) / 1e6, (self.stretches.ends - first) / 1e6
        told = [f"{a:.3f} to {b:.3f} ms" for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        return " and ".join(told[:SHOWN]) + (" and elsewhere" if len(told) > SHOWN else "") + " after the first event"


def find_losses(trace: Trace, *, recorded: bool) -> Losses:
    """Find the stretches without device rows; ``recorded``: there are some, and launches can be joined to them."""
    launches = trace.events.calls(*LAUNCHES)
    launches = launches[~_captured(trace, launches)]
    if not recorded or not len(launches):
        return Losses(intervals.empty(), 0, 0, len(launches))
    lost = ~_has_work(trace, launches)
    first, last = _runs(lost)
    edge = (first == 0) | (last == len(launches) - 1)
    length = last - first + 1
    long = (length < len(launches)) & (length >= np.where(edge, AT_AN_EDGE, ANYWHERE))
    starts, ends = _stretches(trace, launches, first[long], last[long])
    count = int(length[long].sum())
    return Losses(intervals.union(starts, ends), count, int(lost.sum()) - count, len(launches))


def _has_work(trace: Trace, launches: Ints) -> Bools:
    """Which launches have device rows under their correlation."""
    ids = trace.events.correlation
    row = trace.work.row
    found: Bools = ids.known[launches] & np.isin(ids.values[launches], ids.values[row][ids.known[row]])
    return found


def _captured(trace: Trace, launches: Ints) -> Bools:
    """Which launches were made while a graph was captured: an odd number of begin and end calls lies before them."""
    marks = trace.events.ts_ns[trace.events.calls(CallKind.CAPTURE_BEGIN, CallKind.CAPTURE_END)]
    captured: Bools = np.searchsorted(marks, trace.events.ts_ns[launches]) % 2 == 1
    return captured


def _runs(flags: Bools) -> tuple[Ints, Ints]:
    """First and last index of each run of True."""
    edges = np.diff(np.concatenate(([False], flags, [False])).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def _stretches(trace: Trace, launches: Ints, first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """From the first launch of each run to the next launch with work; of a run at the tail, to the end of the file."""
    starts = trace.events.ts_ns[launches]
    after = np.append(starts, int(trace.events.end_ns.max()))
    return starts[first], after[last + 1]
