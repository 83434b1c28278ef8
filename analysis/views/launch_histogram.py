"""How long kernels run, against how long the calls take that launch them: both counted by duration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Ints

FIRST_NS: Final = 500  # upper end of the first class; each next one ends at twice that
CLASSES: Final = 16  # the last holds all that is longer


@dataclass(frozen=True, slots=True)
class LaunchHistogram:
    """Numbers by class of duration over the window: class i ends at ``FIRST_NS << i``, which belongs to the next."""

    kernels: Ints  # (CLASSES,)
    calls: Ints  # (CLASSES,) calls that launch kernels or graphs


def find_launch_histogram(stages: Stages) -> LaunchHistogram | None:
    """Kernels that start in the window, and launch calls that do; None where device rows are withheld."""
    if not stages.measured or not stages.launches.total:
        return None
    trace, window = stages.trace, stages.window
    rows = trace.events.rows(Category.KERNEL)
    rows = rows[window.holds(trace.events.ts_ns[rows])]
    return LaunchHistogram(_counted(trace.events.dur_ns[rows]), _counted(trace.events.dur_ns[stages.launches.calls]))


def _counted(durations: Ints) -> Ints:
    ends = FIRST_NS << np.arange(CLASSES - 1, dtype=np.int64)
    return np.bincount(np.searchsorted(ends, durations, side="right"), minlength=CLASSES).astype(np.int64)
