"""Steps that pass inside few, very long calls of the GPU's API: its start, loading of kernels, freeing.

Launching costs some 5 to 250 µs. A step of which half passes in calls (the GPU doing nothing meanwhile), most of that
in calls of a millisecond or more each, is not slow for what Python does between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.fields import CALLS

MOST: Final = 0.5  # share of the step in calls while the GPU does nothing
LONG_NS: Final = 1_000_000  # one call, from which it is long


@dataclass(frozen=True, slots=True)
class LongCalls:
    """Calls of 1 ms or more, in the window."""

    call_ns: int  # in calls of any length while no device works
    name: str  # of the long calls, those that take most time together
    number: int
    ns: int


def find_long_calls(stages: Stages) -> LongCalls | None:
    """The long calls, where they are what the step is spent in."""
    trace, window = stages.trace, stages.window
    called = stages.activity.shares.runtime
    if called < MOST * window.length:
        return None
    rows = np.setdiff1d(trace.events.rows(*CALLS), stages.syncs.blocking)
    inside = window.durations(trace, rows)
    rows, inside = rows[inside >= LONG_NS], inside[inside >= LONG_NS]
    if not len(rows) or inside.sum() < MOST * called:
        return None
    sums = np.bincount(trace.events.name[rows], weights=inside)
    name = int(sums.argmax())
    number = int((trace.events.name[rows] == name).sum())
    return LongCalls(called, trace.strings[name], number, int(sums[name]))
