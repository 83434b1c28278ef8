"""``stallscope report``: a summary and its steps, or a comparison, as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stallscope import api
from stallscope.analysis.report.html import compare as comparison_page
from stallscope.analysis.report.html import summary as page
from stallscope.commands.options import Force, MaxDepth, MaxMemory, MaxRatio, MaxSize
from stallscope.output import emit, must_be_free
from stallscope.traces.text.limits import limits


def report(
    trace: Annotated[Path, typer.Argument(metavar="TRACE|RUN", help="A trace file or a run folder.")],
    candidate: Annotated[Path | None, typer.Argument(metavar="[CANDIDATE]", help="Another, to compare with.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page.")] = Path("report.html"),
    force: Force = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> None:
    """Write a report to look at or to mail: one HTML file that needs no network and nothing beside it.

    The verdict, the step as a bar and as a timeline to zoom into, every table of the summary, the health of the trace.
    Of two traces, runs or folders of repeated runs: the comparison, before and after.
    """
    must_be_free(output, force=force)
    bounds = limits(max_size, max_ratio, max_depth, max_memory)
    if candidate is None:
        text = page.page_of(*api.explained(trace, bounds))
    else:
        text = comparison_page.render(*api.compared(trace, candidate, bounds))
    emit(text, output, force=force, tell=True)
