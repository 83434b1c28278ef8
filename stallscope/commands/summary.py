"""``stallscope summary``: the summaries of paths, or the health of their files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stallscope import api
from stallscope.analysis.forecast.asked import Asked
from stallscope.commands.options import (
    Force,
    MaxDepth,
    MaxMemory,
    MaxRatio,
    MaxSize,
    OutputFile,
    format_of,
)
from stallscope.outcome import DEGRADED
from stallscope.output import printer
from stallscope.scalars import write_and_say
from stallscope.traces.text.limits import limits


def summary(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Trace files or run folders.")],
    form: Annotated[str, format_of("summary", "health")] = "text",
    output: OutputFile = None,
    force: Force = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if a trace is degraded.")] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="Add the figures as HTA, torch-tb-profiler and TraceLens define them.")
    ] = False,
    rank: Annotated[
        int | None, typer.Option("--rank", min=0, help="Of several ranks, the one to explain.  [default: the first]")
    ] = None,
    health: Annotated[
        bool, typer.Option("--health", help="Say what the file is and how far to trust it, instead.")
    ] = False,
    scalars: Annotated[
        bool,
        typer.Option("--scalars", help="Write main figures of each span of a run folder as TensorBoard scalars too."),
    ] = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> int:
    """Print the bottleneck summary of a trace, of a run folder, of many ranks.

    Of a run folder the newest timing span is read: that of rank 0 if there are several, the others being listed.
    """
    show = printer("health" if health else "summary", form, output, force=force)
    bounds = limits(max_size, max_ratio, max_depth, max_memory)
    if health:
        reports = [report for path in paths for report in api.health(path, bounds)]
        show(reports)
        grades = [each.grade for each in reports]
    else:
        asked = Asked(peers=peers)
        summaries = [run.summary for path in paths for run in api.load_rank(path, bounds, asked, rank=rank)]
        show(summaries)
        grades = [each.health.grade for each in summaries]
        if scalars:
            write_and_say(paths)
    return DEGRADED if strict and any(grade != "ok" for grade in grades) else 0
