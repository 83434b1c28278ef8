"""How full the GPU's processors were, as torch-tb-profiler's ``gpu_metrics_parser`` defines it.

Estimated SM efficiency: at each instant the sum of ``blocks per SM`` of the running kernels, at most 1, averaged over
the window (idle time counts as 0). Estimated occupancy: ``est. achieved occupancy %`` weighted by kernel time inside
the window. Several devices: the mean over those that ran kernels with such figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Floats, Ints, Trace


@dataclass(frozen=True, slots=True)
class Filling:
    """None: the trace does not tell."""

    sm_efficiency: float | None  # 0..1
    occupancy_percent: float | None
    blocks_per_kernel: float | None  # mean grid size of the kernels that start inside


def find_filling(trace: Trace, window: Window) -> Filling:
    """Utilization figures of the window."""
    is_kernel = trace.events.category[trace.work.row] == Category.KERNEL
    efficiency, occupancy = [], []
    for device in np.unique(trace.work.device[is_kernel]):
        chosen = np.flatnonzero(is_kernel & (trace.work.device == device))
        rows = trace.work.row[chosen]
        efficiency.append(_efficiency(trace, window, rows, trace.work.blocks_per_sm[chosen]))
        occupancy.append(_weighted(trace.work.occupancy_percent[chosen], window.durations(trace, rows)))
    return Filling(_mean(efficiency), _mean(occupancy), _mean_blocks(trace, window, is_kernel.nonzero()[0]))


def _efficiency(trace: Trace, window: Window, rows: Ints, blocks_per_sm: Floats) -> float | None:
    """Time-weighted mean of min(sum of blocks per SM, 1) over the window."""
    told = blocks_per_sm > 0  # nan and the 0 of some files say nothing
    rows, value = rows[told], blocks_per_sm[told]
    starts, ends = window.place(trace.events.ts_ns[rows]), window.place(trace.events.end_ns[rows])
    if not (ends > starts).any():
        return None
    times = np.concatenate((starts, ends))
    order = np.argsort(times, kind="stable")
    level = np.cumsum(np.concatenate((value, -value))[order])
    filled = np.clip(level[:-1], 0.0, 1.0) * np.diff(times[order])
    return float(filled.sum() / window.length)


def _weighted(values: Floats, weights: Ints) -> float | None:
    told = values >= 0  # False for nan
    weight = int(weights[told].sum())
    return float((values[told] * weights[told]).sum() / weight) if weight else None


def _mean_blocks(trace: Trace, window: Window, kernels: Ints) -> float | None:
    told = kernels[trace.work.blocks.known[kernels] & window.holds(trace.events.ts_ns[trace.work.row[kernels]])]
    return float(trace.work.blocks.values[told].mean()) if len(told) else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
