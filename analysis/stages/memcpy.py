"""Stage 3: copies by direction and kind of host memory, and which of them made the host wait.

Device rows are named ``Memcpy HtoD (Pageable -> Device)``; ROCm says ``Host`` and ``?`` for kinds. A copy from or to
pageable memory goes through a staging buffer: its "async" call returns only when the stream has drained (device to
host) or when the data has been staged (host to device). Copies within a device never wait, except through calls that
always do, such as ROCm's ``hipMemcpyWithStream``, which also labels the 1-byte copy of ``.item()`` device to device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns.rows import matches, named, rows_named
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import CALLS, Category
from stallscope.traces.model.trace import Bools, Ints, Trace

_NAME: Final = re.compile(r"Memcpy\s+(\S+)\s*(?:\((.+?)\s*->\s*(.+?)\))?\s*$", re.IGNORECASE)
_always_blocks: Final = matches(re.compile(r"hipMemcpyWithStream(_\w+)?$"))
_usually_blocks: Final = matches(  # not within a device
    re.compile(r"((cuda|hip)Memcpy(2D|3D)?(ToSymbol|FromSymbol)?|(cu|hip)Memcpy(DtoH|HtoD)?)(_v2)?(_ptds|_ptsz)?$")
)
_DIRECTIONS: Final = {
    "HtoD": "HtoD", "HtoA": "HtoD", "DtoH": "DtoH", "AtoH": "DtoH", "HtoH": "HtoH", "PtoP": "PtoP",
    "DtoD": "DtoD", "AtoA": "DtoD", "AtoD": "DtoD", "DtoA": "DtoD",
    "HostToDevice": "HtoD", "DeviceToHost": "DtoH", "DeviceToDevice": "DtoD", "PeerToPeer": "PtoP",
}  # fmt: skip


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


def direction_and_memory(name: str) -> tuple[str, str]:
    """("HtoD", "pageable") of ``Memcpy HtoD (Pageable -> Device)``; "unknown" where the name does not say."""
    found = _NAME.match(name)
    if found is None:
        return "unknown", "unknown"
    direction = _DIRECTIONS.get(found[1], "unknown")
    if direction in ("DtoD", "PtoP"):
        return direction, "device"
    side = {"HtoD": found[2], "DtoH": found[3]}.get(direction)
    return direction, side.lower() if side in ("Pageable", "Pinned") else "unknown"


def find_copies(trace: Trace, window: Window, launches: Launches) -> Copies:
    """Group the copies of the window and find those that blocked the host."""
    work = np.flatnonzero(trace.events.category[trace.work.row] == Category.MEMCPY)
    waits = _waits(trace, work, launches.work_call[work])
    blocking = np.union1d(launches.work_call[work][waits], _blocking_by_name(trace, launches))
    return Copies(_groups(trace, window, work, waits, launches), blocking)


def _waits(trace: Trace, work: Ints, calls: Ints) -> Bools:
    """For each copy row whether its call made the host wait, shape of ``work``."""
    rows = trace.work.row[work]
    kind = {name: direction_and_memory(trace.strings[name]) for name in np.unique(trace.events.name[rows]).tolist()}
    kinds = [kind[name] for name in trace.events.name[rows].tolist()]
    to_host = np.array([k == ("DtoH", "pageable") for k in kinds], dtype=np.bool_)
    from_host = np.array([k == ("HtoD", "pageable") for k in kinds], dtype=np.bool_)
    on_device = np.array([k[1] == "device" for k in kinds], dtype=np.bool_)
    by_name = named(trace, calls, _always_blocks) | (named(trace, calls, _usually_blocks) & ~on_device)
    lasted = trace.events.end_ns[calls] >= trace.events.end_ns[rows]
    waits: Bools = (calls >= 0) & (by_name | to_host | (from_host & lasted))
    return waits


def _blocking_by_name(trace: Trace, launches: Launches) -> Ints:
    """Calls that always block, and synchronous copy calls whose device row is missing."""
    calls = trace.events.rows(*CALLS)
    usual = rows_named(trace, calls, _usually_blocks)
    return np.union1d(rows_named(trace, calls, _always_blocks), usual[~np.isin(usual, launches.work_call)])


def _groups(trace: Trace, window: Window, work: Ints, waits: Bools, launches: Launches) -> tuple[CopyGroup, ...]:
    rows = trace.work.row[work]
    durations = window.durations(trace, rows)
    inside = window.holds(trace.events.ts_ns[rows])
    seen = inside | (durations > 0)
    groups: dict[tuple[str, str], list[Ints]] = {}
    for name in np.unique(trace.events.name[rows[seen]]):
        chosen = np.flatnonzero(seen & (trace.events.name[rows] == name))
        groups.setdefault(direction_and_memory(trace.strings[int(name)]), []).append(chosen)
    made = [
        _group(trace, kind, work, np.concatenate(parts), durations, inside, waits, launches)
        for kind, parts in groups.items()
    ]
    return tuple(sorted(made, key=lambda g: (-g.ns, g.direction, g.memory)))


def _group(
    trace: Trace,
    kind: tuple[str, str],
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
        direction=kind[0],
        memory=kind[1],
        count=len(started),
        bytes=int(sizes[told].sum()) if told.any() else None,
        ns=int(durations[chosen].sum()),
        timed_bytes=int(sizes[timed].sum()),
        timed_ns=int(full[timed].sum()),
        blocking=bool(waits[called].mean() > 0.5) if len(called) else None,  # noqa: PLR2004 - most
    )
