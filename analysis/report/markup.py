"""Tables, lists and texts as Markdown. What came from the trace cannot become markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stallscope.analysis.report.style import safe, shorten
from stallscope.analysis.report.table import Table

NAME = 90  # columns of a name
_MARKUP = re.compile(r"([\\`*_{}\[\]!|~$])")
_REFERENCE = re.compile(r"([@#])(?=\w)")  # would notify a person, or link an issue
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escape(text: str) -> str:
    """``text`` so that Markdown and HTML show it as it is."""
    return _REFERENCE.sub(r"\1<!-- -->", _MARKUP.sub(r"\\\1", safe(text)).translate(_ENTITIES))


def bullets(heading: str, items: Sequence[str]) -> list[str]:
    """A list under its heading; [] where there is nothing in it."""
    return [f"### {heading}", "", *(f"- {escape(item)}" for item in items)] if items else []


def table_lines(table: Table) -> list[str]:
    """A table with its heading, lead and note."""
    lines = [f"### {table.title}", "", *([escape(table.lead), ""] if table.lead else [])]
    for number, row in enumerate((table.headers, *table.rows)):
        lines.append("| " + " | ".join(escape(shorten(cell, NAME)) for cell in row) + " |")
        if number == 0:
            lines.append("|" + " --- |" + " ---: |" * (len(row) - 1))
    return [*lines, "", escape(table.note)] if table.note else lines
