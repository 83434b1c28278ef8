"""A summary on one screen: what it is about, the answer, one step as bars, what to change, where the rest is."""

from __future__ import annotations

import re
import shlex
from typing import Final

from stallscope.analysis.contract.causes import Cause
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report import findings_text
from stallscope.analysis.report.full_page import joined, labelled
from stallscope.analysis.report.header import answer, extent, header, headline
from stallscope.analysis.report.ledger_tables import lines_that_would_wait
from stallscope.analysis.report.lines import indented
from stallscope.analysis.report.step_bars import bars
from stallscope.analysis.report.style import Style, wrap
from stallscope.analysis.report.table import of_counted
from stallscope.analysis.units import percent

LABELS: Final = ("Simulated", "GPU", "GPU shared", "Ranks", "Steps", "Unprofiled", "Whole run", "Periodic")
MOST_ISSUES: Final = 3
MOST_LINES: Final = 4
MOST_FINDINGS: Final = 2
_FACTS: Final = re.compile(r" \(.*\)$")  # in brackets at the end
_LINE: Final = re.compile(r"\.py:\d+")


def page(summary: Summary, style: Style) -> str:
    """The screen of one summary, ending in a newline."""
    summary = of_counted(summary)
    parts = [_about(summary, style), _answer(summary, style), bars(summary, style), _changes(summary, style)]
    return joined([*parts, _rest(summary, style)], style)


def _about(summary: Summary, style: Style) -> list[str]:
    lines = [style.paint("Stallscope summary", "bold")]
    for label, value in header(summary):
        if label in LABELS:
            told = _FACTS.sub("", value) if label == "GPU" else value
            lines += labelled(label, told, style, "warn" if label == "Simulated" else None)
    return lines


def _answer(summary: Summary, style: Style) -> list[str]:
    lines = [style.paint(line, "bold") for line in wrap(answer(summary), style.width)]
    text = summary.verdict.text.removeprefix(f"{headline(summary)}: ")
    return lines + indented(text[:1].upper() + text[1:], style)


def _changes(summary: Summary, style: Style) -> list[str]:
    """What to change, what saves most first; on a CPU the lines that would wait on a GPU too."""
    helps = findings_text.changes(summary)
    lines = [style.paint("What to change", "bold")] if helps else []
    for number, (cause, advice) in enumerate(helps, start=1):
        lines += indented(f"{_told(cause)}: {advice}" if cause else advice, style, f"{number}. ")
    waiting = lines_that_would_wait(summary)
    if waiting:
        more = f" and {len(waiting) - MOST_LINES} more" if len(waiting) > MOST_LINES else ""
        lines += indented(f"On a GPU these lines would wait for it: {', '.join(waiting[:MOST_LINES])}{more}.", style)
    for finding in summary.findings[:MOST_FINDINGS]:
        lines += indented(finding.text, style, "- ")
    return lines


def _told(cause: Cause) -> str:
    saves = "" if cause.saves_share is None else f" (saves up to {percent(cause.saves_share)})"
    lines = [place for place in cause.where if _LINE.search(place)]
    return f"{findings_text.capital(cause.title)}{_at(lines[0]) if lines else ''}{saves}"


def _at(place: str) -> str:
    return f", in {place}" if place.endswith(")") else f", {place}"


def _rest(summary: Summary, style: Style) -> list[str]:
    """What it is not, whether the trace can be trusted, and which commands tell more."""
    cleared = _cleared(summary)
    lines = _hanging("Not the cause: ", f"{', '.join(cleared)}.", style) if cleared else []
    lines += _hanging("Trace: ", _health(summary), style)
    more = f"stallscope summary -v {shlex.quote(summary.trace.path)} (all tables); whatif and report take the same path"
    return lines + _hanging("More: ", more, style)


def _cleared(summary: Summary) -> list[str]:
    """The suspects that are none; waits are left out where a change to one of them is worth something."""
    names = [_uncapital(_FACTS.sub("", said.partition(":")[0])) for said in summary.verdict.not_the_cause]
    waits = any(cause is not None and cause.name.startswith("wait_") for cause, _ in findings_text.changes(summary))
    return [name for name in names if not (waits and name.startswith("waiting"))]


def _hanging(label: str, text: str, style: Style) -> list[str]:
    """A label and its text; what does not fit on the line is indented by two."""
    first, *others = wrap(label + text, style.width - 2)
    return [first, *(f"  {line}" for line in others)]


def _health(summary: Summary) -> str:
    health = summary.health
    if not health.issues:
        return health.grade
    told = [f"{issue.name}{extent(issue)}" for issue in health.issues[:MOST_ISSUES]]
    more = f", {len(health.issues) - MOST_ISSUES} more" if len(health.issues) > MOST_ISSUES else ""
    return f"{health.grade}; {', '.join(told)}{more} (-v explains)"


def _uncapital(words: str) -> str:
    """A name in the middle of a sentence."""
    return words[:1].lower() + words[1:] if words[1:2].islower() or words[1:2] == " " else words
