"""Forecasts beside what came as JSON, contract ``stallscope.score/1``."""

from __future__ import annotations

from stallscope.analysis.contract.whatif import Scores
from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import PLAIN, Style


def render(scores: Scores, _style: Style = PLAIN) -> bytes:
    """The pairs, and how far the forecasts were off."""
    return document(scores)
