"""The page of ``stallscope whatif`` as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.markup import bullets, escape, table_lines
from stallscope.analysis.report.style import PLAIN, Style
from stallscope.analysis.report.whatif_table import base_rows, grounds, ladder, why_words


def render(summaries: Sequence[Summary], _style: Style = PLAIN) -> str:
    """The page of each summary, ending in a newline."""
    return "\n".join(_page(each) for each in summaries)


def _page(summary: Summary) -> str:
    table = ladder(summary)
    fixes = summary.what_if or []
    sections = [
        [f"## Stallscope forecast: {escape(summary.trace.path)}"],
        [f"- **{label}**: {escape(value)}" for label, value in base_rows(summary.forecast)],
        table_lines(table) if table is not None else [],
        bullets(why_words(summary.forecast), grounds(fixes, applies=True)),
        bullets("No forecast for", grounds(fixes, applies=False)),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"
