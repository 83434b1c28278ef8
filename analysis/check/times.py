"""The budget of the step's time: an interval of repeated runs against repeated runs of the same machine.

The statistic is that of ``compare`` (``analysis/compare/bootstrap.py``); the time of a run is its step without the
profiler. One run says nothing of how runs differ, and another machine's times nothing of the change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stallscope.analysis.check.baseline import Against
from stallscope.analysis.check.budgets import Time
from stallscope.analysis.compare.bootstrap import FEWEST_RUNS, bootstrap_difference
from stallscope.analysis.contract.check import BaselineEntry, CheckRow
from stallscope.analysis.units import microseconds

NAME = "step_time"


@dataclass(frozen=True, slots=True)
class Times:
    """The steps of repeated runs, µs; None: a run has none without the profiler."""

    step_us: tuple[float | None, ...]
    machine: str | None  # CPU and GPUs; None: not known


def time_row(budget: Time, times: Times, against: Against | None) -> CheckRow:
    """The budget held against the interval of the change."""
    limit = 100 * budget.step
    entry = against.entry if against is not None else None
    why = _why_not(times, entry)
    low = high = None
    if not why and entry is not None:
        found = bootstrap_difference(entry.step_us, [us for us in times.step_us if us is not None]).ratio_interval
        low, high = (None, None) if found is None else (100 * (found[0] - 1), 100 * (found[1] - 1))
    status = _status(low, high, limit, passes=budget.cannot_tell_passes)
    return CheckRow(
        name=NAME,
        unit="percent",
        status=status,
        low=None,
        high=limit,
        budget=f"+{limit:g} %",
        value_low=low,
        value_high=high,
        predicted=False,
        over="runs",
        text=_sentence(times, entry, why, (low, high), limit),
        lines=[],
    )


def _why_not(times: Times, entry: BaselineEntry | None) -> str:
    """Why the times cannot be told apart; "" where they can."""
    if entry is None:
        return "there is no baseline with times; --against FILE --update writes one"
    if len(times.step_us) < FEWEST_RUNS:
        return "one run says nothing of how runs differ; name several, or repeat it with --run"
    if None in times.step_us:
        return "a run has no step without the profiler"
    if len(entry.step_us) < FEWEST_RUNS:
        return "the baseline holds the time of no repeated runs; --update with several runs"
    if times.machine is None or times.machine != entry.machine:
        return "the baseline's times are of another machine"
    return ""


def _status(
    low: float | None, high: float | None, limit: float, *, passes: bool
) -> Literal["ok", "exceeded", "unknown", "unknown_allowed"]:
    if low is not None and low > limit:
        return "exceeded"
    if high is not None and high <= limit:
        return "ok"
    return "unknown_allowed" if passes else "unknown"


def _sentence(
    times: Times, entry: BaselineEntry | None, why: str, bounds: tuple[float | None, float | None], limit: float
) -> str:
    low, high = bounds
    if why or entry is None or low is None or high is None:
        return f"{NAME}: cannot tell: {why or 'a time is not positive'}."
    now, before = (_mean([us for us in some if us is not None]) for some in (times.step_us, entry.step_us))
    told = "; that cannot be told apart from the limit" if low <= limit < high else ""
    return (
        f"{NAME}: {microseconds(now)} after {microseconds(before)}, a change of {low:+.1f} to {high:+.1f} % (95 %, "
        f"{len(times.step_us)} runs after {len(entry.step_us)}); at most +{limit:g} % allowed{told}."
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
