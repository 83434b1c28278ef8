"""CUDA graphs that are being captured: launches that only put work into a graph, and start none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import LAUNCHES, CallKind
from stallscope.traces.model.trace import Trace

MOST = 0.5  # of the launches, from which the recording is one of a capture


@dataclass(frozen=True, slots=True)
class Captures:
    """The captures of a window."""

    times: Intervals
    launches: int  # of the file
    captured: int  # of which that many lie in a capture

    @property
    def dominate(self) -> bool:
        """Whether most of what is launched is only captured."""
        return self.captured > 0 and self.captured >= MOST * self.launches


def find_captures(trace: Trace, window: Window) -> Captures:
    """The captures; one that began before the window, or ends after it, reaches to its bound."""
    events = trace.events
    begins, ends, launches = (
        events.calls(CallKind.CAPTURE_BEGIN),
        events.calls(CallKind.CAPTURE_END),
        events.calls(*LAUNCHES),
    )
    if not len(begins) and not len(ends):
        return Captures(intervals.span(0, 0), len(launches), 0)
    starts = events.ts_ns[begins] if len(begins) else np.array([window.start])
    stops = events.end_ns[ends] if len(ends) else np.array([window.end])
    size = min(len(starts), len(stops))
    times = window.clip(intervals.union(starts[:size], np.maximum(stops[:size], starts[:size])))
    return Captures(times, len(launches), int(intervals.covers(times, events.ts_ns[launches]).sum()))
