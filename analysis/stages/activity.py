"""Device time by kind, and the step divided among classes of activity.

The breakdown gives each instant of the window to the first of kernel > memcpy > memset > communication > runtime >
dataloader > cpu_op > other that was active, as torch-tb-profiler's last source does. As there, *kernel* leaves out
communication kernels, and *cpu_op* takes in annotations (except steps, DataLoader fetches, and the marks of an
attribution window). *Communication* here is NCCL and RCCL kernels, by name, and the host ranges of collectives
(``nccl:all_reduce``, ``gloo:…``).

torch-tb-profiler differs in its steps, not in this rule: it moves a step's end to the end of the last device work
launched in it, and drops the last step when that has far fewer kernels. Its release 0.4.3 knows no ``cuda_runtime``
category (no runtime time in traces since 2022) and counts the device's copy of a step as a step of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import matches, named, rows_named, without
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model import fields
from stallscope.traces.model.fields import CALLS, DEVICE_WORK, Category, KernelFamily
from stallscope.traces.model.trace import DeviceWork, Ints, Trace
from stallscope.traces.vendors.device_rows import is_collective_range

is_dataloader: Final = matches(re.compile(r"enumerate\(Data(Loader|Pipe)\)#"))


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """What one device did in the window; times in ns."""

    device: int
    kernels: int  # rows that start inside
    memcpys: int
    memsets: int
    busy_ns: int  # union of the three over all streams
    kernel_ns: int  # union
    kernel_sum_ns: int  # sum of durations
    memcpy_ns: int  # union
    memset_ns: int  # union
    communication_ns: int  # union of NCCL and RCCL kernels, a part of kernel_ns

    def conserved(self, window: Window) -> bool:
        """Whether the unions fit into each other and into the window."""
        parts = (self.kernel_ns, self.memcpy_ns, self.memset_ns)
        fits = max(parts) <= self.busy_ns <= min(sum(parts), window.length)
        return fits and self.communication_ns <= self.kernel_ns <= self.kernel_sum_ns


@dataclass(frozen=True, slots=True)
class Shares:
    """The window divided; ns. Sums to the window."""

    kernel: int
    memcpy: int
    memset: int
    communication: int
    runtime: int
    dataloader: int
    cpu_op: int
    other: int

    def conserved(self, window: Window) -> bool:
        """Whether the classes sum to the window, to the nanosecond."""
        host = self.runtime + self.dataloader + self.cpu_op + self.other
        return self.kernel + self.memcpy + self.memset + self.communication + host == window.length


@dataclass(frozen=True, slots=True)
class Activity:
    """Where the window went."""

    devices: tuple[DeviceTimes, ...]  # that did work in the window, by ordinal
    shares: Shares
    busy: Intervals  # some device works, in either window
    dataloader_ns: int  # union of the DataLoader ranges
    has_collectives: bool


def find_activity(trace: Trace, window: Window, device: Window | None = None) -> Activity:
    """Device times and the breakdown of the device's window, which is the window where none is given."""
    device = window if device is None else device
    host = trace.events.rows(Category.CPU_OP, Category.ANNOTATION)
    fetches = rows_named(trace, host, is_dataloader)
    shares, has_collectives = _shares(trace, device, host, fetches)
    work = trace.events.rows(*DEVICE_WORK)
    return Activity(
        devices=_devices(trace, device),
        shares=shares,
        busy=intervals.join(window.cover(trace, work), device.cover(trace, work)),
        dataloader_ns=intervals.total(window.cover(trace, fetches)),
        has_collectives=has_collectives,
    )


def collective_kernels(work: DeviceWork) -> Ints:
    """The event rows of kernels that are collectives."""
    found: Ints = work.row[work.family == KernelFamily.COLLECTIVE]
    return found


def _devices(trace: Trace, window: Window) -> tuple[DeviceTimes, ...]:
    rows = trace.work.row
    active = window.holds(trace.events.ts_ns[rows]) | (window.durations(trace, rows) > 0)
    ordinals = np.unique(trace.work.device[active])
    return tuple(_device(trace, window, int(d), trace.work.of(trace.work.device == d)) for d in ordinals)


def _device(trace: Trace, window: Window, ordinal: int, work: DeviceWork) -> DeviceTimes:
    rows, category = work.row, trace.events.category[work.row]
    kernels, memcpys, memsets = (rows[category == kind] for kind in DEVICE_WORK)

    def started(some: Ints) -> int:
        return int(window.holds(trace.events.ts_ns[some]).sum())

    def covered(some: Ints) -> int:
        return intervals.total(window.cover(trace, some))

    return DeviceTimes(
        device=ordinal,
        kernels=started(kernels),
        memcpys=started(memcpys),
        memsets=started(memsets),
        busy_ns=covered(rows),
        kernel_ns=covered(kernels),
        kernel_sum_ns=int(window.durations(trace, kernels).sum()),
        memcpy_ns=covered(memcpys),
        memset_ns=covered(memsets),
        communication_ns=covered(collective_kernels(work)),
    )


def _shares(trace: Trace, window: Window, host: Ints, fetches: Ints) -> tuple[Shares, bool]:
    """Each class takes what the classes before it left of the window."""
    kernels = trace.events.rows(Category.KERNEL)
    collective = collective_kernels(trace.work)
    is_range = named(trace, host, is_collective_range)
    is_step = named(trace, host, lambda name: fields.step_number(name) is not None)
    is_fetch, is_mark = np.isin(host, fetches), named(trace, host, fields.is_mark)
    classes = (
        without(kernels, collective),
        trace.events.rows(Category.MEMCPY),
        trace.events.rows(Category.MEMSET),
        np.concatenate((collective, host[is_range])),
        trace.events.rows(*CALLS),
        fetches,
        host[~is_range & ~is_step & ~is_fetch & ~is_mark],
    )
    free = window.span
    taken: list[int] = []
    for rows in classes:
        left = intervals.subtract(free, window.cover(trace, rows))
        taken.append(intervals.total(free) - intervals.total(left))
        free = left
    taken.append(intervals.total(free))
    return Shares(*taken), bool(len(collective) or is_range.any())
