"""Summaries as JSON: the contract ``stallscope.summary/2``; several as ``stallscope.summaries/1``."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.document import documents
from stallscope.analysis.report.style import PLAIN, Style


def render(summaries: Sequence[Summary], _style: Style = PLAIN) -> bytes:
    """One summary is a document of its own; several are put under ``summaries``."""
    return documents(summaries, "stallscope.summaries/1", "summaries")
