"""What a notebook and the command line share: paths in, values out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stallscope.analysis.compare.runs import RunFigures
from stallscope.analysis.contract.rows import RankRow
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.fill.rank_conflicts import with_conflicts
from stallscope.analysis.fill.ranks import are_of_one_job, row_of_manifest, row_of_summary
from stallscope.analysis.stages.stages import Stages, analyse
from stallscope.analysis.summary import summarize as summarize_trace
from stallscope.analysis.summary import summary_of
from stallscope.traces.model.errors import BadInput, Refused
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.trace import Trace
from stallscope.traces.read.read import read
from stallscope.traces.runs.runs import Run, Worker, find_runs
from stallscope.traces.text.limits import DEFAULT, Limits

if TYPE_CHECKING:
    from stallscope.analysis.compare.compare import Comparison
    from stallscope.analysis.fill.health import HealthReport
    from stallscope.analysis.fixes.names import Wanted

# What a summary does not need is imported by the function that needs it.
# ruff: noqa: PLC0415


def load(
    path: str | Path, limits: Limits = DEFAULT, *, peers: bool = False, fixes: tuple[Wanted, ...] | None = None
) -> list[RunFigures]:
    """Analyse a trace file or one run folder: one entry a worker, its newest timing span.

    ``peers`` adds the figures as HTA, torch-tb-profiler and TraceLens define them; ``fixes``: forecast these only.

    Raises:
        BadInput: nothing usable is there, or the folder holds several runs.
        Refused: a file passes ``limits``.
    """
    return _figures(_one_run(path), limits, peers=peers, fixes=fixes)


def load_rank(
    path: str | Path, limits: Limits = DEFAULT, *, rank: int | None = None, peers: bool = False
) -> list[RunFigures]:
    """Analyse what speaks for a run: of several ranks the first, or ``rank``; the others are listed in its summary.

    Of a large trace that `profile` did not record no forecasts are made here: ``load`` makes them.

    One entry; several only where the workers of a folder cannot be told apart by rank: each is then given.

    Raises:
        BadInput: as ``load``; or there is no such rank.
        Refused: a file passes ``limits``.
    """
    run = _one_run(path)
    manifests = [worker.manifest for worker in run.workers]
    told = [each for each in manifests if each is not None]
    if len(told) == len(manifests) and are_of_one_job([m.rank for m in told], [m.world_size for m in told]):
        rows = sorted((row_of_manifest(each) for each in told), key=lambda row: row.rank or 0)
        wanted = rows[0].rank if rank is None else rank
        workers = tuple(each for each in run.workers if each.manifest is not None and each.manifest.rank == wanted)
        found = _figures(replace(run, workers=workers), limits, peers=peers, bounded=True)
    else:
        found, rows = _by_traces(_figures(run, limits, peers=peers, bounded=True), run.workers, rank)
    if not found:
        known = ", ".join(str(row.rank) for row in rows)
        raise BadInput(f"{path}: no rank {rank} here; its ranks: {known or 'unknown'}")
    return [replace(each, summary=_with_ranks(each.summary, rows)) for each in found]


def _by_traces(
    found: list[RunFigures], workers: tuple[Worker, ...], rank: int | None
) -> tuple[list[RunFigures], list[RankRow]]:
    """Choose a rank by what the traces say of themselves; all where that does not tell them apart."""
    told = [each.summary.trace for each in found]
    if not are_of_one_job([each.rank for each in told], [each.world_size for each in told]):
        return [each for each in found if rank is None or each.summary.trace.rank == rank], []
    rows = [row_of_summary(each.summary, worker.name) for each, worker in zip(found, workers, strict=True)]
    rows.sort(key=lambda row: row.rank or 0)
    wanted = rows[0].rank if rank is None else rank
    return [each for each in found if each.summary.trace.rank == wanted], rows


def _with_ranks(summary: Summary, rows: list[RankRow]) -> Summary:
    return msgspec.structs.replace(summary, ranks=rows) if len(rows) > 1 else summary


def _one_run(path: str | Path) -> Run:
    runs = find_runs(Path(path))
    if len(runs) > 1:
        newest = max(runs, key=lambda run: max(span.ns or 0 for worker in run.workers for span in worker.spans))
        raise BadInput(
            f"{path}: holds {len(runs)} runs; name one of them, for example {newest.path} (the newest), "
            "or compare two with stallscope compare"
        )
    return runs[0]


def trace_of(path: str | Path) -> Path:
    """The trace that `summary` takes: the file itself; of a run folder the timing span of its first rank.

    Raises:
        BadInput: nothing usable is there, or the folder holds several runs.
    """
    run = _one_run(path)
    first = min(run.workers, key=lambda each: each.manifest.rank if each.manifest else len(run.workers))
    return run.timing_trace(first).path


def load_all(paths: Iterable[str | Path], limits: Limits = DEFAULT) -> list[RunFigures]:
    """Analyse every run at or below each path: one entry a worker, under the name by which it was found."""
    return _side(paths, limits)


def _figures(
    run: Run,
    limits: Limits,
    *,
    peers: bool = False,
    fixes: tuple[Wanted, ...] | None = None,
    bounded: bool = False,
) -> list[RunFigures]:
    found = [
        RunFigures(
            summary=_summary(
                _trace(run, worker, limits), run, worker, limits, peers=peers, fixes=fixes, bounded=bounded
            ),
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


def _summary(
    trace: Trace,
    run: Run,
    worker: Worker,
    limits: Limits,
    *,
    peers: bool = False,
    fixes: tuple[Wanted, ...] | None = None,
    bounded: bool = False,
) -> Summary:
    """The summary of the worker's ``trace``, with the lines and modules of its attribution window if it has one."""
    trace, attribution = _with_attribution(trace, run, worker, limits)
    return summarize_trace(trace, worker.manifest, attribution, peers=peers, fixes=fixes, bounded=bounded)


