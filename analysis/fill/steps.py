"""One step in the words of the contract: totals of the window ÷ steps, devices, breakdown, utilization."""

from __future__ import annotations

import numpy as np

from stallscope.analysis.causes.facts import Facts
from stallscope.analysis.columns import intervals
from stallscope.analysis.contract import summary as contract
from stallscope.analysis.stages.activity import DeviceTimes
from stallscope.analysis.stages.gpu.utilization import find_filling
from stallscope.analysis.stages.stages import Stages


def fill_per_step(stages: Stages, facts: Facts) -> contract.PerStep:
    """Host figures are None where no known call was recorded, device figures where device rows are withheld."""
    launches, syncs = stages.launches, stages.syncs

    def of_devices(attribute: str) -> float | None:
        """Mean over the devices that did work; a measured zero where none did."""
        values = [getattr(each, attribute) for each in stages.activity.devices]
        if not stages.measured:
            return None
        mean = sum(values) / len(values) if values else 0
        return stages.device_us(mean) if attribute.endswith("_ns") else stages.per_device_step(mean)

    def calls(figure: float) -> float | None:
        return figure if launches.known else None

    busy = of_devices("busy_ns")
    return contract.PerStep(
        kernel_launches=calls(stages.per_step(launches.kernel_launches)),
        graph_launches=calls(stages.per_step(launches.graph_launches)),
        kernels=of_devices("kernels"),
        memcpys=of_devices("memcpys"),
        memsets=of_devices("memsets"),
        sync_calls=calls(stages.per_step(syncs.calls)),
        sync_call_us=calls(stages.us(syncs.call_ns)),
        gpu_busy_us=busy,
        gpu_idle_us=None if busy is None or stages.losses.share(stages.window) else _idle(stages),
        kernel_us=of_devices("kernel_ns"),
        kernel_sum_us=of_devices("kernel_sum_ns"),
        memcpy_us=of_devices("memcpy_ns"),
        memset_us=of_devices("memset_ns"),
        communication_us=of_devices("communication_ns"),
        launch_call_us=calls(stages.us(intervals.total(launches.calls_cover))),
        sync_stall_us=calls(stages.us(intervals.total(syncs.stall))),
        dataloader_us=stages.us(stages.activity.dataloader_ns) if facts.has_rows else None,
        queue_delay_us=_queue_delay(stages),
        operator_us=stages.us(facts.host.operator_ns) if facts.vendor == "cpu" and facts.has_rows else None,
    )


def _idle(stages: Stages) -> float:
    """Window less busy time, mean over the devices that did work."""
    length = stages.device_window.length
    idle = [length - device.busy_ns for device in stages.activity.devices] or [length]
    return stages.device_us(sum(idle) / len(idle))


def _queue_delay(stages: Stages) -> contract.QueueDelay | None:
    delays = stages.launches.queue_delay_ns
    if not len(delays) or not stages.measured:
        return None
    p50, p90 = np.percentile(delays, (50, 90))
    return contract.QueueDelay(p50=float(p50) / 1000, p90=float(p90) / 1000)


def fill_devices(stages: Stages) -> list[contract.DeviceFigures]:
    """Each device that did work; [] where device rows are withheld."""
    return [_device(stages, times) for times in stages.activity.devices] if stages.measured else []


def _device(stages: Stages, times: DeviceTimes) -> contract.DeviceFigures:
    return contract.DeviceFigures(
        device=times.device,
        kernels=stages.per_device_step(times.kernels),
        memcpys=stages.per_device_step(times.memcpys),
        memsets=stages.per_device_step(times.memsets),
        gpu_busy_us=stages.device_us(times.busy_ns),
        gpu_idle_us=None
        if stages.losses.share(stages.window)
        else stages.device_us(stages.device_window.length - times.busy_ns),
        kernel_us=stages.device_us(times.kernel_ns),
        kernel_sum_us=stages.device_us(times.kernel_sum_ns),
        memcpy_us=stages.device_us(times.memcpy_ns),
        memset_us=stages.device_us(times.memset_ns),
        communication_us=stages.device_us(times.communication_ns),
    )


def fill_utilization(stages: Stages) -> contract.Utilization:
    """How far kernels fill the device."""
    if not stages.measured:
        return contract.Utilization(est_sm_efficiency=None, est_occupancy=None, blocks_per_kernel=None)
    filling = find_filling(stages.trace, stages.device_window)
    return contract.Utilization(
        est_sm_efficiency=filling.sm_efficiency,
        est_occupancy=filling.occupancy_percent,
        blocks_per_kernel=filling.blocks_per_kernel,
    )


def fill_breakdown(stages: Stages) -> contract.Breakdown:
    """Device classes are None where device rows are withheld; the others still sum to the step."""
    shares, measured = stages.activity.shares, stages.measured
    told = measured or stages.activity.has_collectives
    return contract.Breakdown(
        kernel=stages.device_us(shares.kernel) if measured else None,
        memcpy=stages.device_us(shares.memcpy) if measured else None,
        memset=stages.device_us(shares.memset) if measured else None,
        communication=stages.device_us(shares.communication) if told else None,
        runtime=stages.device_us(shares.runtime),
        dataloader=stages.device_us(shares.dataloader),
        cpu_op=stages.device_us(shares.cpu_op),
        other=stages.device_us(shares.other),
    )
