"""How unevenly the same operators take their time from step to step: work shared out among threads that lack cores.

Where every step calls an operator equally often, its n-th calls do the same work, and the fastest of them tells what
that takes. What the others take beyond it is *scatter*. Other processes on the cores scatter as well.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.units import percent

FEWEST_STEPS: Final = 5  # below this the fastest call tells nothing
WILD: Final = 0.6  # of the operators' time, from which it scatters wildly


def find_scatter(stages: Stages) -> float | None:
    """Share, 0 to 1, of the time in outermost operators beyond the fastest of the same calls; None: not known."""
    trace, window, found = stages.trace, stages.window, stages.operators
    if not window.from_steps or window.count < FEWEST_STEPS:
        return None
    rows = found.rows[found.parent[found.rows] < 0]
    rows = rows[window.holds(trace.events.ts_ns[rows])]
    rows = rows[np.argsort(trace.events.ts_ns[rows], kind="stable")]
    steps = np.searchsorted(window.step_starts, trace.events.ts_ns[rows], side="right") - 1
    whole = beyond = 0
    for name in np.unique(trace.events.name[rows]).tolist():
        same = trace.events.name[rows] == name
        each = np.bincount(steps[same], minlength=window.count)
        if each.min() == each.max():
            calls = trace.events.dur_ns[rows[same]].reshape(window.count, -1)
            whole += int(calls.sum())
            beyond += int((calls - calls.min(axis=0)).sum())
    return beyond / whole if whole else None


def advice(scatter: float | None, threads: int | None) -> str | None:
    """Fewer threads, where PyTorch shares operators out among several and their times scatter wildly."""
    if scatter is None or scatter < WILD or threads is None or threads == 1:
        return None
    return (
        f"The same operators take very different times from step to step: {percent(scatter)} of their time is beyond "
        f"the fastest run. {threads} threads may wait for each other: try torch.set_num_threads(1)."
    )