def _with_attribution(trace: Trace, run: Run, worker: Worker, limits: Limits) -> tuple[Trace, Trace | None]:
    """(the trace, with a notice if need be; the trace of its attribution window, if it has one that can be read)."""
    path = run.attribution_trace(worker)
    if path is None:
        return trace, None
    attribution, issues = _attribution(path, limits)
    return replace(trace, issues=trace.issues + issues), attribution


def _attribution(path: Path, limits: Limits) -> tuple[Trace | None, tuple[TraceIssue, ...]]:
    """The attribution trace, or a notice that says why there is none: what it adds is not worth a failing summary."""
    try:
        return read(path, limits=limits), ()
    except (BadInput, Refused) as error:
        advice = f"Lines of the script and modules are unknown: the trace that tells them was not read ({error})."
        return None, (TraceIssue("attribution_missing", Severity.NOTICE, 1, advice),)


def explained(path: str | Path, limits: Limits = DEFAULT) -> tuple[Summary, Stages]:
    """The summary of a trace file or run folder (of several ranks that of the first) and the stages it is made of.

    Raises:
        BadInput: as ``load``.
        Refused: a file passes ``limits``.

    """
    run = _one_run(path)
    if len(run.workers) > 1:
        summary = load_rank(path, limits)[0].summary
        return summary, explained(summary.trace.path, limits)[1]
    (worker,) = run.workers
    trace, attribution = _with_attribution(_trace(run, worker, limits), run, worker, limits)
    stages = analyse(trace, worker.manifest, attribution)
    return summary_of(stages, worker.manifest), stages


def health(path: str | Path, limits: Limits = DEFAULT) -> list[HealthReport]:
    """What the trace file at ``path``, or the newest of each worker of a run folder, is, and how far to trust it."""
    run = _one_run(path)
    return [_health(run, worker, limits) for worker in run.workers]


def _health(run: Run, worker: Worker, limits: Limits) -> HealthReport:
    from stallscope.analysis.fill.health import find_health
    from stallscope.traces.describe.details import read_details

    trace = _trace(run, worker, limits)
    return find_health(trace, _summary(trace, run, worker, limits), read_details(trace.path, limits=limits))


def summarize(path: str | Path, *, rank: int | None = None) -> Summary:
    """The summary of a trace file or of a run folder; of several ranks the first one's, or that of ``rank``."""
    return load_rank(path, rank=rank)[0].summary


def compare(baseline: Iterable[str | Path], candidate: Iterable[str | Path], limits: Limits = DEFAULT) -> Comparison:
    """Compare two sides, each given as traces, run folders, or folders of repeated runs."""
    from stallscope.analysis.compare import compare as comparing

    return comparing.compare(_side(baseline, limits), _side(candidate, limits))


def _side(paths: Iterable[str | Path], limits: Limits) -> list[RunFigures]:
    found = [(run, _called(run, Path(path))) for path in paths for run in find_runs(Path(path))]
    return [replace(figures, name=name) for run, name in found for figures in _figures(run, limits)]


def _called(run: Run, path: Path) -> str:
    """The run's name, preceded by the folder that was asked for if it holds several: so sides differ in name."""
    return run.name if run.path == path else f"{path.resolve().name}/{run.name}"
