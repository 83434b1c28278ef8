"""What belongs to which operator, and which kernels took the time.

A call belongs to the innermost operator open on its thread when it starts; device work belongs to the operator of its
call (correlation → call → containment in time). ``External id`` is not used: in many files it links wrongly.
An instant of host time belongs to the innermost operator of its thread, so self times add up to the time in operators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns import nesting
from stallscope.analysis.columns.ranges import sums, sums_around
from stallscope.analysis.columns.rows import numbered
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import CALLS, Category
from stallscope.traces.model.trace import ROUNDING_NS, Bools, Ints, Trace


@dataclass(frozen=True, slots=True)
class OperatorTotals:
    """One operator name over the window; ns."""

    name: str
    calls: int  # that start inside
    host_ns: int  # outermost calls of this name
    self_ns: int
    device_ns: int  # sum of durations of device work launched directly under it
    launches: int  # directly under it
    device_total_ns: int  # the same with what the operators in it launched
    launches_total: int


@dataclass(frozen=True, slots=True)
class KernelTotals:
    """One kernel name over the window."""

    name: str
    count: int  # that start inside
    ns: int  # sum of durations inside the window
    mean_ns: float  # mean full duration


@dataclass(frozen=True, slots=True)
class Operators:
    """The nesting of operators and calls, and the totals by operator name."""

    trace: Trace
    rows: Ints  # (o,) event rows of operators, grouped by thread, each thread in order of time
    parent: Ints  # (n,) innermost operator around each operator and call; -1: none, or neither
    self_ns: Ints  # (o,) self time inside the window
    totals: tuple[OperatorTotals, ...]  # most self time first
    unattributed_ns: int  # device time whose call is unknown or lies in no operator
    unattributed_launches: int  # launches in no operator

    def sums_up(self, window: Window, launches: Launches) -> bool:
        """Whether device time and launches of all operators, and of none, are those of the window."""
        device_ns = sum(o.device_ns for o in self.totals) + self.unattributed_ns
        started = sum(o.launches for o in self.totals) + self.unattributed_launches
        total_ns = int(window.durations(self.trace, self.trace.work.row).sum())
        return device_ns == total_ns and started == len(launches.calls)

    def conserved(self, window: Window) -> bool:
        """Whether self times sum, thread by thread, to the time in operators."""
        threads = self.trace.events.thread[self.rows]
        return all(
            int(self.self_ns[threads == thread].sum()) == _covered(self.trace, window, self.rows[threads == thread])
            for thread in np.unique(threads)
        )


def find_operators(trace: Trace, window: Window, launches: Launches) -> Operators:
    """Nest operators and calls; total host time, device time and launches by operator name."""
    nested = _nest(trace, window)
    totals, *outside = _totals(trace, window, launches, nested)
    return Operators(trace, nested.rows, nested.parent, nested.self_ns, totals, *outside)


def find_kernels(trace: Trace, window: Window) -> tuple[KernelTotals, ...]:
    """Kernels of the window by name, most time first."""
    rows = trace.events.rows(Category.KERNEL)
    inside, ns = window.holds(trace.events.ts_ns[rows]), window.durations(trace, rows)
    seen = inside | (ns > 0)
    rows, inside, ns = rows[seen], inside[seen], ns[seen]
    names, group = numbered(trace.events.name[rows])
    counts, rows_each = sums(group, inside, len(names)), sums(group, np.ones(len(rows)), len(names))
    times, full = sums(group, ns, len(names)), sums(group, trace.events.dur_ns[rows], len(names))
    found = [
        KernelTotals(trace.strings[int(name)], int(counts[i]), int(times[i]), float(full[i] / rows_each[i]))
        for i, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda k: (-k.ns, k.name)))


@dataclass(frozen=True, slots=True)
class _Nested:
    """The first three columns of ``Operators``, and which operators lie in no other of their name."""

    rows: Ints
    parent: Ints
    self_ns: Ints
    outermost: Bools  # (o,)


def _nest(trace: Trace, window: Window) -> _Nested:
    """Nest them by thread; a call has a parent and is none: only operators nest."""
    events = trace.events
    rows = events.rows(Category.CPU_OP, *CALLS)
    rows = rows[np.argsort(events.thread[rows], kind="stable")]
    is_operator = events.category[rows] == Category.CPU_OP
    threads, starts, ends = events.thread[rows], events.ts_ns[rows], events.end_ns[rows]
    inner = nesting.parents(threads, starts, ends, is_operator)
    apart = nesting.without_rounding(starts, ends, inner, ROUNDING_NS)
    if apart is not ends:
        ends, inner = apart, nesting.parents(threads, starts, apart, is_operator)
    parent = np.full(len(events), -1, dtype=np.int64)
    parent[rows] = np.where(inner >= 0, rows[inner], -1)
    operators = rows[is_operator]
    place = np.cumsum(is_operator) - 1
    among = np.where(inner >= 0, place[inner], -1)[is_operator]
    found = nesting.forest(starts[is_operator], ends[is_operator], among)
    self_ns, outermost = found.self_ns(window.place), found.outermost(events.name[operators])
    return _Nested(operators, parent, self_ns, outermost)


def _totals(
    trace: Trace, window: Window, launches: Launches, nested: _Nested
) -> tuple[tuple[OperatorTotals, ...], int, int]:
    """Totals by operator name; the device time and the launches that belong to none."""
    rows, parent = nested.rows, nested.parent
    names, group = numbered(trace.events.name[rows])
    inside, ns = window.holds(trace.events.ts_ns[rows]), window.durations(trace, rows)
    place = np.full(len(trace.events) + 1, -1, dtype=np.int64)
    place[rows] = group  # event row of an operator → position of its name; the last slot stands for "none"
    device_ns = window.durations(trace, trace.work.row)
    work_row = np.where(launches.work_call >= 0, parent[launches.work_call], -1)
    launch_row = parent[launches.calls]
    work_group, launch_group, size = place[work_row], place[launch_row], len(names)
    is_outermost = np.zeros(len(trace.events), dtype=np.bool_)
    is_outermost[rows[nested.outermost]] = True
    one_each = np.ones(len(launch_row), dtype=np.int64)
    columns = (
        sums(group, inside, size),
        sums(group, np.where(nested.outermost, ns, 0), size),
        sums(group, nested.self_ns, size),
        sums(work_group[work_group >= 0], device_ns[work_group >= 0], size),
        sums(launch_group[launch_group >= 0], one_each[launch_group >= 0], size),
        sums_around(parent, is_outermost, place, work_row, device_ns, size),
        sums_around(parent, is_outermost, place, launch_row, one_each, size),
    )
    found = [
        OperatorTotals(trace.strings[int(name)], *(int(column[i]) for column in columns))
        for i, name in enumerate(names)
        if any(column[i] for column in columns)
    ]
    found.sort(key=lambda o: (-o.self_ns, o.name))
    return tuple(found), int(device_ns[work_group < 0].sum()), int((launch_group < 0).sum())


def _covered(trace: Trace, window: Window, rows: Ints) -> int:
    cover = window.cover(trace, rows)
    return int((cover.ends - cover.starts).sum())
