"""How long each step of the trace took, and which of them stand out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.trace import Bools, Ints

FAR: Final = 0.2  # of the median: a step so far off it stands out
MOST_OUTLIERS: Final = 4  # shown as timelines beside the median, the slowest and the fastest step


@dataclass(frozen=True, slots=True)
class StepTimes:
    """The n steps of a trace that the recorder did not cut short, in order; or those timed without the profiler."""

    numbers: Ints  # (n,) from 1
    ns: Ints  # (n,)
    median_ns: float

    @property
    def far(self) -> Bools:
        """Which steps stand out."""
        found: Bools = np.abs(self.ns - self.median_ns) > FAR * self.median_ns
        return found

    def outliers(self) -> tuple[int, ...]:
        """Numbers of those that stand out most, ascending; ``MOST_OUTLIERS`` of them at most."""
        off = np.where(self.far, np.abs(self.ns - self.median_ns), 0.0)
        first = np.argsort(-off, kind="stable")[: min(MOST_OUTLIERS, int(self.far.sum()))]
        return tuple(sorted(self.numbers[first].tolist()))


def find_step_times(window: Window, median_us: float) -> StepTimes | None:
    """The steps of the window against their median, µs; None of a trace without at least two whole steps."""
    at = np.flatnonzero(window.whole)
    if not window.from_steps or len(at) < 2:  # noqa: PLR2004 - a series
        return None
    return StepTimes(at + 1, (window.step_ends - window.step_starts)[at], 1000 * median_us)
