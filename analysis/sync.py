"""Stage 4: where the host waits for the device.

``sync_calls`` are the Synchronize calls. The *sync stall* is host time blocked for any reason: those calls, less the
profiler's own, plus copies that block. The profiler's own is a DeviceSynchronize in no operator that opens or closes
the recording: the first or last call of the file, outside every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis import intervals
from stallscope.analysis.attribution import Operators
from stallscope.analysis.intervals import Intervals
from stallscope.analysis.memcpy import Copies
from stallscope.analysis.rows import rows_named
from stallscope.analysis.steps import Window
from stallscope.traces import fields
from stallscope.traces.trace import CALLS, Ints, Trace

LONG_WAIT_NS = 100_000  # returning from a wait, or a kernel's start, takes some 10 µs; an idle GPU this long does not


@dataclass(frozen=True, slots=True)
class Site:
    """Waits in one call under one operator; ns over the window."""

    operator: str | None
    api: str
    calls: int  # that start inside the window
    blocked_ns: int  # sum of durations inside the window
    by_profiler: bool


@dataclass(frozen=True, slots=True)
class Syncs:
    """The waits of the window."""

    calls: int  # Synchronize calls that start inside
    call_ns: int  # union of Synchronize calls
    stall: Intervals  # host blocked for any reason, the profiler's own waits left out
    sites: tuple[Site, ...]  # most time first

    def conserved(self) -> bool:
        """Whether the sites account for every instant of the stall."""
        return sum(s.blocked_ns for s in self.sites if not s.by_profiler) >= intervals.total(self.stall)


def find_syncs(trace: Trace, window: Window, copies: Copies, operators: Operators) -> Syncs:
    """The synchronizing calls and blocking copies of the window."""
    calls = trace.events.rows(*CALLS)
    synchronize = rows_named(trace, calls, fields.is_sync_call)
    own = _profilers_own(trace, window, calls, operators)
    blocking = np.union1d(np.setdiff1d(synchronize, own), copies.blocking_calls)
    sites = _sites(trace, window, blocking, operators) + _sites(trace, window, own, operators, by_profiler=True)
    return Syncs(
        calls=int(window.holds(trace.events.ts_ns[synchronize]).sum()),
        call_ns=intervals.total(window.cover(trace, synchronize)),
        stall=window.cover(trace, blocking),
        sites=tuple(sorted(sites, key=lambda s: (s.by_profiler, -s.blocked_ns, s.api, s.operator or ""))),
    )


def waits_without_work(stall: Intervals, busy: Intervals) -> int:
    """Nanoseconds the host waited while no recorded work ran on any device, in stretches longer than 100 µs.

    Nothing in the trace explains such a wait: the kernels it waited for were not recorded, or another process held
    the device.
    """
    alone = intervals.subtract(stall, busy)
    lengths = alone.ends - alone.starts
    return int(lengths[lengths > LONG_WAIT_NS].sum())


def _profilers_own(trace: Trace, window: Window, calls: Ints, operators: Operators) -> Ints:
    """The DeviceSynchronize rows that open or close the recording, at most two.

    The first and the last of the file, each only if it is in no operator, outside every step, and the first or last
    call of its thread (other threads, such as NCCL's watchdog, go on polling).
    """
    device_wide = rows_named(trace, calls, lambda name: fields.is_sync_call(name) and "DeviceSync" in name)
    found = []
    for edge in (0, -1) if len(device_wide) else ():
        row = int(device_wide[edge])
        same_thread = calls[trace.events.thread[calls] == trace.events.thread[row]]
        inside = window.from_steps and bool(window.holds(trace.events.ts_ns[[row]])[0])
        if same_thread[edge] == row and operators.parent[row] < 0 and not inside:
            found.append(row)
    return np.unique(np.array(found, dtype=np.int64))


def _sites(trace: Trace, window: Window, rows: Ints, operators: Operators, *, by_profiler: bool = False) -> list[Site]:
    """Waits grouped by operator and call."""
    durations = window.durations(trace, rows)
    inside = window.holds(trace.events.ts_ns[rows])
    found: dict[tuple[str | None, str], list[int]] = {}
    for row, ns, starts in zip(rows.tolist(), durations.tolist(), inside.tolist(), strict=True):
        if starts or ns:
            totals = found.setdefault((operators.user_operator(row), trace.name_of(row)), [0, 0])
            totals[0] += starts
            totals[1] += ns
    return [Site(operator, api, n, ns, by_profiler) for (operator, api), (n, ns) in found.items()]
