"""Copies by direction and kind of host memory, and which of them made the host wait.

A copy from or to pageable memory goes through a staging buffer: its "async" call returns only when the stream has
drained (device to host) or when the data has been staged (host to device). Copies within a device never wait, except
through calls that always do, such as ROCm's ``hipMemcpyWithStream``, which also labels the 1-byte copy of ``.item()``
device to device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns.rows import both, grouped
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import CallKind, Category, Direction, Memory
from stallscope.traces.model.trace import Bools, Ints, Trace

SHORTEST_UPLOAD_NS: Final = 5_000


@dataclass(frozen=True, slots=True)
class CopyGroup:
    """Copies of one direction and memory kind over the window; times in ns."""

    direction: str
    memory: str
    count: int
    bytes: int | None  # of the copies that start inside; None: none says its size
    ns: int  # sum of durations inside the window
    timed_bytes: int  # bytes and duration of the copies that have both
    timed_ns: int
    blocking: bool | None  # most of them kept the host waiting; None: no call is known


@dataclass(frozen=True, slots=True)
class Copies:
    """Every copy group of the window, most time first, and the calls that blocked."""

    groups: tuple[CopyGroup, ...]
    blocking_calls: Ints  # event rows, trace-wide: copy calls in which the host waited

    def conserved(self, memcpy_rows: int) -> bool:
        """Whether the groups hold every copy that starts inside the window."""
        return sum(group.count for group in self.groups) == memcpy_rows


def find_copies(trace: Trace, window: Window, launches: Launches) -> Copies:
    """Group the copies of the window and find those that blocked the host."""
    work = np.flatnonzero(trace.events.category[trace.work.row] == Category.MEMCPY)
    waits = _waits(trace, work, launches.work_call[work])
    blocking = both(launches.work_call[work][waits], _blocking_by_kind(trace, launches))
    return Copies(_groups(trace, window, work, waits, launches), blocking)


def _waits(trace: Trace, work: Ints, calls: Ints) -> Bools:
    """For each copy row whether its call made the host wait, shape of ``work``."""
    events, direction, memory = trace.events, trace.work.direction[work], trace.work.memory[work]
    by_call = events.is_call(calls, CallKind.COPY) & (memory != Memory.device)
    by_call |= events.is_call(calls, CallKind.COPY_WAITS)
    rows = trace.work.row[work]
    half = (events.dur_ns[rows] >= SHORTEST_UPLOAD_NS) & (
        events.end_ns[calls] > events.ts_ns[rows] + events.dur_ns[rows] // 2
    )  # of an upload the call returns when the last piece is staged, up to 0.1 ms before the copy ends
    lasted = half | (events.end_ns[calls] >= events.end_ns[rows])
    staged = (direction == Direction.DtoH) | ((direction == Direction.HtoD) & lasted)
    waits: Bools = (calls >= 0) & (by_call | (staged & (memory == Memory.pageable)))
    return waits


def _blocking_by_kind(trace: Trace, launches: Launches) -> Ints:
    """Calls that always block, and synchronous copy calls whose device row is missing."""
    usual = trace.events.calls(CallKind.COPY)
    return both(trace.events.calls(CallKind.COPY_WAITS), usual[~np.isin(usual, launches.work_call)])


def _groups(trace: Trace, window: Window, work: Ints, waits: Bools, launches: Launches) -> tuple[CopyGroup, ...]:
    rows = trace.work.row[work]
    durations = window.durations(trace, rows)
    inside = window.holds(trace.events.ts_ns[rows])
    seen = inside | (durations > 0)
    kinds = trace.work.direction[work].astype(np.int64) * len(Memory) + trace.work.memory[work]
    made = [
        _group(trace, work, chosen[seen[chosen]], durations, inside, waits, launches)
        for _, chosen in grouped(kinds)
        if seen[chosen].any()
    ]
    return tuple(sorted(made, key=lambda g: (-g.ns, g.direction, g.memory)))


def _group(
    trace: Trace,
    work: Ints,
    chosen: Ints,
    durations: Ints,
    inside: Bools,
    waits: Bools,
    launches: Launches,
) -> CopyGroup:
    """Totals of one group; ``chosen`` indexes ``work`` and the arrays of its shape."""
    started = chosen[inside[chosen]]
    sizes, told = trace.work.bytes.values[work[started]], trace.work.bytes.known[work[started]]
    full = trace.events.dur_ns[trace.work.row[work[started]]]
    timed = told & (full > 0)
    called = chosen[launches.work_call[work[chosen]] >= 0]
    return CopyGroup(
        direction=Direction(int(trace.work.direction[work[chosen[0]]])).name,
        memory=Memory(int(trace.work.memory[work[chosen[0]]])).name,
        count=len(started),
        bytes=int(sizes[told].sum()) if told.any() else None,
        ns=int(durations[chosen].sum()),
        timed_bytes=int(sizes[timed].sum()),
        timed_ns=int(full[timed].sum()),
        blocking=bool(waits[called].mean() > 0.5) if len(called) else None,  # noqa: PLR2004 - most
    )
