"""What the manifest and the trace's own header say about file, machine and unprofiled times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath, PureWindowsPath

import numpy as np

from stallscope.analysis.contract import run as contract_run
from stallscope.analysis.contract import summary as contract
from stallscope.analysis.stages.periodic import find_periodic
from stallscope.traces.model.manifest import ROUNDS, Manifest
from stallscope.traces.model.manifest import Window as RecordedWindow
from stallscope.traces.model.trace import Trace

ENDED_EARLY = (
    "the run was ended from outside (SIGTERM, SIGKILL, os._exit), or has not ended yet: what follows its last complete "
    "window is not known"
)


def find_trace_info(trace: Trace) -> contract.TraceInfo:
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


def find_machine(trace: Trace, manifest: Manifest | None) -> contract.MachineInfo:
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


def find_run_findings(manifest: Manifest | None) -> list[contract.Finding]:
    """Findings about machine and run, each name once."""
    if manifest is None:
        return []
    found = {each.name: each.text for each in (*manifest.machine.findings, *manifest.findings)}
    if not manifest.complete:
        found["ended_early"] = ENDED_EARLY
    return [contract.Finding(name=name, text=text) for name, text in found.items()]


def find_unprofiled(path: str, manifest: Manifest | None) -> tuple[list[int], contract.UnprofiledTimes | None]:
    """(positions of evaluation steps in the recorded window, unprofiled times of the same round or None).

    Evaluation steps are left out: their time is taken off the window and off its steps.
    """
    if manifest is None:
        return [], None
    recorded = _recorded_window(path, manifest)
    window = _unprofiled_window(manifest, recorded)
    evaluation = recorded.evaluation_steps if recorded else []
    if window is None or window.steps <= len(window.evaluation_steps):
        return evaluation, None
    left_out = set(window.evaluation_steps)
    samples = [ns for position, ns in enumerate(window.samples_ns) if position not in left_out]
    spent = sum(ns for position, ns in enumerate(window.samples_ns) if position in left_out)
    steps = window.steps - len(left_out)
    mean = (window.duration_ns - spent) / (1000 * steps)
    return evaluation, contract.UnprofiledTimes(
        mean=mean, steps=steps, host_samples=wall_times(samples), left_out=len(left_out)
    )


def find_periodic_work(path: str, manifest: Manifest | None) -> list[contract_run.PeriodicWork]:
    """What the longest unprofiled window's steps spend only now and then, most time first."""
    window = None if manifest is None else _longest_unprofiled(path, manifest)
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


def _recorded_window(path: str, manifest: Manifest) -> RecordedWindow | None:
    """The window whose trace is the file at ``path``."""
    file = PureWindowsPath(path).name if "\\" in path else PurePath(path).name
    return next((window for window in manifest.windows if window.trace == file), None)


def wall_times(samples_ns: Sequence[int]) -> contract.WallTimes:
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


def _unprofiled_window(manifest: Manifest, recorded: RecordedWindow | None) -> RecordedWindow | None:
    """The unprofiled window of the recorded one's round; of a trace the manifest does not name, of the last round."""
    found = [window for window in manifest.windows if window.kind == "unprofiled" and window.steps > 0]
    rounds = (recorded.round,) if recorded else ROUNDS
    return next((window for name in rounds for window in reversed(found) if window.round == name), None)


def _longest_unprofiled(path: str, manifest: Manifest) -> RecordedWindow | None:
    """The unprofiled window of the recorded one's round, or the one after the last recording, which holds far more."""
    same = _unprofiled_window(manifest, _recorded_window(path, manifest))
    after = [each for each in manifest.windows if (each.kind, each.round) == ("unprofiled", "after")]
    return max([each for each in (*after, same) if each is not None], key=lambda each: each.steps, default=None)


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
