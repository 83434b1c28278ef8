"""What `stallscope report` writes: a summary and its steps, or a comparison, as one HTML page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stallscope import lean

lean.import_numpy()

# ruff: noqa: E402 - numpy first

from stallscope import api
from stallscope.analysis.compare import compare
from stallscope.analysis.launch_histogram import find_launch_histogram
from stallscope.analysis.memory import find_memory_over_time
from stallscope.analysis.report import html, html_compare
from stallscope.analysis.step_times import find_step_times
from stallscope.analysis.timeline import find_timelines
from stallscope.traces.limits import Limits


def page(path: Path, limits: Limits) -> str:
    """The report of a trace file or run folder (of several ranks, the one that `summary` shows).

    Raises:
        BadInput: nothing usable is there, or the folder holds several runs.
        Refused: a file passes ``limits``.

    """
    summary, stages = api.explained(path, limits)
    times = find_step_times(stages.window, summary.steps.wall_us.median)
    memory = find_memory_over_time(stages.trace, stages.window)
    timelines = find_timelines(stages, times.outliers() if times else ())
    return html.render(summary, timelines, html.Charts(memory, find_launch_histogram(stages), times))


def comparison_page(baseline: Path, candidate: Path, limits: Limits, *, names: tuple[str, str] | None = None) -> str:
    """The comparison of two traces, runs, or folders of repeated runs; ``names``: what to call the two.

    Raises:
        BadInput: nothing usable is there.
        Refused: a file passes ``limits``.

    """
    sides = [api.load_all([path], limits) for path in (baseline, candidate)]
    if names is not None:
        sides = [[replace(each, name=name) for each in side] for side, name in zip(sides, names, strict=True)]
    before, after = sides
    return html_compare.render(compare(before, after), before[0].summary, after[0].summary)
