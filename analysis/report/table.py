"""What a table is, and how its cells put figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.units import percent

TOP = 10  # rows of the operator and kernel tables

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A title, what one should know to read it, and rows of which the first cell is a name."""

    title: str
    note: str
    headers: Row
    rows: Sequence[Row]
    lead: str = ""  # the one sentence to read, if no more


def scope(summary: Summary) -> str:
    """What the figures are about: ``per step``, or ``in the trace`` where it has no steps."""
    return "per step" if summary.steps.source == "profiler_step" else "in the trace"


def step_us(summary: Summary) -> float:
    """Length of the window per step, which the breakdown sums to."""
    return summary.steps.window_us / summary.steps.count


def share(summary: Summary, us: float | None) -> str:
    """Part of the step as percent."""
    whole = step_us(summary)
    return percent(None if us is None or not whole else us / whole)
