"""A CPU run against a GPU run of one script: which wins, and why. Operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stallscope.analysis.compare.figures import Sides
from stallscope.analysis.compare.runs import Run, mean, profiled_step
from stallscope.analysis.contract.compare import CpuAgainstGpu, OperatorChange, OperatorOnBoth, Statistics
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.units import microseconds

HALF = 0.5


def cpu_against_gpu(
    sides: Sides, operators: Sequence[OperatorChange], figures: Statistics, kind: str
) -> CpuAgainstGpu | None:
    """The two devices set side by side; None unless one side is CPU runs and the other GPU runs."""
    devices = [{run.device for run in side} for side in (sides.baseline, sides.candidate)]
    if sorted(map(sorted, devices)) != [["cpu"], ["gpu"]]:
        return None
    cpu_first = devices[0] == {"cpu"}
    rows = [_operator(row, cpu_first=cpu_first) for row in operators]
    faster = _winner(figures, kind, cpu_first=cpu_first)
    gpu_runs = sides.candidate if cpu_first else sides.baseline
    return CpuAgainstGpu(
        cpu_side="baseline" if cpu_first else "candidate",
        faster=faster,
        why=_why(faster, gpu_runs, rows),
        operators=sorted(rows, key=lambda row: (-max(row.cpu_us, row.gpu_host_us, row.gpu_device_us or 0), row.name)),
    )


def _operator(row: OperatorChange, *, cpu_first: bool) -> OperatorOnBoth:
    """One operator; a side on which it never ran counts 0."""
    host, device = row.host_self_us_per_step, row.device_us_per_step
    cpu, dispatch = (host.baseline, host.candidate) if cpu_first else (host.candidate, host.baseline)
    work = device.candidate if cpu_first else device.baseline
    cpu, dispatch = cpu or 0.0, dispatch or 0.0
    faster = None
    if work is not None and row.status == "both" and cpu != dispatch + work:
        faster = "cpu" if cpu < dispatch + work else "gpu"
    return OperatorOnBoth(name=row.name, cpu_us=cpu, gpu_host_us=dispatch, gpu_device_us=work, faster=faster)


def _winner(figures: Statistics, kind: str, *, cpu_first: bool) -> str | None:
    difference = figures.step_us.difference
    if kind in {"cannot tell", "no change", "withheld"} or not difference:
        return None
    return "cpu" if (difference > 0) == cpu_first else "gpu"


def _why(faster: str | None, gpu_runs: Sequence[Run], rows: Sequence[OperatorOnBoth]) -> str:
    """One or two sentences; figures of the GPU run are those of its trace, per step."""
    if faster is None:
        return "Neither side can be called faster."
    step, busy, launches = (_gpu(gpu_runs, pick) for pick in (profiled_step, _busy, _launches))
    if busy is None or not step or launches is None:
        return f"The {faster.upper()} run is faster; the GPU's own figures are unknown, so the reason is too."
    work = f"the GPU works {microseconds(busy)} of a {microseconds(step)} step"
    if faster == "gpu":
        host = sum(row.cpu_us for row in rows)
        return (
            f"The GPU run is faster: {work} (under the profiler); the CPU needs {microseconds(host)} for its operators."
        )
    if busy < HALF * step:
        return (
            f"The CPU run is faster: {work} (under the profiler) and is idle the rest, while the host starts "
            f"{launches:.3g} kernels or graphs. The work is too small for the GPU: give it more at once (larger "
            "batch), or start it with fewer launches (CUDA graph, torch.compile, fused optimizer)."
        )
    return f"The CPU run is faster: {work} (under the profiler), so its kernels themselves are slower than the CPU."


def _gpu(runs: Sequence[Run], pick: Callable[[Summary], float | None]) -> float | None:
    return mean(run.value(pick) for run in runs)


def _busy(summary: Summary) -> float | None:
    return summary.per_step.gpu_busy_us


def _launches(summary: Summary) -> float | None:
    kernels, graphs = summary.per_step.kernel_launches, summary.per_step.graph_launches
    return None if kernels is None or graphs is None else kernels + graphs
