"""The causes as sentences: what goes if one goes, the evidence, then what to do, unless that was said already."""

from __future__ import annotations

import re

from stallscope.analysis.contract.causes import Cause
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.units import microseconds, percent

MOST = 5
PLACES = 3
WORTH = 0.01  # of the step: what saves less needs no advice
LITTLE = 0.5  # of what it costs: below it saves less than one would think
COSTS_NOTHING = ("memory_room",)  # its figures stand with the GPU's memory
HEADING = "What costs time now"
HELPS = "What would help"


def helps(summary: Summary) -> list[str]:
    """The advice, each piece with the cause that it is for and the most that it can save."""
    return [_help(cause, advice) if cause else advice for cause, advice in changes(summary)]


def changes(summary: Summary) -> list[tuple[Cause | None, str]]:
    """Each piece of advice with the cause that it is for, if it is for one."""
    first: dict[str, Cause] = {}
    for cause in summary.causes:
        first.setdefault(cause.advice, cause)
    return [(first.get(advice), advice) for advice in summary.verdict.advice]


def _help(cause: Cause, advice: str) -> str:
    most = "" if cause.saves_share is None else f" (without it {percent(cause.saves_share)} less)"
    return f"{capital(cause.title)}{most}: {advice}"


def sentences(summary: Summary) -> list[str]:
    """One paragraph a cause, most saved first."""
    said = set(summary.verdict.advice)
    told = [cause for cause in summary.causes if cause.name not in COSTS_NOTHING][:MOST]
    is_whole = summary.steps.source == "whole_trace"
    return [
        (_of_the_trace(_facts(cause)) if is_whole else _facts(cause))
        + ("" if cause.advice in said or not _is_worth(cause) else f" {cause.advice}")
        for cause in told
    ]


def _facts(cause: Cause) -> str:
    return f"{capital(cause.title)}: {_figures(cause)}. {capital(cause.evidence)}{_where(cause)}"


def _of_the_trace(text: str) -> str:
    """The same of a trace that counts as one step."""
    return text.replace("without it a step takes", "without it the trace takes").replace(" a step", " in the trace")


def _is_worth(cause: Cause) -> bool:
    return cause.saves_share is None or cause.saves_share >= WORTH


def _figures(cause: Cause) -> str:
    """What it costs and what would be saved, each once; a cost below what it saves is only where it shows."""
    cost = "" if cause.cost_us is None else f"{microseconds(cause.cost_us)} a step ({percent(cause.share)})"
    if cause.saves_us is None:
        return cost or "its cost cannot be told apart"
    saved = f"{microseconds(cause.saves_us)} ({percent(cause.saves_share)})"
    if cost and not _is_worth(cause) and cause.saves_us < LITTLE * (cause.cost_us or 0.0):
        return f"{cost}; but without it {'nothing' if not cause.saves_us else f'only {saved}'} would be saved"
    if cost == saved.replace(" (", " a step (", 1):
        return f"{cost}; without it as much would be saved"
    if cost and (cause.cost_us or 0.0) >= cause.saves_us:
        return f"{cost}; without it {saved} would be saved"
    return f"without it a step takes {saved} less"


def _where(cause: Cause) -> str:
    """Where, as far as the evidence has not said it."""
    places = [place for place in cause.where[:PLACES] if place not in cause.evidence]
    return f" {'Also at' if len(places) < len(cause.where[:PLACES]) else 'At'} {', '.join(places)}." if places else ""


def capital(words: str) -> str:
    """A sentence's first letter; what is code stays as it is."""
    return words[:1].upper() + words[1:] if re.match(r"[a-z]+(?![\w.(=])", words) else words
