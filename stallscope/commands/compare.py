"""``stallscope compare``: before against after a change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stallscope import api
from stallscope.analysis.contract.compare import Comparison
from stallscope.commands.options import Force, MaxDepth, MaxMemory, MaxRatio, MaxSize, OutputFile, format_of
from stallscope.outcome import DEGRADED
from stallscope.output import printer
from stallscope.traces.text.limits import limits


def compare(
    baseline: Annotated[Path, typer.Argument(help="Before: a trace, a run folder, or a folder of repeated runs.")],
    candidate: Annotated[Path, typer.Argument(help="After: likewise.")],
    more_baseline: Annotated[
        list[Path] | None, typer.Option("--baseline", help="One more run of the baseline (repeatable).")
    ] = None,
    more_candidate: Annotated[
        list[Path] | None, typer.Option("--candidate", help="One more run of the candidate (repeatable).")
    ] = None,
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit with 1 if the candidate is slower, 3 if not comparable.")
    ] = False,
    form: Annotated[str, format_of("compare")] = "text",
    output: OutputFile = None,
    force: Force = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> int:
    """Compare a training before and after a change, with statistics where there are repeated runs.

    Two CPU runs, two GPU runs, or a CPU run against a GPU run of the same script.
    """
    show = printer("compare", form, output, force=force)
    sides = [baseline, *(more_baseline or ())], [candidate, *(more_candidate or ())]
    found = api.compare(*sides, limits(max_size, max_ratio, max_depth, max_memory))
    show(found)
    return _regression(found) if fail_on_regression else 0


def _regression(found: Comparison) -> int:
    """1: slower, by the interval of repeated runs or beyond the noise floor of single ones; 3: not comparable."""
    if found.verdict.kind == "withheld":
        return DEGRADED
    is_worse = (found.statistics.step_us.difference or 0.0) > 0
    return int(found.verdict.kind == "slower" or (found.verdict.kind == "differs" and is_worse))
