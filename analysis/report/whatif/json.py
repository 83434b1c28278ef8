"""Forecasts as JSON: the contract ``stallscope.whatif/1``; several as ``stallscope.whatifs/1``."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.fill.whatif import fill_forecasts
from stallscope.analysis.report.document import documents
from stallscope.analysis.report.style import PLAIN, Style


def render(summaries: Sequence[Summary], _style: Style = PLAIN) -> bytes:
    """What each summary says of the future; several under ``forecasts``."""
    return documents([fill_forecasts(each) for each in summaries], "stallscope.whatifs/1", "forecasts")
