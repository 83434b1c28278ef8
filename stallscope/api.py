"""What a notebook and the command line share: paths in, values out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stallscope.analysis.compare_runs import RunFigures
from stallscope.analysis.contract import Summary
from stallscope.analysis.rank_conflicts import with_conflicts
from stallscope.analysis.summary import summarize as summarize_trace
from stallscope.traces.errors import BadInput, Refused
from stallscope.traces.issues import Severity, TraceIssue
from stallscope.traces.limits import DEFAULT, Limits
from stallscope.traces.read import read
from stallscope.traces.runs import Run, Worker, find_runs
from stallscope.traces.trace import Trace

if TYPE_CHECKING:
    from stallscope.analysis.compare import Comparison
    from stallscope.analysis.health import HealthReport

# What a summary does not need is imported by the function that needs it.
# ruff: noqa: PLC0415


def load(path: str | Path, limits: Limits = DEFAULT, *, peers: bool = False) -> list[RunFigures]:
    """Analyse a trace file or one run folder: one entry a worker, its newest timing span.

    ``peers`` adds the figures as HTA, torch-tb-profiler and TraceLens define them.

    Raises:
        BadInput: nothing usable is there, or the folder holds several runs.
        Refused: a file passes ``limits``.
    """
    return _figures(_one_run(path), limits, peers=peers)


def _one_run(path: str | Path) -> Run:
    runs = find_runs(Path(path))
    if len(runs) > 1:
        newest = max(runs, key=lambda run: max(span.ns or 0 for worker in run.workers for span in worker.spans))
        raise BadInput(
            f"{path}: holds {len(runs)} runs; name one of them, for example {newest.path} (the newest), "
            "or compare two with stallscope compare"
        )
    return runs[0]


def _figures(run: Run, limits: Limits, *, peers: bool = False) -> list[RunFigures]:
    found = [
        RunFigures(
            summary=_summary(_trace(run, worker, limits), run, worker, limits, peers=peers),
            manifest=worker.manifest,
            name=run.name,
        )
        for worker in run.workers
    ]
    summaries = with_conflicts([figures.summary for figures in found])
    return [replace(figures, summary=summary) for figures, summary in zip(found, summaries, strict=True)]


def _trace(run: Run, worker: Worker, limits: Limits) -> Trace:
    """The worker's newest timing span; what is wrong with its manifest is said among the trace's issues."""
    trace = read(run.timing_trace(worker).path, limits=limits)
    return replace(trace, issues=trace.issues + worker.issues)


def _summary(trace: Trace, run: Run, worker: Worker, limits: Limits, *, peers: bool = False) -> Summary:
    """The summary of the worker's ``trace``, with the lines and modules of its attribution window if it has one."""
    attribution = None
    path = run.attribution_trace(worker)
    if path is not None:
        attribution, issues = _attribution(path, limits)
        trace = replace(trace, issues=trace.issues + issues)
    return summarize_trace(trace, worker.manifest, attribution, peers=peers)


def _attribution(path: Path, limits: Limits) -> tuple[Trace | None, tuple[TraceIssue, ...]]:
    """The attribution trace, or a notice that says why there is none: what it adds is not worth a failing summary."""
    try:
        return read(path, limits=limits), ()
    except (BadInput, Refused) as error:
        advice = f"Lines of the script and modules are unknown: the trace that tells them was not read ({error})."
        return None, (TraceIssue("attribution_missing", Severity.NOTICE, 1, advice),)


def health(path: str | Path, limits: Limits = DEFAULT) -> list[HealthReport]:
    """What the trace file at ``path``, or the newest of each worker of a run folder, is, and how far to trust it."""
    run = _one_run(path)
    return [_health(run, worker, limits) for worker in run.workers]


def _health(run: Run, worker: Worker, limits: Limits) -> HealthReport:
    from stallscope.analysis.health import find_health
    from stallscope.traces.details import read_details

    trace = _trace(run, worker, limits)
    return find_health(trace, _summary(trace, run, worker, limits), read_details(trace.path, limits=limits))


def summarize(path: str | Path) -> Summary:
    """The summary of a trace file or of a run folder with one worker (of several, the first rank's)."""
    return load(path)[0].summary


def compare(baseline: Iterable[str | Path], candidate: Iterable[str | Path], limits: Limits = DEFAULT) -> Comparison:
    """Compare two sides, each given as traces, run folders, or folders of repeated runs."""
    from stallscope.analysis import compare as comparing

    return comparing.compare(_side(baseline, limits), _side(candidate, limits))


def _side(paths: Iterable[str | Path], limits: Limits) -> list[RunFigures]:
    found = [(run, _called(run, Path(path))) for path in paths for run in find_runs(Path(path))]
    return [replace(figures, name=name) for run, name in found for figures in _figures(run, limits)]


def _called(run: Run, path: Path) -> str:
    """The run's name, preceded by the folder that was asked for if it holds several: so sides differ in name."""
    return run.name if run.path == path else f"{path.resolve().name}/{run.name}"
