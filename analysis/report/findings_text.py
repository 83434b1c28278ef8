"""The causes as sentences: what goes if one goes, the evidence, then what to do, unless that was said already."""

from __future__ import annotations

from stallscope.analysis.contract.causes import Cause
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.units import microseconds, percent

MOST = 5
PLACES = 3
COSTS_NOTHING = ("memory_room",)  # its figures stand with the GPU's memory
HEADING = "What costs time now"


def sentences(summary: Summary) -> list[str]:
    """One paragraph a cause, most saved first."""
    said = set(summary.verdict.advice)
    return [
        f"{_capital(cause.title)}: {_figures(cause)}. {cause.evidence}{_where(cause)}"
        + ("" if cause.advice in said else f" {cause.advice}")
        for cause in [cause for cause in summary.causes if cause.name not in COSTS_NOTHING][:MOST]
    ]


def _figures(cause: Cause) -> str:
    """What it costs and what would be saved, each once."""
    cost = "" if cause.cost_us is None else f"{microseconds(cause.cost_us)} a step ({percent(cause.share)})"
    if cause.saves_us is None:
        return cost or "its cost cannot be told apart"
    saved = f"without it {microseconds(cause.saves_us)} ({percent(cause.saves_share)}) would be saved"
    return f"{cost}; {saved}" if cost else saved


def _where(cause: Cause) -> str:
    return f" At {', '.join(cause.where[:PLACES])}." if cause.where else ""


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
