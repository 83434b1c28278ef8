"""A check for the terminal: the answer, what is exceeded, what is kept."""

from __future__ import annotations

from collections.abc import Iterator

from stallscope.analysis.contract.check import Check
from stallscope.analysis.report.check_words import (
    MARKS,
    allowed_words,
    budget_words,
    change_words,
    device_words,
    place_words,
    value_words,
)
from stallscope.analysis.report.lines import indented
from stallscope.analysis.report.style import PLAIN, Style, pad, shorten, wrap

NAME, VALUE = 18, 24
COLOURS = {"pass": "good", "fail": "bad", "not_comparable": "warn"}


def render(check: Check, style: Style = PLAIN) -> str:
    """The page, ending in a newline."""
    head = [style.paint(line, "bold") for line in wrap(_answer(check), style.width)]
    about = f"{check.target}: {check.steps} steps, {device_words(check)}"
    sections = [
        [*head, *wrap(about, style.width)],
        list(_rows(check, style)),
        [
            line
            for row in check.rows
            if row.status in ("exceeded", "unknown")
            for line in indented(row.text, style, "- ")
        ],
        [line for each in check.allowed for line in indented(allowed_words(each), style, "- ")],
        list(_updated(check)),
        [line for note in check.notes for line in wrap(note, style.width)],
    ]
    return style.text("\n\n".join("\n".join(lines) for lines in sections if lines)) + "\n"


def _answer(check: Check) -> str:
    return check.text if check.outcome == "not_comparable" else f"{MARKS[check.outcome]}: {check.text}"


def _rows(check: Check, style: Style) -> Iterator[str]:
    for row in check.rows:
        told = f"{pad(row.name, NAME)}{pad(value_words(row), VALUE)}{pad(budget_words(row), VALUE)}{MARKS[row.status]}"
        yield shorten(told, style.width).rstrip()
        for line in row.lines:
            yield shorten(f"    {place_words(line)}", style.width)


def _updated(check: Check) -> Iterator[str]:
    if check.updated is not None:
        yield "Baseline rewritten:" if check.updated else "Baseline rewritten: nothing changed."
        yield from (f"  {change_words(each)}" for each in check.updated)
