"""What a summary says of the future, in the words of the contract ``stallscope.whatif/1``."""

from __future__ import annotations

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.contract.whatif import Forecasts
from stallscope.analysis.fixes.constants import TABLE


def fill_forecasts(summary: Summary) -> Forecasts:
    """What a summary says of the future."""
    return Forecasts(
        trace=summary.trace.path,
        simulated=summary.trace.simulated,
        verdict=summary.verdict.kind,
        forecast=summary.forecast,
        what_if=summary.what_if,
        constants=list(TABLE),
    )
