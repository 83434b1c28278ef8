"""Figures as torch-tb-profiler's last source defines them (removed from Kineto in April 2026), over our columns.

A step ends where the last device work launched in it ends, and the next starts no earlier; a last step with fewer than
0.8 times the device rows of the one before is dropped. Each instant belongs to the first of kernel, memcpy, memset,
communication, runtime, DataLoader, operator that is active; figures are means over steps. *GPU utilisation* counts
kernels only, from the start of the first step to the end of the last.

Release 0.4.3 on the registry misreads files since 2022: it knows no ``cuda_runtime``, drops annotations, and takes the
device's copies of a step for steps of their own. On files of 2021 both are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import both, named, rows_named, without
from stallscope.analysis.stages.activity import collective_kernels, is_dataloader
from stallscope.analysis.stages.gpu.utilization import find_filling
from stallscope.analysis.stages.where.launches import pair
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model import fields
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Ints, Trace
from stallscope.traces.vendors.peers import TB_COLLECTIVES

TAIL: Final = 0.8
ROLES: Final = ("kernel", "memcpy", "memset", "communication", "runtime", "dataloader", "cpu_op", "other")


@dataclass(frozen=True, slots=True)
class TbFigures:
    """Means over its steps in µs; shares from 0 to 1, None where no kernel was recorded."""

    steps: int
    dropped: int  # steps at the end that it leaves out
    moved: bool  # some step ends later than on the host
    total_us: float
    roles_us: dict[str, float]
    gpu_utilization: float | None
    sm_efficiency: float | None
    occupancy_percent: float | None


def find_tb(trace: Trace) -> TbFigures | None:
    """The figures; None where the trace holds nothing to make a step of."""
    host = _host_steps(trace)
    if not len(host[0]):
        return None
    starts, ends = _moved(trace, *host)
    if not len(starts) or ends[-1] <= starts[0]:
        return None
    roles = _roles(trace, intervals.union(starts, ends))
    span = Window(int(starts[0]), int(ends[-1]), starts, ends, np.ones(len(starts), np.bool_), from_steps=True)
    filling = find_filling(trace, span)
    return TbFigures(
        steps=len(starts),
        dropped=len(host[0]) - len(starts),
        moved=bool((ends > host[1][: len(ends)]).any()),
        total_us=float((ends - starts).sum()) / (1000 * len(starts)),
        roles_us={role: ns / (1000 * len(starts)) for role, ns in zip(ROLES, roles, strict=True)},
        gpu_utilization=_utilization(trace, span),
        sm_efficiency=filling.sm_efficiency,
        occupancy_percent=filling.occupancy_percent,
    )


def _host_steps(trace: Trace) -> tuple[Ints, Ints]:
    """Starts and ends of the steps on the host; without any, one from the first operator to the last."""
    events = trace.events
    rows = rows_named(trace, events.rows(Category.ANNOTATION), lambda name: fields.step_number(name) is not None)
    if len(rows):
        return events.ts_ns[rows], events.end_ns[rows]
    old = rows_named(trace, events.rows(Category.ANNOTATION), fields.is_annotation)  # Operator rows in 2021
    rows = both(events.rows(Category.CPU_OP), old)
    if not len(rows):
        return rows, rows
    return events.ts_ns[rows].min(keepdims=True), events.end_ns[rows].max(keepdims=True)


def _moved(trace: Trace, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The steps with their device work, less the tail whose work was not recorded whole."""
    events, work = trace.events, trace.work.row
    call = pair(trace, events.rows(Category.RUNTIME))
    step = np.searchsorted(starts, events.ts_ns[call], side="right") - 1
    step = np.where((call >= 0) & (step >= 0) & (events.end_ns[call] <= ends[np.maximum(step, 0)]), step, -1)
    number = np.bincount(step[step >= 0], minlength=len(starts))
    if not number.any():
        return starts, ends
    found = starts.copy(), ends.copy()
    previous = _before_first(trace, work, step, int(starts[0]))
    for i in range(len(starts)):
        found[0][i] = max(previous, int(starts[i]))
        last = events.end_ns[work[step == i]].max() if number[i] else int(starts[i])
        found[1][i] = previous = max(int(found[0][i]), int(ends[i]), int(last))
    keep = int(np.flatnonzero(number)[-1]) + 1
    if keep > 1 and number[keep - 2] * TAIL > number[keep - 1]:
        keep -= 1
    return found[0][:keep], found[1][:keep]


def _before_first(trace: Trace, work: Ints, step: Ints, start: int) -> int:
    """The end of the last device work that no step launched and that ended before the first step's began."""
    first = trace.events.ts_ns[work[step == 0]]
    ends = trace.events.end_ns[work[step < 0]]
    earlier = ends[ends < first.min()] if len(first) else ends[:0]
    return max(start, int(earlier.max())) if len(earlier) else start


def _roles(trace: Trace, steps: Intervals) -> list[int]:
    """Nanoseconds of the steps for each of ``ROLES``."""
    events = trace.events
    host, kernels = events.rows(Category.CPU_OP, Category.ANNOTATION), events.rows(Category.KERNEL)
    collective = collective_kernels(trace.work)
    is_range = named(trace, host, TB_COLLECTIVES.__contains__)
    is_fetch = named(trace, host, is_dataloader)
    is_step = named(trace, host, lambda name: fields.step_number(name) is not None)
    classes = (
        without(kernels, collective),
        events.rows(Category.MEMCPY),
        events.rows(Category.MEMSET),
        np.concatenate((collective, host[is_range])),
        events.rows(Category.RUNTIME),
        host[is_fetch],
        host[~is_range & ~is_fetch & ~is_step],
    )
    free, taken = steps, []
    for rows in classes:
        left = intervals.subtract(free, intervals.union(events.ts_ns[rows], events.end_ns[rows]))
        taken.append(intervals.total(free) - intervals.total(left))
        free = left
    return [*taken, intervals.total(free)]


def _utilization(trace: Trace, span: Window) -> float | None:
    """Kernels' union over the span, mean over the devices that ran any."""
    is_kernel = trace.events.category[trace.work.row] == Category.KERNEL
    devices = np.unique(trace.work.device[is_kernel])
    busy = [
        intervals.total(span.cover(trace, trace.work.row[is_kernel & (trace.work.device == device)]))
        for device in devices
    ]
    return sum(busy) / (len(busy) * span.length) if busy else None
