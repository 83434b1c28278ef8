"""A check as JSON: ``stallscope.check/1``."""

from __future__ import annotations

from stallscope.analysis.contract.check import Check
from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import PLAIN, Style


def render(check: Check, _style: Style = PLAIN) -> bytes:
    """The document."""
    return document(check)
