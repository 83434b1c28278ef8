"""What the manifest and the trace's own header say about file, machine and unprofiled times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stallscope.analysis.contract import run as contract_run
from stallscope.analysis.contract import summary as contract
from stallscope.analysis.stages.periodic import find_periodic
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.step_times import StepTimes, Unprofiled, longest_unprofiled
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Trace

ENDED_EARLY = (
    "the run was ended from outside (SIGTERM, SIGKILL, os._exit), or has not ended yet: what follows its last complete "
    "window is not known"
)


def fill_trace_info(trace: Trace) -> contract.TraceInfo:
    """Which file this is and what it was recorded on."""
    events = trace.events
    span = int(events.end_ns.max() - events.ts_ns.min()) if len(events) else 0
    names = _device_names(trace)
    told = trace.metadata.get("simulated", "").lower() not in ("", "0", "false")
    return contract.TraceInfo(
        path=trace.path,
        vendor=trace.vendor,
        devices=names,
        rank=trace.rank,
        world_size=trace.world_size,
        events=trace.event_count,
        span_us=span / 1000,
        simulated=told or any("simulated" in name.lower() for name in names),
    )


def fill_machine(trace: Trace, manifest: Manifest | None) -> contract.MachineInfo:
    """The machine by the manifest; a bare trace knows only its GPUs."""
    if manifest is None:
        return contract.MachineInfo(
            cpu=None, cores=None, threads=None, gpus=_gpus_of(trace), torch=None, others_on_gpu=None
        )
    machine = manifest.machine
    gpus = [
        contract.GpuInfo(
            name=gpu.name,
            architecture=gpu.architecture,
            sms=gpu.sms,
            memory_bytes=gpu.memory_bytes,
            driver_model=gpu.driver_model,
        )
        for gpu in machine.gpus
    ]
    others = machine.others_on_gpu
    return contract.MachineInfo(
        cpu=machine.cpu,
        cores=machine.cores,
        threads=machine.threads,
        gpus=gpus or _gpus_of(trace),
        torch=machine.torch,
        others_on_gpu=None if others is None else [f"{each.name} (pid {each.pid})" for each in others],
    )


def fill_run_findings(manifest: Manifest | None) -> list[contract.Finding]:
    """Findings about machine and run, each name once."""
    if manifest is None:
        return []
    found = {each.name: each.text for each in (*manifest.machine.findings, *manifest.findings)}
    if not manifest.complete:
        found["ended_early"] = ENDED_EARLY
    return [contract.Finding(name=name, text=text) for name, text in found.items()]


def fill_steps(stages: Stages, times: StepTimes, manifest: Manifest | None) -> contract.Steps:
    """The steps of the window, and beside them those that were timed without the profiler."""
    window, completion, path = stages.window, stages.completion, stages.trace.path
    device = completion.window if completion.ahead else None
    return contract.Steps(
        source=window.source,
        count=window.count,
        step_us=completion.step_ns / 1000,
        run_ahead=completion.ahead,
        counted=int(completion.counts.sum()),
        recurring=completion.recurring,
        window_us=window.length / 1000,
        window_start_ns=window.start,
        window_end_ns=window.end,
        device_window_us=None if device is None else device.length / 1000,
        device_window_start_ns=None if device is None else device.start,
        device_window_end_ns=None if device is None else device.end,
        startup_us=window.startup / 1000,
        shutdown_us=window.shutdown / 1000,
        wall_us=_wall_times(times.samples_ns),
        unprofiled_us=None if times.unprofiled is None else _unprofiled(times.unprofiled),
        inflation=times.inflation,
        periodic=_periodic(path, manifest),
        left_out=times.left_out,
        made_of=[contract_run.StepPart(name=each.name, count=each.count) for each in manifest.steps.made_of]
        if manifest is not None
        else [],
    )


def _unprofiled(times: Unprofiled) -> contract.UnprofiledTimes:
    return contract.UnprofiledTimes(
        mean=times.mean_us,
        steps=times.steps,
        host_samples=_wall_times(times.samples_ns),
        left_out=times.left_out,
    )


def _periodic(path: str, manifest: Manifest | None) -> list[contract_run.PeriodicWork]:
    """What the longest unprofiled window's steps spend only now and then, most time first."""
    window = None if manifest is None else longest_unprofiled(path, manifest)
    if window is None:
        return []
    held = set(window.evaluation_steps)
    return [
        contract_run.PeriodicWork(
            period=each.period,
            first=each.first,
            occurrences=each.occurrences,
            extra_us=each.extra_ns / 1000,
            share=each.share,
            evaluation=2 * len(held.intersection(range(each.first, window.steps, each.period))) > each.occurrences,
        )
        for each in find_periodic(window.samples_ns)
    ]


def _wall_times(samples_ns: Sequence[int]) -> contract.WallTimes:
    """Distribution of step times; all zeros where there is no sample."""
    values = np.array(samples_ns, dtype=np.float64) / 1000
    if not len(values):
        return contract.WallTimes(median=0.0, mean=0.0, p10=0.0, p90=0.0, samples=[])
    p10, p90 = np.percentile(values, (10, 90))
    return contract.WallTimes(
        median=float(np.median(values)),
        mean=sum(samples_ns) / (1000 * len(samples_ns)),
        p10=float(p10),
        p90=float(p90),
        samples=values.tolist(),
    )


def _device_names(trace: Trace) -> list[str]:
    """Names of the devices that did work; where ordinals do not match (ROCm counts agents), of all."""
    used = set(np.unique(trace.work.device).tolist())
    matching = [device.name for device in trace.devices if device.ordinal in used]
    return matching or [device.name for device in trace.devices]


def _gpus_of(trace: Trace) -> list[contract.GpuInfo]:
    """The file's device properties as far as they go."""
    return [
        contract.GpuInfo(
            name=device.name,
            architecture=device.compute_capability and f"compute capability {device.compute_capability}",
            sms=device.sms,
            memory_bytes=device.total_memory_bytes,
            driver_model=None,
        )
        for device in trace.devices
    ]
