"""The findings as sentences: cost first, then the evidence, then what to do, unless that was said already."""

from __future__ import annotations

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.units import microseconds, percent

MOST = 5
HEADING = "What costs time now"


def sentences(summary: Summary) -> list[str]:
    """One paragraph a finding, most cost first."""
    return [
        f"{microseconds(found.cost_us_per_step)} ({percent(found.share)}): {found.title}. {found.evidence}"
        + ("" if any(found.advice in said for said in summary.verdict.advice) else f" {found.advice}")
        for found in summary.advice_findings[:MOST]
    ]
