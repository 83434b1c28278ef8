"""Say the figures of a run in one line: a CPU or GPU run of 8 steps of 100 µs unless told otherwise."""

from __future__ import annotations

from typing import Any

from stallscope.analysis.compare.compare import RunFigures
from stallscope.analysis.contract import summary as contract
from stallscope.analysis.contract.idle import Idle
from stallscope.traces.model import manifest

GPU = "NVIDIA H100 80GB HBM3"
GPU_COUNTS = {"kernel_launches": 20.0, "graph_launches": 0.0, "kernels": 20.0, "memcpys": 1.0, "memsets": 0.0}
GPU_TIMES = {"gpu_busy_us": 30.0, "gpu_idle_us": 70.0, "kernel_us": 28.0, "memcpy_us": 2.0, "sync_calls": 1.0}


def operator(name: str, host: float, device: float | None = None, calls: float = 1.0) -> contract.OperatorRow:
    """One operator: host self time, device time and calls per step."""
    return contract.OperatorRow(
        name=name,
        calls_per_step=calls,
        host_us_per_step=host,
        host_self_us_per_step=host,
        device_us_per_step=device,
        launches_per_step=None,
    )


def kernel(name: str, us: float, count: float = 1.0) -> contract.KernelRow:
    """One kernel: time and count per step."""
    return contract.KernelRow(name=name, count_per_step=count, us_per_step=us, mean_us=us / count)


def wall(samples: list[float]) -> contract.WallTimes:
    """Step times; the median is the middle sample, mean and tails as they come."""
    middle = sorted(samples)[len(samples) // 2]
    mean = sum(samples) / len(samples)
    return contract.WallTimes(median=middle, mean=mean, p10=min(samples), p90=max(samples), samples=samples)


def summary(
    *,
    step: float = 100.0,
    samples: list[float] | None = None,
    step_us: float | None = None,
    unprofiled: float | None = None,
    vendor: str = "cpu",
    device: str = GPU,
    count: int | None = None,
    source: str = "profiler_step",
    grade: str = "ok",
    path: str = "trace.json",
    rank: int | None = None,
    world_size: int | None = None,
    operators: list[contract.OperatorRow] | None = None,
    kernel_rows: list[contract.KernelRow] | None = None,
    breakdown: dict[str, float] | None = None,
    machine: dict[str, Any] | None = None,
    simulated: bool = False,
    **per_step: float | None,
) -> contract.Summary:
    """The summary of one trace; ``per_step`` overrides single figures."""
    samples = [step] * 8 if samples is None else samples
    count = len(samples) if count is None else count
    known = {**GPU_COUNTS, **GPU_TIMES} if vendor != "cpu" else {}
    figures = dict.fromkeys(contract.PerStep.__struct_fields__) | known | per_step
    truth = None
    if unprofiled is not None:
        truth = contract.UnprofiledTimes(mean=unprofiled, steps=400, host_samples=wall([unprofiled] * 8))
    info = {"cpu": "A CPU", "cores": 2, "threads": 2, "gpus": [], "torch": "2.13.0", "others_on_gpu": None}
    return contract.Summary(
        trace=contract.TraceInfo(
            path=path,
            vendor=vendor,
            devices=[] if vendor == "cpu" else [device],
            rank=rank,
            world_size=world_size,
            events=100,
            span_us=1000.0,
            simulated=simulated,
        ),
        machine=contract.MachineInfo(**(info | (machine or {}))),
        health=contract.Health(grade=grade, issues=[], unexplained_share=None),
        steps=contract.Steps(
            source=source,
            count=count,
            step_us=step_us,
            window_us=sum(samples) if count else 0.0,
            wall_us=wall(samples or [0.0]),
            unprofiled_us=truth,
            inflation=None if unprofiled is None else step / unprofiled,
        ),
        per_step=contract.PerStep(**figures),
        devices=[],
        utilization=contract.Utilization(est_sm_efficiency=None, est_occupancy=None, blocks_per_kernel=None),
        memory=contract.Memory(peak_allocated=None, peak_reserved=None, total=None, alloc_retries=None, ooms=None),
        breakdown_us=contract.Breakdown(
            **{name: (breakdown or {}).get(name) for name in contract.Breakdown.__struct_fields__}
        ),
        idle_us=Idle(),
        sync_sites=None,
        memcpy=None,
        operators=operators or [],
        kernels=kernel_rows,
        modules=None,
        verdict=contract.Verdict(
            kind="mixed",
            confidence="rule",
            savings=contract.Savings(),
            text="",
            not_the_cause=[],
            advice=[],
        ),
        what_if=None,
        findings=[],
    )


def window(us_per_step: float, *, steps: int = 100, round_: str = "full", kind: str = "unprofiled") -> manifest.Window:
    """One window, unprofiled unless told otherwise."""
    return manifest.Window(
        kind=kind,
        round=round_,
        first_step=0,
        steps=steps,
        duration_ns=int(us_per_step * 1000 * steps),
        samples_ns=[],
    )


def manifest_of(
    *command: str,
    windows: list[manifest.Window] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    rank: int = 0,
    world_size: int = 1,
    source: str = "optimizer",
) -> manifest.Manifest:
    """A manifest with a command line and windows."""
    return manifest.Manifest(
        stallscope="0.1.0",
        created=created,
        command=list(command),
        worker="host_1",
        rank=rank,
        world_size=world_size,
        pid=1,
        machine=manifest.Machine(os="Linux", python="3.11", cpu="A CPU", cores=2, threads=2, torch="2.13.0"),
        steps=manifest.Steps(count=1000, source=source),
        windows=windows or [],
    )


def run(name: str = "run", manifest: manifest.Manifest | None = None, **figures: Any) -> RunFigures:
    """One run: ``summary(**figures)``, under a name, with a manifest or none."""
    return RunFigures(summary=summary(**{"path": f"{name}.json", **figures}), manifest=manifest, name=name)


def runs(name: str, *unprofiled: float, manifest: manifest.Manifest | None = None, **figures: Any) -> list[RunFigures]:
    """Repeated runs, one for each unprofiled step time."""
    return [
        run(f"{name}-{number}", manifest, unprofiled=us, step=1.3 * us, **figures)
        for number, us in enumerate(unprofiled, 1)
    ]
