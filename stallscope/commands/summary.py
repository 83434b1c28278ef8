"""``stallscope summary``: the summaries of paths, or the health of their files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stallscope import api
from stallscope.analysis.forecast.asked import Asked
from stallscope.analysis.report.sections import SECTIONS
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
from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.limits import limits


def summary(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Trace files or run folders.")],
    form: Annotated[str, format_of("summary", "health")] = "text",
    output: OutputFile = None,
    force: Force = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if a trace is degraded.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every table, not just the screen.")] = False,
    show: Annotated[
        str | None, typer.Option("--show", metavar="NAMES", help=f"Tables to add: {', '.join(SECTIONS)}.")
    ] = None,
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
    parts = _parts(show)
    options = {"show": parts, "verbose": verbose} if form == "text" and not health else {}
    printed = printer("health" if health else "summary", form, output, force=force, **options)
    bounds = limits(max_size, max_ratio, max_depth, max_memory)
    if health:
        reports = [report for path in paths for report in api.health(path, bounds)]
        printed(reports)
        grades = [each.grade for each in reports]
    else:
        asked = Asked(peers=peers)
        summaries = [run.summary for path in paths for run in api.load_rank(path, bounds, asked, rank=rank)]
        printed(summaries)
        grades = [each.health.grade for each in summaries]
        if scalars:
            write_and_say(paths)
    return DEGRADED if strict and any(grade != "ok" for grade in grades) else 0


def _parts(names: str | None) -> list[str]:
    """The parts asked for, in their order.

    Raises:
        BadInput: there is no such part.
    """
    asked = [name.strip() for name in (names or "").split(",") if name.strip()]
    unknown = [name for name in asked if name not in SECTIONS]
    if unknown:
        raise BadInput(f"--show {unknown[0]}: no such table; choose of: {', '.join(SECTIONS)}")
    return list(dict.fromkeys(asked))
