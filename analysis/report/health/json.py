"""The health of traces as JSON: ``stallscope.health/1``; several as ``stallscope.healths/1``."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.fill.health import HealthReport
from stallscope.analysis.report.document import documents
from stallscope.analysis.report.style import PLAIN, Style


def render(reports: Sequence[HealthReport], _style: Style = PLAIN) -> bytes:
    """One report, or several under ``healths``."""
    return documents(reports, "stallscope.healths/1", "healths")
