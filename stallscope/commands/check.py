"""``stallscope check``: budgets per step, held against a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stallscope.commands.options import Force, MaxDepth, MaxMemory, MaxRatio, MaxSize, OutputFile, format_of
from stallscope.output import printer
from stallscope.traces.text.limits import limits


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN|TRACE...", help="A run folder or a trace; several: repeated runs."),
    ] = None,
    script: Annotated[
        str | None, typer.Option("--run", metavar="COMMAND", help="Record this first: --run 'train.py --lr 0.1'.")
    ] = None,
    logdir: Annotated[Path, typer.Option(help="Folder of what --run records.")] = Path("runs"),
    budget: Annotated[
        Path | None,
        typer.Option(metavar="TOML", help="The budgets.  [default: stallscope.toml, or pyproject.toml]"),
    ] = None,
    most: Annotated[
        list[str] | None, typer.Option("--max", metavar="FIGURE=N", help="One more budget: waits=0 (repeatable).")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="JSON", help="A baseline: figures without a budget must not grow past it.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Rewrite this run's part of the baseline, and say what changed.")
    ] = False,
    form: Annotated[str, format_of("check")] = "text",
    also: Annotated[
        list[str] | None, typer.Option(metavar="FORMAT=FILE", help="Write this format to a file too (repeatable).")
    ] = None,
    output: OutputFile = None,
    force: Force = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> int:
    """Hold what each step does against budgets: exact counts, so that a machine's noise decides nothing.

    Exit code 0: all are kept; 1: one is exceeded, or not known; 3: the run cannot be compared (another workload, a
    trace with losses, no steps). Without a GPU the calls that would wait on one are counted.
    """
    from stallscope import checking, trial  # noqa: PLC0415 - the analysis is loaded when a command needs it
    from stallscope.analysis.check.check import EXIT_CODES  # noqa: PLC0415

    if update and against is None:
        raise typer.BadParameter("names no baseline to rewrite; add --against FILE", param_hint="--update")
    if bool(paths) == (script is not None):
        raise typer.BadParameter("name a run, or a command to record with --run, and not both", param_hint="RUN")
    shows = [printer("check", form, output, force=force), *checking.printers(also or (), force=force)]
    budgets = checking.load_budgets(budget, most or ())
    baseline = None if against is None else checking.Baseline(against, update)
    checking.must_be_checkable(budgets, baseline)
    runs = paths or []
    if script is not None:
        runs = trial.record_all(script, logdir, runs=1 if budgets.time is None else budgets.time.runs)
    found = checking.checked(runs, budgets, baseline, limits(max_size, max_ratio, max_depth, max_memory))
    for show in shows:
        show(found)
    if form == "github":
        checking.add_step_summary(found)
    return EXIT_CODES[found.outcome]
