"""The evidence as types: what was measured of which experiment, and the pairs a forecast can be held against."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from stallscope.traces.model.manifest import GpuState, Machine

SCHEMA = "stallscope.evidence/3"
REPEATS = 5
MOST_DRIFT = 0.03  # of the baseline's time within a part: beyond it the part says nothing


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
    rows: int  # rows of data a step works on; of a copy, bytes
    change: str | None = None  # against ``against``, in words; None: it is a baseline, or only compared with
    fix: str | None = None  # the change as a fix of `stallscope whatif`; None: no forecast speaks of it
    number: float | None = None  # of the fix: every so many steps, so many workers, so many times the batch
    against: str | None = None  # key of the variant that was changed
    steps: int = 0  # of each repeat
    us_per_step: list[float] = []  # (last synchronize - first) / steps, one a repeat, in the order they ran
    host_us_per_step: list[float] = []  # until the loop ended, before the last synchronize
    median_us_per_step: float | None = None
    per_step: PerStep | None = None
    profiled_us_per_step: float | None = None  # in the timing trace
    traced_steps: int = 0
    traces: dict[str, str] = {}  # "timing", "attribution" → member of the part's tar file
    run: str | None = None  # folder of `stallscope profile` in the tar file: manifest and spans
    error: str | None = None  # why it could not be measured, or not recorded


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline and what was changed; ``held_out``: no constant of a forecast may be fitted on it."""

    name: str  # "E1a"
    title: str
    part: str  # name
    held_out: bool
    baseline: str  # key
    variants: list[Variant]
    gpu: GpuState | None = None  # right after the repeats
    wall_s: float = 0.0
    error: str | None = None  # why it ended early; what was measured by then is kept

    @property
    def cut_short(self) -> bool:
        """Whether a variant that could be measured lacks repeats."""
        return any(v.error is None and len(v.us_per_step) < REPEATS for v in self.variants)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the program: what it ran on and how it went."""

    name: str  # "part-1-20260131T120000Z": its traces are in the tar file of that name
    created: str
    quick: bool  # too short to say anything: shows that the program works
    machine: Machine
    governor: str | None = None  # of the CPU's clock; None: the system does not tell
    gpu_at_start: GpuState | None = None
    gpu_at_end: GpuState | None = None
    drift: float | None = None  # time of its first baseline at the part's end ÷ at its own time, less 1
    budget_s: float = 0.0
    wall_s: float = 0.0
    complete: bool = False  # False: it was ended, or did not come to its end yet
    demos: list[str] = []  # that ran: their figures are in the tar file, below workloads/
    skipped: list[str] = []  # with the reason


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One measured effect of one change."""

    experiment: str
    part: str
    held_out: bool
    change: str
    fix: str | None
    number: float | None
    before: str  # keys of the variants
    after: str
    before_us: float  # median time of a step
    after_us: float  # the same, of as much data as a step had before
    saving_share: float
    doubts: list[str] = []  # why it should not be used; []: it may be


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in ``evidence.json``."""

    schema: str = SCHEMA
    parts: list[Part]
    experiments: list[Experiment]
    pairs: list[Pair] = []  # what follows from the experiments

    def part_of(self, experiment: Experiment) -> Part:
        """The part in which an experiment was measured."""
        return next(part for part in self.parts if part.name == experiment.part)


def find_pairs(evidence: Evidence) -> Iterator[Pair]:
    """Every change that was measured on both sides."""
    for experiment in evidence.experiments:
        by_key = {variant.key: variant for variant in experiment.variants}
        part = evidence.part_of(experiment)
        for after in experiment.variants:
            before = by_key.get(after.against or experiment.baseline)
            if before is not None and after.change is not None and before.us_per_step and after.us_per_step:
                yield _pair(experiment, part, before, after)


def _pair(experiment: Experiment, part: Part, before: Variant, after: Variant) -> Pair:
    before_us = statistics.median(before.us_per_step)
    after_us = statistics.median(after.us_per_step) * (before.rows / after.rows if after.rows else 1.0)
    return Pair(
        experiment=experiment.name,
        part=part.name,
        held_out=experiment.held_out,
        change=after.change or "",
        fix=after.fix,
        number=after.number,
        before=before.key,
        after=after.key,
        before_us=round(before_us, 3),
        after_us=round(after_us, 6),
        saving_share=round(1 - after_us / before_us, 4),
        doubts=[*_doubts_of(part), *_too_few(before), *_too_few(after)],
    )


def _doubts_of(part: Part) -> list[str]:
    doubts = ["the part was quick: its repeats are too short"] if part.quick else []
    if part.drift is not None and abs(part.drift) > MOST_DRIFT:
        doubts.append(f"the machine drifted by {100 * part.drift:+.1f} % within the part")
    return doubts


def _too_few(variant: Variant) -> list[str]:
    done = len(variant.us_per_step)
    return [f"{variant.key}: {done} of {REPEATS} repeats"] if done < REPEATS else []


def median(values: Sequence[float]) -> float | None:
    """The middle, rounded to the ns; None where there is none."""
    return round(statistics.median(values), 3) if values else None


def load(path: Path) -> Evidence:
    """Read a file of evidence.

    Raises:
        ValueError: it is none, or of another version.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evidence)
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"{path}: no evidence of the form {SCHEMA} ({error}); measure it anew") from error


def merged(found: Sequence[Evidence]) -> Evidence:
    """Several files as one. Of an experiment measured twice the one with fewer doubts counts, of such the later.

    A quick one never takes the place of a full one, one cut short or of a drifting part never that of a whole one.
    """
    parts = {part.name: part for each in found for part in each.parts}
    best: dict[str, tuple[tuple[bool, bool, bool, bool, str], Experiment]] = {}
    for evidence in found:
        for experiment in evidence.experiments:
            rank = _rank(parts[experiment.part], experiment)
            if experiment.name not in best or rank >= best[experiment.name][0]:
                best[experiment.name] = rank, experiment
    experiments = sorted((each for _, each in best.values()), key=lambda each: each.name)
    done = Evidence(parts=[part for _, part in sorted(parts.items())], experiments=experiments)
    return msgspec.structs.replace(done, pairs=list(find_pairs(done)))


def _rank(part: Part, experiment: Experiment) -> tuple[bool, bool, bool, bool, str]:
    steady = part.drift is None or abs(part.drift) <= MOST_DRIFT
    return not part.quick, steady, not experiment.cut_short, experiment.error is None, part.created


def to_json(evidence: Evidence) -> bytes:
    """``evidence`` as indented JSON, ending in a line break."""
    return msgspec.json.format(msgspec.json.encode(evidence), indent=1) + b"\n"
