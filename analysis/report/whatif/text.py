"""The page of ``stallscope whatif`` for the terminal: the ladder of fixes, and what each rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.header import SIMULATED
from stallscope.analysis.report.lines import indented, table_lines
from stallscope.analysis.report.style import Style, pad, wrap
from stallscope.analysis.report.whatif_table import base_rows, grounds, ladder, why_words

LABEL = 12


def render(summaries: Sequence[Summary], style: Style) -> str:
    """The page of each summary, ending in a newline."""
    return "\n".join(_page(each, style) for each in summaries)


def _page(summary: Summary, style: Style) -> str:
    sections = [
        list(_title(summary, style)),
        *([table_lines(table, style)] if (table := ladder(summary)) is not None else []),
        list(_explained(grounds(summary.what_if or [], applies=True), why_words(summary.forecast), style)),
        list(_explained(grounds(summary.what_if or [], applies=False), "No forecast for", style)),
    ]
    text = "\n\n".join("\n".join(lines) for lines in sections if lines)
    return style.text(text) + "\n"


def _title(summary: Summary, style: Style) -> Iterator[str]:
    yield style.paint("Stallscope forecast", "bold")
    yield style.rule()
    rows = [("Simulated", SIMULATED)] if summary.trace.simulated else []
    rows += [("Trace", summary.trace.path), ("Bound by", summary.verdict.kind), *base_rows(summary.forecast)]
    for label, value in rows:
        for number, part in enumerate(wrap(value, style.width - LABEL)):
            yield pad("" if number else label, LABEL) + part


def _explained(reasons: Sequence[str], heading: str, style: Style) -> Iterator[str]:
    """What each forecast rests on, or why there is none."""
    if not reasons:
        return
    yield style.paint(heading, "bold")
    for each in reasons:
        yield from indented(each, style, "- ")
