"""``stallscope whatif``: the forecasts of traces, the table of constants, or how right forecasts were."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stallscope import api
from stallscope.analysis.compare.score_runs import score_runs
from stallscope.analysis.fixes.constants import TABLE
from stallscope.analysis.fixes.names import STANDARD, Wanted, parse
from stallscope.analysis.forecast.asked import Asked
from stallscope.commands.options import Force, MaxDepth, MaxMemory, MaxRatio, MaxSize, OutputFile, format_of
from stallscope.output import printer
from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.limits import limits


def whatif(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Trace files or run folders.", show_default=False)
    ] = None,
    fix: Annotated[
        list[str] | None, typer.Option("--fix", metavar="NAME[=N]", help="Forecast this fix only (repeatable).")
    ] = None,
    score: Annotated[
        bool, typer.Option("--score", help="Set forecasts beside what came, for all pairs of runs at PATH.")
    ] = False,
    constants: Annotated[
        bool, typer.Option("--constants", help="Show the constants that no trace holds, and their sources.")
    ] = False,
    form: Annotated[str, format_of("whatif", "scores", "constants")] = "text",
    output: OutputFile = None,
    force: Force = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> None:
    """Forecast what a step would take after each fix, best first, with an interval, and why.

    Of a trace that was recorded by `stallscope profile` the forecast is in time without the profiler. A trace too
    doubtful for a forecast gets none, and the reason. --fix takes record_every=N and dataloader_workers=N too.
    """
    view = "constants" if constants else "scores" if score else "whatif"
    show, asked = printer(view, form, output, force=force), Asked(fixes=_fixes(fix or []))
    bounds = limits(max_size, max_ratio, max_depth, max_memory)
    if constants:
        show(TABLE)
    elif not paths:
        raise typer.BadParameter("name a trace or a run folder", param_hint="PATH")
    elif score:
        show(score_runs(api.load_all(paths, bounds)))
    else:
        show([run.summary for path in paths for run in api.load(path, bounds, asked)])


def _fixes(words: list[str]) -> tuple[Wanted, ...]:
    """What ``--fix`` asks for; all where it is not given.

    Raises:
        BadInput: there is no fix of that name, or its number is none it takes.
    """
    try:
        return tuple(parse(each) for each in words) or STANDARD
    except ValueError as error:
        raise BadInput(f"--fix {error}") from None
