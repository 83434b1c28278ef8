"""Calls that start device work, the work itself, and how the two are paired.

A launch is a runtime or driver call and the device work it caused, paired by correlation. A graph launch is one
launch, however many kernels it runs. Queue delay is device start − call end; it may be negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import numbered
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import CALLS, LAUNCHES, NOT_ANALYSED, CallKind
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.trace import Ints, Trace


@dataclass(frozen=True, slots=True)
class Launches:
    """What starts device work. Times in integer ns, counts and unions over the window."""

    known: bool  # False: no runtime call of a known vendor was recorded, so nothing was counted
    recorded: bool  # False: device rows are withheld (a CPU run, or launches whose work was not recorded)
    started: int  # kernel and graph launches of the whole file
    kernel_launches: int
    graph_launches: int
    calls: Ints  # event rows of kernel and graph launches that start inside the window
    calls_cover: Intervals  # union of the launch calls
    work_call: Ints  # (m,) for each row of trace.work the event row of its call, -1 where there is none
    queue_delay_ns: Ints  # device start − call end: first device row of each paired call of the window

    @property
    def total(self) -> int:
        """Kernel and graph launches."""
        return self.kernel_launches + self.graph_launches


def find_launches(trace: Trace, window: Window) -> Launches:
    """Count launches, pair them with device work."""
    calls = trace.events.rows(*CALLS)
    analysed = trace.vendor not in (*NOT_ANALYSED, "cpu")
    started = trace.events.calls(*LAUNCHES)
    inside = started[window.holds(trace.events.ts_ns[started])]
    graphs = int(trace.events.is_call(inside, CallKind.GRAPH_LAUNCH).sum())
    work_call = pair(trace, calls)
    has_work = len(trace.work) > 0 and not any(issue.withholds_device_figures for issue in trace.issues)
    return Launches(
        known=analysed and len(calls) > 0,
        recorded=analysed and (has_work or not len(started)),
        started=len(started),
        kernel_launches=len(inside) - graphs,
        graph_launches=graphs,
        calls=inside,
        calls_cover=window.cover(trace, started),
        work_call=work_call,
        queue_delay_ns=_queue_delays(trace, window, work_call),
    )


def launch_issues(trace: Trace, launches: Launches) -> list[TraceIssue]:
    """Launches whose work was not recorded, or a vendor whose calls are not known here."""
    if trace.vendor in NOT_ANALYSED:
        advice = f"GPU figures are withheld: the calls of {trace.vendor.upper()} devices are not understood yet."
        return [TraceIssue("vendor_not_analysed", Severity.INFO, 1, advice)]
    if launches.recorded or not launches.known or len(trace.work):
        return []
    advice = (
        "Kernels were launched and none was recorded, so GPU figures are withheld. Profile again with GPU activity on "
        "and no other profiler (Nsight, DCGM) running; on CUDA, CUPTI must be installed."
    )
    return [TraceIssue("no_gpu_records", Severity.DATA_LOSS, launches.started, advice)]


def pair(trace: Trace, calls: Ints) -> Ints:
    """For each row of ``trace.work`` the event row of the call that caused it, or -1, shape (m,).

    Where several calls carry one correlation (a runtime call and the driver call inside it), the outer one counts:
    events are ordered by start, longest first.
    """
    known = trace.events.correlation.known
    calls = calls[known[calls]]
    found = np.full(len(trace.work), -1, dtype=np.int64)
    if not len(calls):
        return found
    ids, first = np.unique(trace.events.correlation.values[calls], return_index=True)
    wanted = trace.events.correlation.values[trace.work.row]
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    matched = (ids[place] == wanted) & known[trace.work.row]
    found[matched] = calls[first[place[matched]]]
    return found


def launched_at(trace: Trace, launches: Launches) -> Ints:
    """When each row of ``trace.work`` was launched: its call's start, else its own start; ns, shape (m,)."""
    starts = trace.events.ts_ns[trace.work.row]
    calls = launches.work_call
    return np.where(calls >= 0, np.minimum(trace.events.ts_ns[calls], starts), starts) if len(starts) else starts


def stream_numbers(trace: Trace) -> Ints:
    """A number for the (device, stream) of each row of ``trace.work``, counted from 0, shape (m,)."""
    streams, by_stream = numbered(trace.work.stream)
    _, by_device = numbered(trace.work.device)
    return by_device * len(streams) + by_stream


def _queue_delays(trace: Trace, window: Window, work_call: Ints) -> Ints:
    """Device start − call end of the first device row of each call that starts inside the window."""
    paired = np.flatnonzero(work_call >= 0)
    _, first = np.unique(work_call[paired], return_index=True)  # work rows ascend in time
    work, calls = trace.work.row[paired[first]], work_call[paired[first]]
    delays = trace.events.ts_ns[work] - trace.events.end_ns[calls]
    return delays[window.holds(trace.events.ts_ns[calls])]
