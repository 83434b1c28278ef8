"""The contract ``stallscope.ab/1``: variants of a training, run in turn, and what is said of each against the first.

Times are µs a step without the profiler; changes are ratios - 1, so that -0.1 is 10 % faster.
"""

from __future__ import annotations

import msgspec

AB_SCHEMA = "stallscope.ab/1"


class AbRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one variant."""

    arm: int
    block: int
    step_us: float
    slowed_by: list[str] = []  # what held a GPU's clocks down meanwhile
    path: str  # of its run folder


class AbArm(msgspec.Struct, frozen=True, kw_only=True):
    """One variant. A is the first."""

    letter: str
    label: str  # what tells it from the others
    command: str
    step_us: float | None  # median of its runs; None: none ended
    runs: int


class AbCount(msgspec.Struct, frozen=True, kw_only=True):
    """A count per step of both sides, exact: it needs no repetition."""

    name: str
    before: float
    after: float


class AbForecast(msgspec.Struct, frozen=True, kw_only=True):
    """What was forecast for a change that was recognised, on the first run of A."""

    fix: str
    predicted_us: float
    low_us: float
    high_us: float
    measured_us: float


class AbComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One variant against the first."""

    arm: int
    answer: str  # "faster" | "slower" | "same" | "cannot tell" | "withheld"
    change: float | None  # None: fewer than two blocks
    low: float | None
    high: float | None
    level: float | None
    blocks: int
    more_blocks: int | None  # about so many more would tell; None: told, or not known
    slowed_blocks: int  # in which a GPU was held back
    change_without_slowed: float | None
    counts: list[AbCount]  # those that changed
    counts_same: bool  # the counts are known, and none changed
    forecasts: list[AbForecast]
    result: str  # "equal" | "differs" | "" (not asked for)
    text: str


class Ab(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `stallscope ab` prints."""

    schema: str = AB_SCHEMA
    arms: list[AbArm]
    comparisons: list[AbComparison]
    runs: list[AbRun]
    blocks: int
    most_blocks: int
    least_change: float
    seed: int
    noise: bool  # A against A: what the machine's own noise is
    stopped: str  # "decided" | "rounds" | "time" | "interrupted"
    notes: list[str] = []
