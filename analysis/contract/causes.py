"""Causes in the contract ``stallscope.summary/2``: what costs time, by names that are stable. Times are µs a step."""

from __future__ import annotations

import msgspec


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One cause. What it saves is what the replay says goes if it goes; what it costs is what it takes now."""

    name: str
    title: str
    saves_us: float | None  # None: no replay tells
    saves_share: float | None  # of the step
    cost_us: float | None  # None: its cost cannot be told apart
    share: float | None  # of the step
    evidence: str
    where: list[str] = msgspec.field(default_factory=list)  # lines of the script, else functions, modules, operators
    advice: str
    fix: str | None = None  # the forecast of ``whatif`` that goes with it
    bars: list[str] = msgspec.field(default_factory=list)  # forecasts that must not be offered beside it
    confidence: str = "ok"  # "ok" | "low"
