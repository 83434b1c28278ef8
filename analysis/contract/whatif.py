"""The JSON contracts ``stallscope.whatif/1`` and ``stallscope.score/1`` as types. Times are µs; null is unknown."""

from __future__ import annotations

import msgspec

from stallscope.analysis.contract.compare import ForecastScore
from stallscope.analysis.contract.forecast import ForecastBase, WhatIf
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.fixes.constants import TABLE

WHATIF_SCHEMA = "stallscope.whatif/1"
SCORE_SCHEMA = "stallscope.score/1"


class ConstantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that no trace holds and forecasts need."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    source: str
    measured: bool  # by this project, on hardware


class Forecasts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `stallscope whatif TRACE --format json` prints."""

    schema: str = WHATIF_SCHEMA
    trace: str
    simulated: bool
    verdict: str
    forecast: ForecastBase | None
    what_if: list[WhatIf] | None
    constants: list[ConstantRow]


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


def forecasts_of(summary: Summary) -> Forecasts:
    """What a summary says of the future."""
    return Forecasts(
        trace=summary.trace.path,
        simulated=summary.trace.simulated,
        verdict=summary.verdict.kind,
        forecast=summary.forecast,
        what_if=summary.what_if,
        constants=constants(),
    )


def constants() -> list[ConstantRow]:
    """The table of ``analysis/constants.py``."""
    return [
        ConstantRow(
            name=each.name,
            value=each.value,
            low=each.low,
            high=each.high,
            unit=each.unit,
            source=each.source,
            measured=each.measured,
        )
        for each in TABLE
    ]
