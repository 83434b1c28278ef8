"""The ledger in the words of the contract: waits, idle causes, launches and copies, per step."""

from __future__ import annotations

import numpy as np

from stallscope.analysis.contract import rows as contract_rows
from stallscope.analysis.contract import summary as contract
from stallscope.analysis.contract.idle import IDLE_CAUSES, Idle
from stallscope.analysis.stages.copy_sites import CopySite
from stallscope.analysis.stages.launch_stats import LaunchCosts
from stallscope.analysis.stages.memcpy import CopyGroup
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.where.places import NOWHERE
from stallscope.traces.model.trace import Ints


def fill_idle(stages: Stages) -> Idle:
    """Idle time by cause, mean over the devices."""
    if not stages.measured:
        return Idle()
    totals = {cause.name: sum(device.ns(cause.name) for device in stages.idle) for cause in IDLE_CAUSES}
    return Idle(**{name: stages.device_us(ns / len(stages.idle)) for name, ns in totals.items()})


def fill_memcpy(stages: Stages) -> list[contract.MemcpyRow] | None:
    """The copies by kind; None where device rows are withheld."""
    if not stages.measured:
        return None
    return [_memcpy_row(stages, group) for group in stages.copies.groups]


def _memcpy_row(stages: Stages, group: CopyGroup) -> contract.MemcpyRow:
    sites = [s for s in stages.copy_sites if (s.direction, s.memory) == (group.direction, group.memory)]
    told = any(site.non_blocking is not None for site in sites)
    return contract.MemcpyRow(
        direction=group.direction,
        memory=group.memory,
        count_per_step=stages.per_device_step(group.count),
        bytes_per_step=None if group.bytes is None else stages.per_device_step(group.bytes),
        us_per_step=stages.device_us(group.ns),
        gb_per_s=group.timed_bytes / group.timed_ns if group.timed_ns else None,
        blocking=group.blocking,
        overlap_share=sum(site.overlap_ns for site in sites) / group.ns if group.ns else None,
        non_blocking_trap_per_step=stages.per_device_step(sum(s.count for s in sites if s.is_trap)) if told else None,
    )


def fill_copy_sites(stages: Stages) -> list[contract.CopySite] | None:
    """The copies by place; None where device rows are withheld."""
    return [_copy_site(stages, site) for site in stages.copy_sites] if stages.measured else None


def _copy_site(stages: Stages, site: CopySite) -> contract.CopySite:
    place = site.place or NOWHERE
    return contract.CopySite(
        direction=site.direction,
        memory=site.memory,
        call_site=place.call_site,
        operator=place.operator,
        chain=place.chain,
        module=place.module,
        function=place.function,
        non_blocking=site.non_blocking,
        count_per_step=stages.per_device_step(site.count),
        bytes_per_step=None if site.bytes is None else stages.per_device_step(site.bytes),
        us_per_step=stages.device_us(site.ns),
        gb_per_s=site.timed_bytes / site.timed_ns if site.timed_ns else None,
        overlap_share=site.overlap_ns / site.ns if site.ns else None,
        blocked_us_per_step=stages.us(site.blocked_ns),
    )


def fill_launches(stages: Stages) -> contract_rows.LaunchStats | None:
    """What launching costs; None where no known call was recorded."""
    if not stages.launches.known:
        return None
    costs, measured = stages.launch_costs, stages.measured
    single, graphs = costs.of(~costs.is_graph), costs.of(costs.is_graph)
    latency, known = costs.latency_ns.values, costs.latency_ns.known
    short = int(costs.is_short.sum())
    ran = int((single.kernels > 0).sum())
    return contract_rows.LaunchStats(
        launches_per_step=stages.per_step(len(costs.rows)),
        kernels_per_step=stages.per_step(int(costs.kernels.sum())) if measured else None,
        kernel_us_per_step=stages.us(int(costs.kernel_ns.sum())) if measured else None,
        call_us=_spread(costs.call_ns),
        latency_us=_spread(latency[known]),
        queue_delay_us=_spread((latency - costs.call_ns)[known]),
        short_kernels_per_step=stages.per_step(short) if measured else None,
        short_share=short / ran if measured and ran else None,
        kernels_per_graph=float(graphs.kernels.mean()) if measured and len(graphs.rows) else None,
        graph_call_us=_spread(graphs.call_ns),
        queue=_queue(stages) if measured else None,
        operators=[_operator_launches(stages, name, costs) for name, costs in costs.by_operator(stages.trace)],
    )


def _queue(stages: Stages) -> contract_rows.QueueFigures:
    queue = stages.queue
    inside = stages.window.holds(stages.trace.events.ts_ns[queue.blocked_calls])
    return contract_rows.QueueFigures(
        max=queue.deepest,
        p50=queue.median,
        at_step_ends=None if queue.deepest is None else float(np.median(queue.at_step_ends)),
        full_at=queue.full_depth,
        blocked_launches_per_step=stages.per_step(int(inside.sum())),
        blocked_us_per_step=stages.us(int(queue.blocked_ns[inside].sum())),
    )


def _operator_launches(stages: Stages, name: str | None, costs: LaunchCosts) -> contract_rows.OperatorLaunches:
    measured = stages.measured
    return contract_rows.OperatorLaunches(
        operator=name,
        launches_per_step=stages.per_step(len(costs.rows)),
        kernels_per_step=stages.per_step(int(costs.kernels.sum())) if measured else None,
        call_us_per_step=stages.us(int(costs.call_ns.sum())),
        kernel_us_per_step=stages.us(int(costs.kernel_ns.sum())) if measured else None,
        latency_us=_spread(costs.latency_ns.values[costs.latency_ns.known]),
        short_kernels_per_step=stages.per_step(int(costs.is_short.sum())) if measured else None,
    )


def _spread(ns: Ints) -> contract_rows.Spread | None:
    """Median and 90th percentile in µs; None of nothing."""
    if not len(ns):
        return None
    p50, p90 = np.percentile(ns, (50, 90))
    return contract_rows.Spread(p50=float(p50) / 1000, p90=float(p90) / 1000)
