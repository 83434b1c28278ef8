"""A decision between variants as JSON: the contract ``stallscope.ab/1``."""

from __future__ import annotations

from stallscope.analysis.contract.ab import Ab
from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import PLAIN, Style


def render(found: Ab, _style: Style = PLAIN) -> bytes:
    """The document."""
    return document(found)
