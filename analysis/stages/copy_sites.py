"""Copies by the place they were made from: what they moved, whether they held the host up, ran beside kernels.

*Overlap* is the time of a copy during which a kernel ran on its device. Whether ``non_blocking=True`` was asked for is
told by what PyTorch does otherwise: ``aten::copy_`` follows a blocking copy with a ``cudaStreamSynchronize``, and on
ROCm calls ``hipMemcpyWithStream`` in place of ``hipMemcpyAsync``. A copy between host and device for which it was asked
though the memory is pageable is the trap: it goes through a staging buffer all the same, and to the host it waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import named
from stallscope.analysis.stages.memcpy import Copies
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.operators import Operators
from stallscope.analysis.stages.where.places import Place, Places
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import SYNCHRONIZES, CallKind, Category, Direction, Memory
from stallscope.traces.model.trace import Ints, Trace

COPY: Final = "aten::copy_"
Answer = int  # of whether non_blocking was asked for: 1 yes, 0 no, -1 the trace does not tell


@dataclass(frozen=True, slots=True)
class CopySite:
    """Copies of one kind from one place over the window; ns."""

    direction: str
    memory: str
    place: Place | None  # None: no call in the trace caused them
    non_blocking: bool | None  # asked for; None: the trace does not tell
    count: int  # that start inside
    bytes: int | None
    ns: int  # sum of durations inside the window
    timed_bytes: int  # bytes and duration of the copies that have both
    timed_ns: int
    overlap_ns: int  # of ``ns``, while a kernel ran on the device
    blocked_ns: int  # in the calls that waited, inside the window

    @property
    def is_trap(self) -> bool:
        """Whether non_blocking was asked for and the memory is pageable."""
        return self.non_blocking is True and self.memory == "pageable"


def find_copy_sites(
    trace: Trace, window: Window, launches: Launches, places: Places, copies: Copies
) -> tuple[CopySite, ...]:
    """Every copy of the window by kind and place, most time first."""
    work = np.flatnonzero(trace.events.category[trace.work.row] == Category.MEMCPY)
    rows = trace.work.row[work]
    work = work[window.holds(trace.events.ts_ns[rows]) | (window.durations(trace, rows) > 0)]
    calls = launches.work_call[work]
    known = calls >= 0
    made_at: list[Place | None] = [None] * len(work)
    for i, place in zip(np.flatnonzero(known).tolist(), places.of(calls[known]), strict=True):
        made_at[i] = place
    direction, memory = trace.work.direction[work], trace.work.memory[work]
    with_host = np.isin(direction, (Direction.HtoD, Direction.DtoH))
    asked = np.where(with_host, _asked(trace, places.operators, calls), -1)
    groups: dict[tuple[int, int, Place | None, Answer], list[int]] = {}
    for i, key in enumerate(zip(direction.tolist(), memory.tolist(), made_at, asked.tolist(), strict=True)):
        groups.setdefault(key, []).append(i)
    columns = _Columns(trace, window, work, calls, copies)
    found = [columns.site(*key, np.array(members, dtype=np.int64)) for key, members in groups.items()]
    return tuple(sorted(found, key=lambda s: (-s.ns, s.direction, s.memory, str(s.place), str(s.non_blocking))))


def _asked(trace: Trace, operators: Operators, calls: Ints) -> Ints:
    """The answer for each copy call (-1: no call), shape of ``calls``."""
    found = np.full(len(calls), -1, dtype=np.int64)
    followed = operators.parent[trace.events.calls(*SYNCHRONIZES)]
    parent = np.where(calls >= 0, operators.parent[calls], -1) if len(calls) else calls
    of_copy = named(trace, parent, lambda name: name == COPY)
    always = trace.events.is_call(calls, CallKind.COPY_WAITS)
    waits = np.isin(parent, followed) if trace.vendor == "cuda" else always
    found[of_copy] = np.where(waits, 0, 1)[of_copy]
    return found


class _Columns:
    """What is summed over the copies of a site, each shape of ``work``."""

    def __init__(self, trace: Trace, window: Window, work: Ints, calls: Ints, copies: Copies) -> None:
        rows = trace.work.row[work]
        self._inside = window.holds(trace.events.ts_ns[rows])
        self._ns = window.durations(trace, rows)
        self._full = trace.events.dur_ns[rows]
        self._sizes, self._told = trace.work.bytes.values[work], trace.work.bytes.known[work]
        self._overlap = _overlaps(trace, window, work)
        blocked = (calls >= 0) & np.isin(calls, copies.blocking_calls)
        _, first = np.unique(calls, return_index=True)
        counts = np.zeros(len(calls), dtype=np.bool_)
        counts[first] = True  # a call that caused several rows is blocked once
        self._blocked = np.where(blocked & counts, window.durations(trace, calls) if len(calls) else calls, 0)

    def site(self, direction: int, memory: int, place: Place | None, asked: Answer, chosen: Ints) -> CopySite:
        """Totals of the copies ``chosen``."""
        started = chosen[self._inside[chosen]]
        told = started[self._told[started]]
        timed = told[self._full[told] > 0]
        return CopySite(
            direction=Direction(direction).name,
            memory=Memory(memory).name,
            place=place,
            non_blocking=None if asked < 0 else bool(asked),
            count=len(started),
            bytes=int(self._sizes[told].sum()) if len(told) else None,
            ns=int(self._ns[chosen].sum()),
            timed_bytes=int(self._sizes[timed].sum()),
            timed_ns=int(self._full[timed].sum()),
            overlap_ns=int(self._overlap[chosen].sum()),
            blocked_ns=int(self._blocked[chosen].sum()),
        )


def _overlaps(trace: Trace, window: Window, work: Ints) -> Ints:
    """How long a kernel ran on its device during each copy, inside the window, ns, shape of ``work``."""
    found = np.zeros(len(work), dtype=np.int64)
    kernels = np.flatnonzero(trace.events.category[trace.work.row] == Category.KERNEL)
    for device in np.unique(trace.work.device[work]):
        mine = trace.work.device[work] == device
        cover = window.cover(trace, trace.work.row[kernels[trace.work.device[kernels] == device]])
        rows = trace.work.row[work[mine]]
        ends, starts = trace.events.end_ns[rows], trace.events.ts_ns[rows]
        found[mine] = intervals.covered_before(cover, ends) - intervals.covered_before(cover, starts)
    return found
