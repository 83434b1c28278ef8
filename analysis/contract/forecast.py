"""Forecasts in the contract ``stallscope.summary/2``: what a step would take after each fix. Times are µs."""

from __future__ import annotations

import msgspec


class StepRange(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast step time, µs: what is expected, and an interval that should hold the truth in four of five cases."""

    low: float
    expected: float
    high: float


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """One fix. The list is None where no forecast was made; those that apply come first, most saving first."""

    fix: str  # a stable name: "record_every_100"; docs/reading.md, "What a change would save"
    applies: bool
    why: str  # why it applies and what the forecast rests on, or why it does not apply
    title: str = ""
    step_us: StepRange | None = None  # None: it does not apply, or only a measurement can tell
    saving_share: float | None = None  # of the step, expected; negative: it would cost
    confidence: str = "ok"  # | "low" | "measured"
    with_those_before_us: float | None = None  # the step after this fix and those listed before it; None: not added up
    adds_share: float | None = None  # what it then saves beyond them, of the step now


class ForecastBase(msgspec.Struct, frozen=True, kw_only=True):
    """What the forecasts of ``what_if`` start from."""

    step_us: float | None  # the step now; None: no forecast
    basis: str  # "unprofiled" | "profiled time"
    confidence: str  # "ok" | "low" | "refused"
    reasons: list[str]  # why it is low or refused, and what the figures leave open
    part: str | None = None  # what was replayed, where that is not all: "5 of 6 steps"; figures of ``why`` are of it
    host_factor: float | None = None  # the host's time without the profiler ÷ under it, as solved or assumed
    host_factor_low: float | None = None
    identity_error: float | None = None  # replayed step ÷ recorded step − 1, nothing changed
