"""What `stallscope report` writes: the summary of a trace or run and its steps as one HTML page."""

from __future__ import annotations

from pathlib import Path

from stallscope import lean

lean.import_numpy()

# ruff: noqa: E402 - numpy first

from stallscope import api
from stallscope.analysis.report import html
from stallscope.analysis.summary import analyse
from stallscope.analysis.timeline import find_timelines
from stallscope.traces.limits import Limits
from stallscope.traces.read import read


def page(path: Path, limits: Limits) -> str:
    """The report of a trace file or run folder (of several ranks, the one that `summary` shows).

    Raises:
        BadInput: nothing usable is there, or the folder holds several runs.
        Refused: a file passes ``limits``.

    """
    summary = api.load(path, limits)[0].summary
    stages = analyse(read(summary.trace.path, limits=limits))
    return html.render(summary, find_timelines(stages))
