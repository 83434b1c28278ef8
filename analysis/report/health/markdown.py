"""The health of traces for an issue: as a block of code, so that nothing in it becomes markup."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.fill.health import HealthReport
from stallscope.analysis.report.health import text
from stallscope.analysis.report.style import PLAIN, Style


def render(reports: Sequence[HealthReport], _style: Style = PLAIN) -> str:
    """The reports, each ending in a newline."""
    pages = (text.page(each, PLAIN) for each in reports)
    return "\n".join("".join(f"    {line}\n" for line in page.splitlines()) for page in pages)
