"""Tables and paragraphs as lines of text that fit a style."""

from __future__ import annotations

from stallscope.analysis.report.style import Style, pad, safe, shorten, wrap
from stallscope.analysis.report.table import Table

CELL = 14  # columns of a table cell that is no name, at most


def indented(text: str, style: Style, mark: str = "") -> list[str]:
    """``text`` wrapped and indented, after ``mark`` on its first line."""
    parts = wrap(text, style.width - 2 - len(mark))
    return [f"  {mark if i == 0 else ' ' * len(mark)}{part}" for i, part in enumerate(parts)]


def table_lines(table: Table, style: Style) -> list[str]:
    """First column left, the others right; the first takes what the others leave."""
    rows = [table.headers, *table.rows]
    widths = [min(CELL, max(len(safe(row[i])) for row in rows)) for i in range(1, len(table.headers))]
    if table.headers[1:2] == ("call",):
        widths[0] = min(26, max(len(safe(row[1])) for row in rows))
    widths = _fitting(widths, style.width)
    longest = max(len(safe(row[0])) for row in rows)
    first = max(4, min(style.width - 2 - sum(width + 2 for width in widths), longest))
    lines = [style.paint(line, "bold") for line in wrap(table.title, style.width)]
    lines += indented(table.lead, style) if table.lead else []
    for number, row in enumerate(rows):
        cells = [pad(shorten(row[0], first), first)]
        cells += [pad(shorten(cell, w), w, right=True) for cell, w in zip(row[1:], widths, strict=False)]
        line = ("  " + "  ".join(cells)).rstrip()
        lines.append(style.paint(line, "dim") if number == 0 else line)
    note = [style.paint(line, "dim") for line in indented(table.note, style)]
    return [*lines, *note]


def _fitting(widths: list[int], width: int) -> list[int]:
    """As many of the columns, from the left, as leave 10 columns for names."""
    while widths and sum(each + 2 for each in widths) > width - 12:
        widths = widths[:-1]
    return widths
