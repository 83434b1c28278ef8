"""What a demo measured, as types and as the JSON file it is kept in (``stallscope.demo/1``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from stallscope.demo.judging import Sample
from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.manifest import Machine

SCHEMA = "stallscope.demo/1"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What `stallscope profile` found out about one run. Times are µs a step; None: it could not tell."""

    steps: int  # in the whole run
    step_us: float | None  # unprofiled window
    inflation: float | None
    launches: float | None  # kernels started, a step
    items: float | None  # calls of aten::item, a step
    item_us: float | None  # host time in them, under the profiler
    verdict: str
    findings: list[str] = []  # names
    wall_us: float | None = None  # a step under the profiler, in the timing window
    operator_us: float | None = None  # of it, without a GPU: in operators
    unexplained_share: float | None = None  # of it, with a GPU: waits that nothing recorded explains
    # of a GPU, in the timing window, µs a step
    busy_us: float | None = None
    kernel_us: float | None = None
    copy_us: float | None = None  # memcpy rows
    communication_us: float | None = None
    queue_delay_us: float | None = None  # median
    sm_efficiency: float | None = None  # 0..1, estimated
    power_w: float | None = None  # when the unprofiled window closed


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one variant."""

    figures: dict[str, Any]  # as the script wrote them
    recorded: Recorded | None  # None: the run holds no training steps
    wall_s: float  # of the whole process


class VariantResult(msgspec.Struct, frozen=True, kw_only=True):
    """All runs of one variant, in the order they ran."""

    key: str
    title: str
    device: str  # "cpu" | "cuda"
    options: list[str]  # of the script
    repeats: list[Repeat]

    def sample(self, name: str) -> Sample:
        """One figure of the script, over all runs."""
        return Sample(tuple(float(repeat.figures[name]) for repeat in self.repeats if name in repeat.figures))

    def series(self, name: str) -> list[list[list[float]]]:
        """One list of points of the script, a run."""
        return [repeat.figures[name] for repeat in self.repeats if name in repeat.figures]

    def recorded(self, name: str) -> Sample:
        """One figure of the recording, over the runs that have it."""
        found = (getattr(repeat.recorded, name) for repeat in self.repeats if repeat.recorded is not None)
        return Sample(tuple(float(value) for value in found if value is not None))


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One demo, run to its end."""

    schema: str = SCHEMA
    workload: str
    stallscope: str
    created: str  # ISO 8601, UTC
    command: str
    quick: bool
    repeats: int
    machine: Machine
    load: tuple[float, float] | None  # programs that wanted a core, 1-minute mean, before and after; None: not known
    environment: dict[str, str]  # set by the demo for every run
    variants: list[VariantResult]
    not_measured: list[str] = []  # titles of the variants that need a GPU
    failed: dict[str, str] = {}  # titles of the variants that failed, and the last line each said
    ram_bytes: int | None = None  # the machine's memory
    gpus_seen: int | None = None  # by torch, so by what CUDA_VISIBLE_DEVICES allows; None: an older result

    def get(self, key: str) -> VariantResult | None:
        """The variant of that key, if it was run."""
        return next((variant for variant in self.variants if variant.key == key), None)

    def on(self, device: str) -> list[VariantResult]:
        """The variants run on a device, in their order."""
        return [variant for variant in self.variants if variant.device == device]

    @property
    def devices(self) -> list[str]:
        """The devices something was run on, ``cpu`` first."""
        return sorted({variant.device for variant in self.variants})


def to_json(result: Result) -> bytes:
    """``result`` as indented JSON, ending in a line break."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"


def load(path: Path) -> Result:
    """Read what ``to_json`` wrote.

    Raises:
        BadInput: it cannot be read, or is something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(f"{path}: no result of a demo ({error})") from error
