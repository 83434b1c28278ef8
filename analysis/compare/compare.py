"""Two sides, each one or several runs → ``Comparison``: every figure before and after, and how sure it is.

Pure: computes values. ``report/compare_text.py`` and ``report/compare_json.py`` render them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import msgspec

from stallscope.analysis.compare.cpu_gpu import cpu_against_gpu
from stallscope.analysis.compare.figures import (
    Sides,
    breakdown_change,
    kernel_changes,
    operator_changes,
    per_step_change,
    steps_change,
)
from stallscope.analysis.compare.forecast_score import score
from stallscope.analysis.compare.notes import changed_arguments, notes
from stallscope.analysis.compare.runs import Run, RunFigures, drift, group_runs
from stallscope.analysis.compare.verdict import statistics_of, step_us, verdict_of
from stallscope.analysis.contract.compare import Comparison, RunInfo, Side

__all__ = ["Comparison", "RunFigures", "compare"]


def compare(baseline: Sequence[RunFigures], candidate: Sequence[RunFigures]) -> Comparison:
    """Compare two groups of runs.

    A run's figure is the mean over its ranks, a side's the mean over its runs. Ranks of one run carry the same name
    and different rank numbers; anything else is a run of its own.

    Raises:
        ValueError: a side is empty.

    """
    if not baseline or not candidate:
        raise ValueError("each side needs at least one run")
    sides = Sides(group_runs(baseline), group_runs(candidate))
    figures = statistics_of(sides.baseline, sides.candidate)
    changed = changed_arguments(sides.baseline, sides.candidate)
    limits = notes(sides.baseline, sides.candidate)
    before, after = (_side(runs, figures.measure) for runs in (sides.baseline, sides.candidate))
    if before.name == after.name:
        before, after = _told_apart(before), _told_apart(after)
    per_step, operators = per_step_change(sides), operator_changes(sides)
    verdict = verdict_of(figures, per_step, operators, changed, (before.name, after.name), limits)
    return Comparison(
        kind=before.device if before.device == after.device else "cpu_gpu",
        baseline=before,
        candidate=after,
        changed=changed,
        verdict=verdict,
        statistics=figures,
        steps=steps_change(sides),
        per_step=per_step,
        breakdown_us=breakdown_change(sides),
        operators=operators,
        kernels=kernel_changes(sides),
        cpu_against_gpu=cpu_against_gpu(sides, operators, figures, verdict.kind),
        notes=limits,
        forecasts=score(sides.baseline, sides.candidate, figures, changed),
    )


def _side(runs: Sequence[Run], measured: str) -> Side:
    names = list(dict.fromkeys(run.name for run in runs))
    return Side(
        name=names[0] if len(names) == 1 else f"{names[0]} (+{len(names) - 1})",
        device="cpu" if all(run.device == "cpu" for run in runs) else "gpu",
        devices=sorted({name for run in runs for rank in run.ranks for name in rank.summary.trace.devices}),
        runs=[_run_info(run, measured) for run in runs],
    )


def _told_apart(side: Side) -> Side:
    """The side under the last two folders of its first trace: ``before/iris`` and ``after/iris`` are both ``iris``."""
    folders = PurePath(side.runs[0].trace).parent.parts[-2:]
    return msgspec.structs.replace(side, name="/".join(folders) or side.name)


def _run_info(run: Run, measured: str) -> RunInfo:
    share, _ = drift(run)
    return RunInfo(
        name=run.name,
        trace=run.first.summary.trace.path,
        command=run.first.manifest.command if run.first.manifest else None,
        steps=run.first.summary.steps.count,
        ranks=len(run.ranks),
        step_us=step_us(run, measured),
        drift_percent=None if share is None else 100 * share,
    )
