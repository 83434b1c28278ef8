"""Results of demos with figures made for a test."""

from typing import Any

from msgspec.structs import replace

from stallscope.demo.results import Recorded, Repeat, Result, VariantResult
from stallscope.profiling.machine.machine import collect
from stallscope.traces.model.manifest import Gpu


def recording(**figures: Any) -> Recorded:
    """What a recording found, these figures of it."""
    known: dict[str, Any] = {"steps": 1, "step_us": None, "inflation": None, "launches": None, "items": None,
                             "item_us": None, "verdict": "balanced"}  # fmt: skip
    return Recorded(**{**known, **figures})


def variant(key: str, /, recorded: Recorded | None = None, **figures: tuple[Any, ...]) -> VariantResult:
    """A variant whose runs have these figures, one value a run; a figure that is None is missing in that run."""
    runs = [dict(zip(figures, values, strict=True)) for values in zip(*figures.values(), strict=True)]
    repeats = [
        Repeat(figures={name: value for name, value in run.items() if value is not None}, recorded=recorded, wall_s=1.0)
        for run in runs
    ]
    return VariantResult(key=key, title=key, device=key.partition("-")[0], options=[], repeats=repeats)


def result(
    *variants: VariantResult,
    workload: str = "x",
    not_measured: tuple[str, ...] = (),
    failed: dict[str, str] | None = None,
    gpu_bytes: int | None = None,
    ram_bytes: int | None = None,
) -> Result:
    """A result with these variants, on a machine of two cores."""
    machine = replace(collect(with_torch=False, run=lambda _: None), cores=2)
    if gpu_bytes is not None:
        machine = replace(machine, gpus=[Gpu(name="a GPU", memory_bytes=gpu_bytes)])
    return Result(
        workload=workload, stallscope="0", created="2026-01-01", command="stallscope demo x", quick=False, repeats=3,
        machine=machine, load=(0.1, 0.2), environment={}, variants=list(variants), not_measured=list(not_measured),
        failed=failed or {}, ram_bytes=ram_bytes,
    )  # fmt: skip
