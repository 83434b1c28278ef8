"""The JSON contract ``stallscope.check/1`` as types: budgets per step, and what a run keeps or exceeds of them.

``None`` (JSON ``null``) is unknown: it passes only where a budget says so.
"""

from __future__ import annotations

import msgspec

CHECK_SCHEMA = "stallscope.check/1"
BASELINE_SCHEMA = "stallscope.baseline/1"


class CheckLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the program that a row is about."""

    call_site: str  # "train.py:88", or what is known of the place
    called: str | None  # "item", "to" …; None: the trace does not tell
    calls_per_step: float  # mean over the steps that count; what is allowed left out
    file: str | None  # below the folder that the check ran in, where the run says it
    line: int | None
    note: str | None = None


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """One budget."""

    name: str  # "waits", "launches" …
    unit: str  # "count" | "bytes" | "percent"
    status: str  # "ok" | "exceeded" | "unknown" (fails) | "unknown_allowed"
    low: float | None  # of the budget; None: no floor
    high: float | None  # None: no ceiling, or not known
    budget: str  # as it was written
    value_low: float | None  # of the run: both alike where it was counted
    value_high: float | None  # None: not known
    predicted: bool  # not counted: what a GPU would do, by the lines and operators of a run without one
    over: str  # "steps": the largest of the steps that count | "median" of them | "runs"
    text: str  # the row as a sentence
    lines: list[CheckLine]


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained: figures of another workload are not comparable."""

    name: str
    parameters: dict[str, str | int | float | bool] = {}


class CheckKey(msgspec.Struct, frozen=True, kw_only=True):
    """What must agree for exact counts to agree: the key of a baseline."""

    workload: Workload | None
    device: str  # name of the GPU, or "cpu"
    torch: str | None  # "2.13": a minor version chooses other kernels
    cublas: str | None = None
    cudnn: str | None = None


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """One exception that the budget makes, and how often it was met."""

    line: str
    call: str | None
    every: int  # steps from one such call to the next
    why: str
    calls: int  # in all steps that count
    left_out: int  # of these, so many were not counted


class BaselineChange(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--update`` rewrote; None: was not there."""

    name: str
    before: float | None
    after: float | None


class BaselineRange(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a baseline: (low, high), alike where it was counted."""

    max: tuple[float, float]  # of the step with most
    median: tuple[float, float]


class BaselineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one workload on one device with one set of versions."""

    key: CheckKey
    figures: dict[str, BaselineRange]
    step_us: list[float] = []  # of repeated runs, without the profiler
    machine: str | None = None  # that these are of


class BaselineFile(msgspec.Struct, frozen=True, kw_only=True):
    """What ``check --against FILE`` reads, and ``--update`` writes."""

    schema: str = BASELINE_SCHEMA
    entries: list[BaselineEntry] = []


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `stallscope check RUN --format json` prints."""

    schema: str = CHECK_SCHEMA
    target: str  # trace or run folder
    outcome: str  # "pass" | "fail" | "not_comparable"
    text: str  # the answer in one sentence
    key: CheckKey
    steps: int  # that counts are of
    predicted: bool  # the run used no GPU: waits and launches are what one would do
    rows: list[CheckRow]
    allowed: list[Allowed]
    notes: list[str]
    updated: list[BaselineChange] | None = None  # None: no baseline was rewritten
