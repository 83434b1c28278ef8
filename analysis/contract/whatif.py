"""The JSON contracts ``stallscope.whatif/1`` and ``stallscope.score/1`` as types. Times are µs; null is unknown."""

from __future__ import annotations

from typing import Final

import msgspec

from stallscope.analysis.contract.compare import ForecastScore
from stallscope.analysis.contract.forecast import ForecastBase, WhatIf
from stallscope.analysis.contract.shown import Shown

WHATIF_SCHEMA = "stallscope.whatif/1"
SCORE_SCHEMA = "stallscope.score/1"


UNMEASURED: Final = "not yet measured on hardware"
MEASURED: Final = "measured on hardware"


class Constant(msgspec.Struct, frozen=True):
    """One figure: the value used, the bounds that sources and traces span, and where it comes from."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    source: str
    measured: bool = False

    @property
    def mark(self) -> str:
        """Whether this project has measured it on hardware."""
        return MEASURED if self.measured else UNMEASURED


class Forecasts(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """Everything `stallscope whatif TRACE --format json` prints."""

    schema: str = WHATIF_SCHEMA
    trace: str
    simulated: bool
    verdict: str
    forecast: ForecastBase | None
    what_if: list[WhatIf] | None
    constants: list[Constant]


class ScoredPair(msgspec.Struct, frozen=True, kw_only=True):
    """One baseline and candidate between which one change was recognised."""

    baseline: str
    candidate: str
    before_us: float | None
    score: ForecastScore


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `stallscope whatif --score RUN… --format json` prints."""

    schema: str = SCORE_SCHEMA
    pairs: list[ScoredPair]
    median_error_percent: float | None  # of the absolute errors
    p90_error_percent: float | None
    inside_share: float | None  # of the pairs with a forecast: the measured step lay in its interval
