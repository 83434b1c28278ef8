"""The peers' view for the terminal: their figure, ours, and a line on why they differ."""

from __future__ import annotations

from itertools import groupby

from stallscope.analysis.contract.rows import PeerRow
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.style import Style, pad, wrap
from stallscope.analysis.report.table import Table
from stallscope.analysis.units import count, microseconds, percent

COLUMN = 12  # columns of a figure


def render(summary: Summary, style: Style) -> str:
    """The section, ending in a newline; "" where the summary holds no peers' view."""
    if summary.peers is None:
        return ""
    lines = [style.paint("The same figures as other tools define them", "bold")]
    lines += _indented("Computed here by their definitions; the tools themselves are not needed.", style)
    if not summary.peers:
        lines += _indented("None of them finds anything in this trace.", style)
    for peer, rows in groupby(_told(summary), key=lambda row: row.peer):
        lines += ["", *_peer(peer, list(rows), style)]
    return style.text("\n".join(lines)) + "\n"


def _peer(peer: str, rows: list[PeerRow], style: Style) -> list[str]:
    name = max(4, min(max(len(row.what) for row in rows), style.width - 2 * COLUMN - 2))
    head = pad(f"  {peer}", name + 2) + pad("theirs", COLUMN, right=True) + pad("ours", COLUMN, right=True)
    lines = [style.paint(head, "bold")]
    for why, group in groupby(rows, key=lambda row: row.why):
        for row in group:
            figures = (pad(shown(figure, row.unit), COLUMN, right=True) for figure in (row.value, row.ours))
            lines.append(pad(f"  {row.what[:name]}", name + 2) + "".join(figures))
        lines += [style.paint(f"    {part}", "dim") for part in wrap(why, style.width - 4)]
    return lines


def tables(summary: Summary) -> list[Table]:
    """The same as tables, a peer each."""
    headers = ("figure", "theirs", "ours", "why they differ")
    return [
        Table(
            f"As {peer} defines it",
            "",
            headers,
            [(row.what, shown(row.value, row.unit), shown(row.ours, row.unit), row.why) for row in rows],
        )
        for peer, rows in groupby(_told(summary), key=lambda row: row.peer)
    ]


def _told(summary: Summary) -> list[PeerRow]:
    """The rows with something in them: a run without a GPU has no figures of one, neither theirs nor ours."""
    return [row for row in summary.peers or [] if row.value or row.ours is not None]


def shown(figure: float | None, unit: str) -> str:
    """A figure with its unit; ``-`` where it is unknown, or has no counterpart."""
    if unit == "us":
        return microseconds(figure)
    if unit == "count":
        return count(figure)
    return percent(figure if unit == "share" or figure is None else figure / 100)


def _indented(text: str, style: Style) -> list[str]:
    return [f"  {part}" for part in wrap(text, style.width - 2)]
