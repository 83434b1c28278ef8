"""A summary as Markdown, to paste into an issue. What came from the trace cannot become markup."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report import findings_text, ledger_tables, peers_text
from stallscope.analysis.report.header import answer, extent, extras, header, how
from stallscope.analysis.report.markup import bullets, escape, table_lines
from stallscope.analysis.report.style import PLAIN, Style
from stallscope.analysis.report.table import of_counted, step_us
from stallscope.analysis.report.tables import tables
from stallscope.analysis.report.whatif_table import ladder
from stallscope.analysis.units import microseconds, percent


def render(summaries: Sequence[Summary], _style: Style = PLAIN) -> str:
    """The reports, each ending in a newline."""
    return "\n".join(page(each) for each in summaries)


def page(summary: Summary) -> str:
    """The report of one summary, ending in a newline."""
    summary = of_counted(summary)
    verdict, health = summary.verdict, summary.health
    sections = [
        [f"## Stallscope: {escape(answer(summary))}"],
        [escape(verdict.text)],
        [escape(told)] if (told := how(summary)) else [],
        [f"- **{label}**: {escape(value)}" for label, value in header(summary)],
        _where(summary),
        bullets("What is not the cause", verdict.not_the_cause),
        bullets(findings_text.HELPS, findings_text.helps(summary)),
        *([table_lines(table)] if (table := ladder(summary, every=False)) is not None else []),
        bullets(findings_text.HEADING, findings_text.sentences(summary)),
        bullets(ledger_tables.WOULD_WAIT, ledger_tables.would_wait(summary)),
        bullets("Findings", [finding.text for finding in summary.findings]),
        bullets(f"Trace is {health.grade}", [f"{each.name}{extent(each)}: {each.advice}" for each in health.issues]),
        *(table_lines(table) for table in tables(summary).values()),
        *(table_lines(table) for table in peers_text.tables(summary)),
        [f"- {escape(line)}" for line in extras(summary)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _where(summary: Summary) -> list[str]:
    """The GPU's share of the step in one line."""
    busy, whole = summary.per_step.gpu_busy_us, step_us(summary)
    if busy is None or not whole:
        return []
    return [f"GPU working {microseconds(busy)} of {microseconds(whole)} ({percent(busy / whole)})."]
