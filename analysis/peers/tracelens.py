"""Figures of TraceLens' ``gpu_timeline``, over our columns: unions over the whole trace, steps or not, all devices.

Computation is kernels without "nccl" in their name, and memsets; what of communication, then of copies, runs beside
nothing before it is *exposed*. The total runs from the first device row's start to the last one's end.
"""

from __future__ import annotations

from dataclasses import dataclass

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import named
from stallscope.traces.model.fields import DEVICE_WORK, Category
from stallscope.traces.model.trace import Trace
from stallscope.traces.vendors.peers import TRACELENS_COMMUNICATION


@dataclass(frozen=True, slots=True)
class TraceLensFigures:
    """Totals over the trace, µs."""

    total_us: float
    busy_us: float
    idle_us: float
    computation_us: float
    exposed_communication_us: float
    exposed_memcpy_us: float


def find_tracelens(trace: Trace) -> TraceLensFigures | None:
    """The figures; None where there is no device work."""
    events = trace.events
    rows = events.rows(*DEVICE_WORK)
    if not len(rows):
        return None
    copies = events.category[rows] == Category.MEMCPY
    communicates = named(trace, rows, lambda name: TRACELENS_COMMUNICATION in name) & ~copies
    computation, communication, memcpy = (
        intervals.union(events.ts_ns[some], events.end_ns[some])
        for some in (rows[~copies & ~communicates], rows[communicates], rows[copies])
    )
    total = int(events.end_ns[rows].max() - events.ts_ns[rows].min())
    busy = intervals.total(intervals.union(events.ts_ns[rows], events.end_ns[rows]))
    exposed = intervals.subtract(communication, computation)
    alone = intervals.subtract(intervals.subtract(memcpy, computation), communication)
    parts = (total, busy, total - busy, intervals.total(computation), intervals.total(exposed), intervals.total(alone))
    return TraceLensFigures(*(ns / 1000 for ns in parts))
