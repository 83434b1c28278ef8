"""A summary as Markdown, to paste into an issue. What came from the trace cannot become markup."""

from __future__ import annotations

import re

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report import findings_text, ledger_tables, peers_text
from stallscope.analysis.report.header import answer, extent, extras, header, how
from stallscope.analysis.report.style import safe, shorten
from stallscope.analysis.report.table import Table, step_us
from stallscope.analysis.report.tables import tables
from stallscope.analysis.report.whatif_table import ladder
from stallscope.analysis.units import microseconds, percent

NAME = 90  # columns of a name
_MARKUP = re.compile(r"([\\`*_{}\[\]!|~$])")
_REFERENCE = re.compile(r"([@#])(?=\w)")  # would notify a person, or link an issue
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def render(summary: Summary) -> str:
    """The report, ending in a newline."""
    verdict = summary.verdict
    sections = [
        [f"## Stallscope: {escape(answer(summary))}"],
        [escape(verdict.text)],
        [escape(told)] if (told := how(summary)) else [],
        [f"- **{label}**: {escape(value)}" for label, value in header(summary)],
        _where(summary),
        _list("What is not the cause", verdict.not_the_cause),
        _list("What would help", verdict.advice),
        *([table_lines(table)] if (table := ladder(summary, every=False)) is not None else []),
        _list(findings_text.HEADING, findings_text.sentences(summary)),
        _list(ledger_tables.WOULD_WAIT, ledger_tables.would_wait(summary)),
        _list("Findings", [finding.text for finding in summary.findings]),
        _list(f"Trace is {summary.health.grade}", [f"{i.name}{extent(i)}: {i.advice}" for i in summary.health.issues]),
        *(table_lines(table) for table in tables(summary)),
        *(table_lines(table) for table in peers_text.tables(summary)),
        [f"- {escape(line)}" for line in extras(summary)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def escape(text: str) -> str:
    """``text`` so that Markdown and HTML show it as it is."""
    return _REFERENCE.sub(r"\1<!-- -->", _MARKUP.sub(r"\\\1", safe(text)).translate(_ENTITIES))


def _where(summary: Summary) -> list[str]:
    """The GPU's share of the step in one line."""
    busy, whole = summary.per_step.gpu_busy_us, step_us(summary)
    if busy is None or not whole:
        return []
    return [f"GPU working {microseconds(busy)} of {microseconds(whole)} ({percent(busy / whole)})."]


def _list(heading: str, items: list[str]) -> list[str]:
    return [f"### {heading}", "", *(f"- {escape(item)}" for item in items)] if items else []


def table_lines(table: Table) -> list[str]:
    """A table with its heading, lead and note."""
    lines = [f"### {table.title}", "", *([escape(table.lead), ""] if table.lead else [])]
    for number, row in enumerate((table.headers, *table.rows)):
        lines.append("| " + " | ".join(escape(shorten(cell, NAME)) for cell in row) + " |")
        if number == 0:
            lines.append("|" + " --- |" + " ---: |" * (len(row) - 1))
    return [*lines, "", escape(table.note)] if table.note else lines
