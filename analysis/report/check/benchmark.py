"""A check as ``customSmallerIsBetter``: what github-action-benchmark and bencher draw over time."""

from __future__ import annotations

from typing import Any

from stallscope.analysis.contract.check import Check, CheckRow
from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import PLAIN, Style


def render(check: Check, _style: Style = PLAIN) -> bytes:
    """The list of figures that are known; of a range its upper end."""
    return document([_entry(row) for row in check.rows if row.value_high is not None])


def _entry(row: CheckRow) -> dict[str, Any]:
    unit = {"count": "per step", "bytes": "bytes per step"}.get(row.unit, row.unit)
    entry: dict[str, Any] = {"name": row.name, "unit": unit, "value": row.value_high}
    if row.value_low != row.value_high:
        entry["range"] = f"{row.value_low} to {row.value_high}"
    return {**entry, "extra": row.text}
