"""Charts of many values: drawn by the page's script with uPlot, and as SVG for print and where no script runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stallscope.analysis.contract.summary import Summary, WallTimes
from stallscope.analysis.report.html.charts import WIDE, column, figure
from stallscope.analysis.report.html.page import escape
from stallscope.analysis.units import microseconds
from stallscope.analysis.views.step_times import StepTimes

TALL = 110  # user units
MOST = 400  # columns of the SVG
AHEAD = ", by the CPU's clock: where nothing waits for the GPU, the CPU runs ahead of it"


@dataclass(frozen=True, slots=True)
class Series:
    """One chart: the SVG, and what the script draws in its place."""

    heading: str
    plain: str  # HTML
    data: dict[str, Any]
    key: str = ""  # HTML below either


def placed(number: int, series: Series) -> str:
    """The chart as HTML; the script finds it and its data by its number."""
    label = escape(f"{series.heading}: a chart to move in by keys")
    return (
        f'<section><h2>{escape(series.heading)}</h2><div class="series" id="series-{number}">'
        f'<div class="plain">{series.plain}</div>'
        f'<div class="live"><div class="plot" tabindex="0" role="application" aria-label="{label}" '
        f'aria-describedby="read-{number}"></div><div class="read" id="read-{number}" aria-live="polite"></div></div>'
        f"</div>{series.key}</section>"
    )


def step_series(summary: Summary, times: StepTimes | None) -> Iterator[Series]:
    """The time of each step of the trace and, where a run tells them, of those timed without the profiler."""
    if times is not None:
        yield _steps("Time of each step", times, "Steps of the trace in order", chosen=True)
    without = summary.steps.unprofiled_us
    if without is not None and len(without.host_samples.samples) > 1:
        what = "Steps in order" + ("" if summary.trace.vendor == "cpu" else AHEAD)
        yield _steps("Time of each step without the profiler", _times(without.host_samples), what, chosen=False)


def _times(wall: WallTimes) -> StepTimes:
    ns = np.round(np.array(wall.samples) * 1000).astype(np.int64)
    return StepTimes(np.arange(1, len(ns) + 1, dtype=np.int64), ns, 1000 * wall.median)


def _steps(heading: str, times: StepTimes, what: str, *, chosen: bool) -> Series:
    """``chosen``: steps can be shown as timelines."""
    far = np.flatnonzero(times.far)
    longest, median = microseconds(int(times.ns.max()) / 1000), microseconds(times.median_ns / 1000)
    told = f"{len(far)} stand out: more than a fifth off the median." if len(far) else "None stands out."
    note = f"{what}; median {median}, longest {longest}. {told}"
    data = {
        "kind": "steps",
        "x": times.numbers.tolist(),
        "y": times.ns.tolist(),
        "median": times.median_ns,
        "far": far.tolist(),
        "chosen": chosen,
    }
    return Series(heading, _columns(times, note), data, f'<p class="note">{escape(note)}</p>')


def _columns(times: StepTimes, note: str) -> str:
    """A column for each step; of more than ``MOST`` steps, for the longest of some that follow each other."""
    together = -(-len(times.ns) // MOST)
    firsts = range(0, len(times.ns), together)
    top, width, drawn = int(times.ns.max()) or 1, WIDE / len(firsts), []
    for place, first in enumerate(firsts):
        part = slice(first, first + together)
        ns, numbers = int(times.ns[part].max()), times.numbers[part].tolist()
        height = TALL * ns / top
        kind = "wait" if times.far[part].any() else "working"
        told = escape(_span(numbers) + microseconds(ns / 1000))
        drawn.append(column(kind, told, place * width, TALL - height, max(0.85 * width, 1), height))
    more = f'<p class="note">Each column is the longest of {together} steps.</p>' if together > 1 else ""
    return figure(TALL, escape(note), "".join(drawn)) + more


def _span(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"step {numbers[0]}: "
    return f"steps {numbers[0]} to {numbers[-1]}: at most "
