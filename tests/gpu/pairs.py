"""The evidence as types: what was measured of which experiment, and the pairs a forecast can be held against."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stallscope.traces.manifest import Machine

SCHEMA = "stallscope.evidence/2"


class PerStep(msgspec.Struct, frozen=True, kw_only=True):
    """Counted in the trace over the traced steps, then divided by their number."""

    kernel_launches: float
    graph_launches: float
    kernels: float
    memcpys: float
    memsets: float
    sync_calls: float
    cpu_ops: float
    items: float  # aten::item


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run an experiment's step, on one device. Times are µs a step, without a profiler."""

    key: str
    device: str  # "cuda" | "cpu"
    fix: str | None  # what was changed against the experiment's baseline; None: it is the baseline, or no fix
    rows: int  # rows of data a step works on
    steps: int = 0  # of each repeat
    us_per_step: list[float] = []  # (last synchronize - first) / steps, one a repeat, in the order they ran
    host_us_per_step: list[float] = []  # until the loop ended, before the last synchronize
    median_us_per_step: float | None = None
    per_step: PerStep | None = None
    profiled_us_per_step: float | None = None  # in the timing trace
    traced_steps: int = 0
    traces: dict[str, str] = {}  # "timing", "attribution" → member of the tar file
    run: str | None = None  # folder of `stallscope profile` in the tar file: manifest and spans
    error: str | None = None  # why it could not be measured


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline and what was changed; ``held_out``: no constant of a forecast may be fitted on it."""

    name: str  # "E1a"
    title: str
    part: int
    held_out: bool
    baseline: str  # key
    variants: list[Variant]
    cut_short: bool = False  # the time did not allow all repeats
    drift: float | None = None  # median time of the baseline at the part's end ÷ at its own time, less 1


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the program."""

    number: int
    created: str
    quick: bool
    machine: Machine
    wall_s: float
    skipped: list[str]  # what the time did not allow
    workloads: list[str] = []  # demos that ran: their figures lie in workloads/


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in ``evidence.json``."""

    schema: str = SCHEMA
    parts: list[Part]
    experiments: list[Experiment]


@dataclass(frozen=True, slots=True)
class Pair:
    """One measured effect of one fix."""

    experiment: str
    fix: str
    held_out: bool
    before: Variant
    after: Variant


def pairs(evidence: Evidence) -> Iterator[Pair]:
    """Every fix that was measured on both sides."""
    for experiment in evidence.experiments:
        by_key = {(variant.key, variant.device): variant for variant in experiment.variants}
        for after in experiment.variants:
            before = by_key.get((experiment.baseline, after.device)) or by_key.get((experiment.baseline, "cuda"))
            if before is not None and after.fix is not None and before.us_per_step and after.us_per_step:
                yield Pair(experiment.name, after.fix, experiment.held_out, before, after)


def median(values: Sequence[float]) -> float | None:
    """The middle, rounded to the ns; None where there is none."""
    return round(statistics.median(values), 3) if values else None


def load(path: Path) -> Evidence:
    """Read a file of evidence."""
    return msgspec.json.decode(path.read_bytes(), type=Evidence)


def merged(found: Sequence[Evidence]) -> Evidence:
    """Several files as one, in the order of their parts; of a part measured twice the later counts."""
    parts = {part.number: (part, each) for each in found for part in each.parts}
    chosen = [parts[number] for number in sorted(parts)]
    return Evidence(
        parts=[part for part, _ in chosen],
        experiments=[e for part, each in chosen for e in each.experiments if e.part == part.number],
    )


def to_json(evidence: Evidence) -> bytes:
    """``evidence`` as indented JSON, ending in a line break."""
    return msgspec.json.format(msgspec.json.encode(evidence), indent=1) + b"\n"
