"""Budgets held against figures: a row each, with its sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from stallscope.analysis.check.budgets import NAMES, Budget
from stallscope.analysis.check.figures import Counted, Figure
from stallscope.analysis.check.workload import Folders
from stallscope.analysis.contract.check import CheckLine, CheckRow
from stallscope.analysis.units import count, quantity

Status = Literal["ok", "exceeded", "unknown", "unknown_allowed"]
WORDS: Final = {
    "launches": "kernels and graphs started",
    "waits": "waits of the CPU for the GPU",
    "reads": "values read back to the CPU",
    "pageable_copies": "copies from or to pageable memory",
    "h2d_bytes": "bytes copied to the GPU",
    "d2h_bytes": "bytes copied from the GPU",
    "allocations": "allocations and frees of GPU or pinned memory",
    "graph_captures": "CUDA graphs captured",
    "operators": "operators called",
    "kernels": "kernels that ran",
    "kernel_launches": "kernels started",
    "graph_launches": "graphs started",
    "sync_calls": "Synchronize calls",
    "memcpys": "copies",
    "memsets": "memsets",
    "step_time": "time of a step",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a figure may be; ``high_of_low``: the ceiling of the low end, where a prediction is held against another."""

    low: float | None
    high: float | None
    high_of_low: float | None = None
    is_missing: bool = False  # the baseline does not hold the figure that they would be made of


def row_of(budget: Budget, bounds: Bounds, counted: Counted, folders: Folders) -> CheckRow:
    """One budget held against what was counted."""
    figure = counted.figure(budget.name, budget.over)
    status = _status(figure, bounds, unknown_passes=budget.unknown_passes)
    lines = counted.lines(budget.name, folders) if status != "ok" else []
    return CheckRow(
        name=budget.name,
        unit=NAMES[budget.name],
        status=status,
        low=bounds.low,
        high=bounds.high,
        budget=budget.text,
        value_low=figure.low,
        value_high=figure.high,
        predicted=figure.low is not None and counted.counts.predicted and budget.name != "operators",
        over="steps" if budget.over == "max" else "median",
        text=_sentence(budget, figure, bounds, status, lines),
        lines=lines,
    )


def _status(figure: Figure, bounds: Bounds, *, unknown_passes: bool) -> Status:
    """Exceeded only if it is so at both ends of what is known; ok likewise; else unknown."""
    undecided: Status = "unknown_allowed" if unknown_passes else "unknown"
    low, high = figure.low, figure.high
    if bounds.is_missing:
        return undecided
    if bounds.high_of_low is not None and bounds.high is not None and low is not None and high is not None:
        return "exceeded" if low > bounds.high_of_low or high > bounds.high else "ok"
    if low is not None and bounds.high is not None and low > bounds.high:
        return "exceeded"
    if high is not None and bounds.low is not None and high < bounds.low:
        return "exceeded"
    if high is None or low is None:
        return undecided
    fits = (bounds.high is None or high <= bounds.high) and (bounds.low is None or low >= bounds.low)
    return "ok" if fits else undecided


def amount(name: str, value: float | None) -> str:
    """A figure in its unit."""
    if name not in NAMES:  # the step's time, a change
        return "-" if value is None else f"{value:+.1f} %"
    return quantity(value) if NAMES[name] == "bytes" else count(value)


def between(name: str, low: float | None, high: float | None) -> str:
    """A figure, or the range that it lies in: ``20``, ``3 to 5``, ``at least 3``, ``unknown``."""
    if low is None and high is None:
        return "unknown"
    if high is None:
        return f"at least {amount(name, low)}"
    return amount(name, high) if low == high else f"{amount(name, low)} to {amount(name, high)}"


def _sentence(budget: Budget, figure: Figure, bounds: Bounds, status: Status, lines: list[CheckLine]) -> str:
    name, what = budget.name, WORDS[budget.name]
    limit = _limit(name, bounds)
    seen = between(name, figure.low, figure.high)
    each = "in the median step" if budget.over == "median" else "in the step with most"
    if status in ("unknown", "unknown_allowed") and figure.low is None:
        end = "" if status == "unknown_allowed" else '; unknown = "pass" lets it pass'
        return f"{name}: not known: {figure.why}{end}."
    grounds = f", {figure.why}" if figure.why else ""
    said = f"{name}: {seen} {each} ({what}{grounds}); {limit}"
    if status == "unknown":
        said += '; so that cannot be told (unknown = "pass" lets it pass)'
    places = ", ".join(_place(line) for line in lines[:3])
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""  # noqa: PLR2004 - as many as are named
    return f"{said}: {places}{more}." if places else f"{said}."


def _limit(name: str, bounds: Bounds) -> str:
    if bounds.is_missing:
        return "the baseline does not hold this figure"
    if bounds.low is not None and bounds.high is not None:
        low, high = amount(name, bounds.low), amount(name, bounds.high)
        return f"{high} expected" if low == high else f"{low} to {high} expected"
    return "no limit known" if bounds.high is None else f"at most {amount(name, bounds.high)} allowed"


def _place(line: CheckLine) -> str:
    called = f" {spoken(line.called)}" if line.called else ""
    often = "" if line.calls_per_step == 1 else f" ({count(line.calls_per_step)} a step)"
    return f"{line.call_site}{called}{often}"


def spoken(called: str) -> str:
    """How the call is written in a script."""
    from stallscope.analysis.causes.waits import SPOKEN  # noqa: PLC0415 - a table beside much else

    return SPOKEN.get(called, f".{called}()")
