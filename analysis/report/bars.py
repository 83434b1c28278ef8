"""How the CPU spends a step, as the parts of one bar: the same for every kind of report."""

from __future__ import annotations

from typing import Final

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.table import step_us

OPERATORS: Final = "in operators"
LAUNCHES: Final = "calls starting kernels"
WAITS: Final = "waiting for GPU"
LOADS: Final = "loading data"
EXCHANGES: Final = "exchanging data"
PROFILER: Final = "the profiler's own wait"
SEEN: Final = 0.005  # of the step: a part as short has no place in a bar
REST: Final = "the rest: operators, Python"
AHEAD: Final = "done, ahead of the GPU"
REST_OF_CPU_RUN: Final = "the rest: Python etc."  # operators have a bar of their own there


def cpu_parts(summary: Summary) -> list[tuple[str, float]]:
    """(what, µs a step): starting kernels, waiting, loading data, the rest; of a CPU run operators, loading, the rest.

    Empty where no launch call could have been recorded.
    """
    each, whole = summary.per_step, step_us(summary)
    parts: list[tuple[str, float]] = []
    if summary.trace.vendor == "cpu":
        split = summary.breakdown_us
        parts.append((OPERATORS, each.operator_us or 0.0))
        parts += [(what, us) for what, us in ((EXCHANGES, split.communication), (LOADS, split.dataloader)) if us]
        return [*parts, (REST_OF_CPU_RUN, max(0.0, whole - sum(us for _, us in parts)))]
    if each.launch_call_us is None:
        return []
    parts += [(LAUNCHES, each.launch_call_us), (WAITS, each.sync_stall_us or 0.0)]
    if each.dataloader_us:
        parts.append((LOADS, each.dataloader_us))
    busy = summary.steps.wall_us.mean if summary.steps.run_ahead else whole
    own = sum(site.blocked_us_per_step for site in summary.sync_sites or [] if site.by_profiler)
    if own >= SEEN * whole:
        parts.append((PROFILER, own))
    parts.append((REST, max(0.0, busy - sum(us for _, us in parts))))
    return [*parts, (AHEAD, max(0.0, whole - busy))] if summary.steps.run_ahead else parts
