"""A summary for the terminal: one screen; parts of the whole page by name below it; or the whole page."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report import brief_page, full_page, peers_text
from stallscope.analysis.report.style import Style
from stallscope.analysis.report.table import of_counted


def render(summaries: Sequence[Summary], style: Style, *, show: Sequence[str] = (), verbose: bool = False) -> str:
    """The reports, each ending in a newline, with the peers' view behind where it was asked for.

    ``show``: names of parts of the whole page to add (``full_page.sections``).
    """
    pages = [full_page.page(each, style) if verbose else page(each, style, show) for each in summaries]
    peers = [peers_text.render(each, style) for each in summaries]
    return "\n".join(f"{page}\n{beside}" if beside else page for page, beside in zip(pages, peers, strict=True))


def page(summary: Summary, style: Style, show: Sequence[str] = ()) -> str:
    """One screen, and the parts asked for below it; of those that have nothing to tell it is said."""
    first = brief_page.page(summary, style)
    if not show:
        return first
    there = full_page.sections(of_counted(summary), style)
    parts = [there.get(name) or [f"{name}: nothing to show"] for name in show]
    return f"{first}\n{full_page.joined(parts, style)}"
