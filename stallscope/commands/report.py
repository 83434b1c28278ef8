"""What `stallscope report` writes: a summary and its steps, or a comparison, as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from stallscope import lean

lean.import_numpy()

# ruff: noqa: E402 - numpy first

from stallscope import api
from stallscope.analysis.compare.compare import compare
from stallscope.analysis.contract.compare import Comparison
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.fill.memory import find_memory_over_time
from stallscope.analysis.report.html import compare as html_compare
from stallscope.analysis.report.html import summary as html
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.views.launch_histogram import find_launch_histogram
from stallscope.analysis.views.step_times import find_step_times
from stallscope.analysis.views.timeline import find_timelines
from stallscope.traces.text.limits import Limits


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison, and the summary of the first run of each side."""

    comparison: Comparison
    before: Summary
    after: Summary


def page(path: Path, limits: Limits) -> str:
    """The report of a trace file or run folder (of several ranks, the one that `summary` shows).

    Raises:
        BadInput: nothing usable is there, or the folder holds several runs.
        Refused: a file passes ``limits``.

    """
    return page_of(*api.explained(path, limits))


def page_of(summary: Summary, stages: Stages) -> str:
    """The report of a trace that has been explained."""
    times = find_step_times(stages.window, summary.steps.wall_us.median)
    memory = find_memory_over_time(stages.trace, stages.window)
    timelines = find_timelines(stages, times.outliers() if times else ())
    return html.render(summary, timelines, html.Charts(memory, find_launch_histogram(stages), times))


def comparison_page(baseline: Path, candidate: Path, limits: Limits) -> str:
    """The comparison of two traces, runs, or folders of repeated runs.

    Raises:
        BadInput: nothing usable is there.
        Refused: a file passes ``limits``.

    """
    return page_of_comparison(compared(baseline, candidate, limits))


def compared(baseline: Path, candidate: Path, limits: Limits, *, names: tuple[str, str] | None = None) -> Compared:
    """The comparison that such a page shows; ``names``: what to call the two. Raises as ``comparison_page``."""
    sides = [api.load_all([path], limits) for path in (baseline, candidate)]
    if names is not None:
        sides = [[replace(each, name=name) for each in side] for side, name in zip(sides, names, strict=True)]
    before, after = sides
    return Compared(compare(before, after), before[0].summary, after[0].summary)


def page_of_comparison(compared: Compared) -> str:
    """The page of a comparison that has been made."""
    return html_compare.render(compared.comparison, compared.before, compared.after)
