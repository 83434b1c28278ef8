"""A decision between variants as Markdown, for a pull request; the marker lets a bot find its own comment."""

from __future__ import annotations

from typing import Final

from stallscope.analysis.ab.judge import signed
from stallscope.analysis.contract.ab import Ab
from stallscope.analysis.report.ab_words import facts, headline, how
from stallscope.analysis.report.markup import escape
from stallscope.analysis.report.style import PLAIN, Style
from stallscope.analysis.units import microseconds

MARKER: Final = "<!-- stallscope-ab -->"


def render(found: Ab, _style: Style = PLAIN) -> str:
    """The comment, ending in a newline."""
    lines = [MARKER, "### Stallscope ab", "", "| | variant | step, median | runs |", "|---|---|---:|---:|"]
    lines += [f"| {a.letter} | {escape(a.label)} | {microseconds(a.step_us)} | {a.runs} |" for a in found.arms]
    for one in found.comparisons:
        between = "" if one.low is None or one.high is None else f" [{signed(one.low)}, {signed(one.high)}]"
        lines += ["", f"**{one.answer}**{between}: {escape(headline(found, one))}", ""]
        lines += [f"- {escape(fact)}" for fact in facts(one)]
    lines += ["", escape(how(found)), *(f"- {escape(note)}" for note in found.notes)]
    return "\n".join(lines) + "\n"
