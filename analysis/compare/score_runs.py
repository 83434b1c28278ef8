"""All runs of a folder → every pair of variants that differ by one known change, forecast beside measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from stallscope.analysis.compare.forecast_score import score
from stallscope.analysis.compare.notes import changed_arguments
from stallscope.analysis.compare.runs import Run, RunFigures, group_runs
from stallscope.analysis.compare.verdict import statistics_of
from stallscope.analysis.contract.whatif import ScoredPair, Scores


def score_runs(figures: Sequence[RunFigures]) -> Scores:
    """Runs of one command line are repeats of one variant; without a manifest each run is a variant of its own."""
    variants: dict[object, list[Run]] = {}
    for number, run in enumerate(group_runs(figures)):
        manifest = run.first.manifest
        variants.setdefault(number if manifest is None else tuple(manifest.command), []).append(run)
    pairs = list(_pairs(list(variants.values())))
    errors = [abs(pair.score.error_percent) for pair in pairs if pair.score.error_percent is not None]
    inside = [pair.score.inside for pair in pairs if pair.score.inside is not None]
    return Scores(
        pairs=pairs,
        median_error_percent=statistics.median(errors) if errors else None,
        p90_error_percent=float(np.percentile(errors, 90)) if errors else None,
        inside_share=sum(inside) / len(inside) if inside else None,
    )


def _pairs(variants: Sequence[Sequence[Run]]) -> Iterator[ScoredPair]:
    for before in variants:
        for after in variants:
            if before is after or not _comparable(before, after):
                continue
            figures = statistics_of(before, after)
            scored = score(before, after, figures, changed_arguments(before, after))
            if len(scored) == 1:
                yield ScoredPair(
                    baseline=before[0].name,
                    candidate=after[0].name,
                    before_us=figures.step_us.baseline,
                    score=scored[0],
                )


def _comparable(before: Sequence[Run], after: Sequence[Run]) -> bool:
    """Whether both are of one script, as far as it is known, and have the same kind of steps."""
    scripts = {tuple(run.first.manifest.command[:1]) for run in (*before, *after) if run.first.manifest}
    marks = {run.first.summary.steps.source for run in (*before, *after)}
    return len(scripts) <= 1 and len(marks) == 1
