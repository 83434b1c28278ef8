"""A check for a pull request: the hidden marker first, so that a bot finds its own comment and updates it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stallscope.analysis.contract.check import Check
from stallscope.analysis.report.check_words import (
    FAILING,
    MARKS,
    allowed_words,
    budget_words,
    device_words,
    place_words,
    value_words,
)
from stallscope.analysis.report.markup import escape
from stallscope.analysis.report.style import PLAIN, Style

MARKER: Final = "<!-- stallscope-check -->"
SIGNS: Final = {"ok": "✅", "exceeded": "❌", "unknown": "❔", "unknown_allowed": "⚠️"}


def render(check: Check, _style: Style = PLAIN) -> str:
    """The comment, ending in a newline."""
    return "\n".join(_lines(check)) + "\n"


def _lines(check: Check) -> Iterator[str]:
    yield MARKER
    yield f"### Stallscope check: {MARKS[check.outcome].lower()}"
    yield ""
    yield f"{escape(check.text)} {escape(check.target)}: {check.steps} steps, {escape(device_words(check))}."
    yield ""
    yield "| per step | | budget | |"
    yield "|---|---:|---:|---|"
    for row in check.rows:
        cells = (row.name, value_words(row), budget_words(row))
        yield f"| {' | '.join(map(escape, cells))} | {SIGNS[row.status]} |"
    yield ""
    for row in check.rows:
        if row.status in FAILING:
            yield f"- {escape(row.text)}"
            yield from (f"  - {escape(place_words(line))}" for line in row.lines)
    yield from (f"- {escape(allowed_words(each))}" for each in check.allowed)
    yield from (f"\n{escape(note)}" for note in check.notes)
