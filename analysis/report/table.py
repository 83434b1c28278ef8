"""What a table is, and how its cells put figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

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
    return "in the trace" if summary.steps.source == "whole_trace" else "per step"


def scope_of_all(summary: Summary) -> str:
    """The same of figures that are means over all steps, those too that are left out of the step's time."""
    steps = summary.steps
    if steps.counted is None or steps.counted == steps.count or steps.run_ahead:
        return scope(summary)
    return f"per step, over all {steps.count} steps"


def step_us(summary: Summary) -> float:
    """The step, which the breakdown of the steps that count sums to."""
    return summary.steps.time_us


def of_counted(summary: Summary) -> Summary:
    """The summary with the figures of a step over the steps that count, in place of totals ÷ steps."""
    counted = summary.typical
    if counted is None:
        return summary
    return replace(
        summary, per_step=counted.per_step, breakdown_us=counted.breakdown_us, idle_us=counted.idle_us, typical=None
    )


def share(summary: Summary, us: float | None) -> str:
    """Part of the step as percent."""
    whole = step_us(summary)
    return percent(None if us is None or not whole else us / whole)
