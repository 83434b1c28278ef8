"""Our figures beside the same figures as HTA, torch-tb-profiler and TraceLens define them, and why they differ.

The peers' definitions are computed here, over the trace as we read it; the peers themselves are not needed. Totals of
HTA and TraceLens are set beside ours over our whole window, figures of torch-tb-profiler beside ours per step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stallscope.analysis.contract.idle import IDLE_CAUSES
from stallscope.analysis.contract.rows import PeerRow
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.peers.hta import FULL_QUEUE, KERNEL_DELAY_US, HtaFigures, find_hta
from stallscope.analysis.peers.tb import TbFigures, find_tb
from stallscope.analysis.peers.tracelens import TraceLensFigures, find_tracelens
from stallscope.analysis.units import count
from stallscope.traces.model.trace import Trace

HTA: Final = "HTA"
TB: Final = "torch-tb-profiler"
TRACELENS: Final = "TraceLens"
SAME: Final = 1e-6  # relative

_ROLES: Final = {
    "kernel": "kernels",
    "memcpy": "copies",
    "memset": "memory fills",
    "communication": "communication",
    "runtime": "runtime calls",
    "dataloader": "DataLoader",
    "cpu_op": "operators and ranges",
    "other": "other",
}
_OF_CALLS: Final = ("runtime", "dataloader", "cpu_op", "other")  # what driver calls could count for


def find_peers(trace: Trace, summary: Summary) -> list[PeerRow]:
    """One row a figure, peer by peer; peers that find nothing in the trace have no rows."""
    hta, tb, tracelens = find_hta(trace), find_tb(trace), find_tracelens(trace)
    rows: list[PeerRow] = []
    if hta is not None:
        rows += _hta(hta, summary)
    if tb is not None:
        rows += _tb(tb, summary)
    if tracelens is not None:
        rows += _tracelens(tracelens, summary)
    return rows


def _row(peer: str, figure: str, what: str, unit: str, value: float | None, ours: float | None, why: str) -> PeerRow:
    """One figure; where both agree there is nothing to explain."""
    same = value is not None and ours is not None and abs(value - ours) <= SAME * max(abs(value), abs(ours), 1.0)
    return PeerRow(
        peer=peer, figure=figure, what=what, unit=unit, value=value, ours=ours, why="the same here" if same else why
    )


def _total(summary: Summary, *per_step: float | None) -> float | None:
    """The sum of figures per step over the whole window; None where one is withheld."""
    known = [each for each in per_step if each is not None]
    return sum(known) * summary.steps.count if len(known) == len(per_step) else None


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


# -- HTA ------------------------------------------------------------------------------------------------------------


def _hta(found: HtaFigures, summary: Summary) -> Iterator[PeerRow]:
    yield from _hta_temporal(found, summary)
    yield from _hta_idle(found, summary)
    yield from _hta_launches(found, summary)


def _hta_window(found: HtaFigures, summary: Summary) -> str:
    span = "from its first device row to its last"
    if found.dropped:
        return f"HTA leaves out the last of {found.steps + 1} steps, and counts {span}"
    return f"HTA counts the whole file, {span}" if summary.steps.source == "profiler_step" else f"HTA counts {span}"


def _hta_temporal(found: HtaFigures, summary: Summary) -> Iterator[PeerRow]:
    rounding = "; starts are rounded up and ends down to whole µs" if found.rounded else ""
    waits = f"; {count(found.wait_rows)} rows in which the host waits (cuda_sync) count as GPU work"
    busy = f"other window (above){waits if found.wait_rows else ''}{rounding}"
    step, parts = summary.per_step, summary.breakdown_us
    ours = summary.steps.window_us
    idle = _total(summary, step.gpu_idle_us)
    rest = _total(summary, parts.memcpy, parts.memset, parts.communication)
    share = _share(found.idle_us, found.kernel_us)
    compute = f"other window (above); communication is what is named nccl*Kernel{rounding}"
    yield _row(HTA, "kernel_time_us", "time looked at", "us", found.kernel_us, ours, _hta_window(found, summary))
    yield _row(HTA, "idle_time_us", "GPU idle", "us", found.idle_us, idle, busy)
    yield _row(HTA, "idle_time_share", "GPU idle", "share", share, _share(idle, ours), busy)
    yield _row(HTA, "non_compute_time_us", "GPU busy, not computing", "us", found.non_compute_us, rest, busy)
    yield _row(HTA, "compute_time_us", "GPU computing", "us", found.compute_us, _total(summary, parts.kernel), compute)


def _hta_idle(found: HtaFigures, summary: Summary) -> Iterator[PeerRow]:
    streams = "other window (above); gaps of each stream are added up, also while another stream works; no waits"
    total = found.host_wait_us + found.kernel_wait_us + found.other_us
    idle = summary.idle_us
    host = ("sync", "dataloader", "host_python", "host_operator")
    others = [cause.name for cause in IDLE_CAUSES if cause.name not in (*host, "launch")]
    ours, rest = (_total(summary, *(getattr(idle, name) for name in names)) for names in (host, others))
    late = "gaps after which the launch call came only when the stream had run dry; ours names what the host did then"
    short = f"gaps under {KERNEL_DELAY_US} µs (documented as ns) that were launched in time; ours is launch latency"
    other = "longer gaps that were launched in time; ours tells copies, other streams and lost stretches apart"
    yield _row(HTA, "idle_by_stream_us", "idle, by stream", "us", total, _total(summary, summary.per_step.gpu_idle_us),
               streams)  # fmt: skip
    yield _row(HTA, "host_wait_us", "of it host wait", "us", found.host_wait_us, ours, late)
    yield _row(HTA, "kernel_wait_us", "of it kernel wait", "us", found.kernel_wait_us, _total(summary, idle.launch),
               short)  # fmt: skip
    yield _row(HTA, "other_us", "of it other", "us", found.other_us, rest, other)


def _hta_launches(found: HtaFigures, summary: Summary) -> Iterator[PeerRow]:
    step = summary.per_step
    names = (
        "HTA pairs cudaLaunchKernel, cudaLaunchKernelExC, cudaMemcpyAsync and cudaMemsetAsync with device rows; no "
        "Triton, HIP or graph launches. Ours: calls that start kernels"
    )
    delay = "HTA: mean, negative delays as 0, copies too. Ours: median, negative kept"
    short = "kernels shorter than their launch call, of calls up to 50 µs"
    median = step.queue_delay_us.p50 if step.queue_delay_us else None
    started = _total(summary, step.kernel_launches, step.graph_launches)
    queue = "operations launched and not begun, the most on one stream"
    full = f"time with {FULL_QUEUE} or more of them, on any stream"
    yield _row(HTA, "launches", "launches", "count", found.launches, started, names)
    yield _row(HTA, "launch_delay_us", "launch delay", "us", found.launch_delay_us, median, delay)
    yield _row(HTA, "short_kernels", "short kernels", "count", found.short_kernels, None, short)
    yield _row(HTA, "runtime_outliers", "slow launch calls", "count", found.slow_launches, None, "calls over 50 µs")
    yield _row(HTA, "launch_delay_outliers", "late starts", "count", found.late_launches, None, "delays over 100 µs")
    yield _row(HTA, "longest_queue", "longest launch queue", "count", found.longest_queue, None, queue)
    yield _row(HTA, "full_queue_us", "time with a full queue", "us", found.full_queue_us, None, full)


# -- torch-tb-profiler ----------------------------------------------------------------------------------------------


def _tb(found: TbFigures, summary: Summary) -> Iterator[PeerRow]:
    steps = _tb_steps(found, summary)
    each = summary.steps.window_us / summary.steps.count
    calls = "driver calls (cuLaunchKernel …) are no runtime calls there"
    yield _row(TB, "step_us", "step time", "us", found.total_us, each, steps or "no time between steps counts there")
    for role, what in _ROLES.items():
        why = "; ".join(part for part in (steps and "other steps (above)", calls if role in _OF_CALLS else "") if part)
        ours = getattr(summary.breakdown_us, role)
        yield _row(TB, f"{role}_us", what, "us", found.roles_us[role], ours, why or "other steps (above)")
    busy, filling = summary.per_step.gpu_busy_us, summary.utilization
    kernels = "kernels only; ours counts copies and memory fills as work too"
    sms, occupancy = filling.est_sm_efficiency, filling.est_occupancy
    other = "other steps (above)"
    yield _row(TB, "gpu_utilization", "GPU utilization", "share", found.gpu_utilization, _share(busy, each), kernels)
    yield _row(TB, "est_sm_efficiency", "est. SM efficiency", "share", found.sm_efficiency, sms, other)
    yield _row(TB, "est_occupancy_percent", "est. occupancy", "percent", found.occupancy_percent, occupancy, other)


def _tb_steps(found: TbFigures, summary: Summary) -> str:
    """How its steps differ from ours; "" where they do not."""
    said = []
    if summary.steps.source != "profiler_step":
        said.append("it makes one step of the time from the first operator to the last")
    if found.moved:
        said.append("its steps end with the last GPU work they launched, ours on the host")
    if found.dropped:
        said.append(f"it leaves out the last {found.dropped} of its steps, whose GPU work looks cut short")
    return "; ".join(said)


# -- TraceLens ------------------------------------------------------------------------------------------------------


def _tracelens(found: TraceLensFigures, summary: Summary) -> Iterator[PeerRow]:
    step, parts = summary.per_step, summary.breakdown_us
    whole = "TraceLens knows no steps: all GPU work of the file, from its first start to its last end"
    other = "other window (above)"
    ours = {
        "busy": _total(summary, step.gpu_busy_us),
        "idle": _total(summary, step.gpu_idle_us),
        "computing": _total(summary, parts.kernel, parts.memset),
        "communication": _total(summary, parts.communication),
        "copies": _total(summary, parts.memcpy),
    }

    def row(figure: str, what: str, value: float, mine: float | None, why: str = other) -> PeerRow:
        return _row(TRACELENS, f"{figure}_time_us", what, "us", value, mine, why)

    yield row("total", "time looked at", found.total_us, summary.steps.window_us, whole)
    yield row("busy", "GPU busy", found.busy_us, ours["busy"])
    yield row("idle", "GPU idle", found.idle_us, ours["idle"])
    yield row("computation", "computing (with memset)", found.computation_us, ours["computing"])
    yield row("exposed_comm", "communication alone", found.exposed_communication_us, ours["communication"])
    yield row("exposed_memcpy", "copies alone", found.exposed_memcpy_us, ours["copies"])
