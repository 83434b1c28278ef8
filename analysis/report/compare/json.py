"""A comparison as JSON, contract ``stallscope.compare/1``."""

from __future__ import annotations

from stallscope.analysis.contract.compare import Comparison
from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import PLAIN, Style


def render(comparison: Comparison, _style: Style = PLAIN) -> bytes:
    """The document, indented, keys in the order of the contract, with a newline at its end."""
    return document(comparison)
