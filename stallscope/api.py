"""What a notebook and the command line share: paths in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stallscope.analysis.compare.runs import RunFigures
from stallscope.analysis.contract.rows import RankRow
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.fill.rank_conflicts import with_conflicts
from stallscope.analysis.fill.ranks import are_of_one_job, row_of_manifest, row_of_summary
from stallscope.analysis.forecast.asked import PLAIN, Asked
from stallscope.analysis.stages.stages import Stages, analyse
from stallscope.analysis.summary import summary_of
from stallscope.traces.model.errors import BadInput, Refused
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Trace
from stallscope.traces.read.read import read
from stallscope.traces.runs.runs import Run, Worker, find_runs
from stallscope.traces.text.limits import DEFAULT, Limits

if TYPE_CHECKING:
    from stallscope.analysis.contract.compare import Comparison
    from stallscope.analysis.contract.whatif import Forecasts
    from stallscope.analysis.fill.health import HealthReport

# What a summary does not need is imported by the function that needs it.
# ruff: noqa: PLC0415


FRAMES = ("operators", "kernels", "causes", "sync_sites", "call_sites", "modules", "memcpy", "what_if")


class Explained(NamedTuple):
    """The summary of one trace, and the stages it is made of."""

    summary: Summary
    stages: Stages


class Compared(NamedTuple):
    """A comparison, and the summary of the first run of each side."""

    comparison: Comparison
    before: Summary
    after: Summary


def load(path: str | Path, limits: Limits = DEFAULT, asked: Asked = PLAIN) -> list[RunFigures]:
    """Analyse a trace file or one run folder: one entry a worker, its newest timing span.

    Raises:
        BadInput: nothing usable is there, or the folder holds several runs.
        Refused: a file passes ``limits``.
    """
    return _figures(_one_run(path), limits, asked)


def load_rank(
    path: str | Path, limits: Limits = DEFAULT, asked: Asked = PLAIN, *, rank: int | None = None
) -> list[RunFigures]:
    """Analyse what speaks for a run: of several ranks the first, or ``rank``; the others are listed in its summary.

    One entry; several only where the workers of a folder cannot be told apart by rank: each is then given.

    Raises:
        BadInput: as ``load``; or there is no such rank.
        Refused: a file passes ``limits``.
    """
    run = _one_run(path)
    workers, rows = _by_manifests(run.workers, rank)
    figures = _figures(replace(run, workers=workers), limits, asked)
    if not rows:
        figures, rows = _by_traces(figures, workers, rank)
    if not figures:
        ranks = ", ".join(str(row.rank) for row in rows)
        raise BadInput(f"{path}: no rank {rank} here; its ranks: {ranks or 'unknown'}")
    return [replace(one, summary=_with_ranks(one.summary, rows)) for one in figures]


def _by_manifests(workers: tuple[Worker, ...], rank: int | None) -> tuple[tuple[Worker, ...], list[RankRow]]:
    """Choose a rank by what the manifests say, so that no other need be read; all, and no rows, where they do not."""
    manifests = [worker.manifest for worker in workers if worker.manifest is not None]
    if len(manifests) < len(workers) or not are_of_one_job(
        [each.rank for each in manifests], [each.world_size for each in manifests]
    ):
        return workers, []
    rows = sorted((row_of_manifest(each) for each in manifests), key=lambda row: row.rank or 0)
    wanted = rows[0].rank if rank is None else rank
    return tuple(each for each in workers if each.manifest is not None and each.manifest.rank == wanted), rows


def _by_traces(
    figures: list[RunFigures], workers: tuple[Worker, ...], rank: int | None
) -> tuple[list[RunFigures], list[RankRow]]:
    """Choose a rank by what the traces say of themselves; all where that does not tell them apart."""
    traces = [one.summary.trace for one in figures]
    if not are_of_one_job([trace.rank for trace in traces], [trace.world_size for trace in traces]):
        return [one for one in figures if rank is None or one.summary.trace.rank == rank], []
    rows = [row_of_summary(one.summary, worker.name) for one, worker in zip(figures, workers, strict=True)]
    rows.sort(key=lambda row: row.rank or 0)
    wanted = rows[0].rank if rank is None else rank
    return [one for one in figures if one.summary.trace.rank == wanted], rows


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
    return run.timing_trace(_first(run)).path


def load_all(paths: Iterable[str | Path], limits: Limits = DEFAULT) -> list[RunFigures]:
    """Analyse every run at or below each path: one entry a worker, under the name by which it was found."""
    runs = [(run, _called(run, Path(path))) for path in paths for run in find_runs(Path(path))]
    return [replace(figures, name=name) for run, name in runs for figures in _figures(run, limits, PLAIN)]


def _called(run: Run, path: Path) -> str:
    """The run's name, preceded by the folder that was asked for if it holds several: so sides differ in name."""
    return run.name if run.path == path else f"{path.resolve().name}/{run.name}"


def _figures(run: Run, limits: Limits, asked: Asked) -> list[RunFigures]:
    """Each worker of a run, one after the other: the stages of all at once might not fit into memory."""
    summaries = with_conflicts([_explained(run, worker, limits, asked).summary for worker in run.workers])
    return [RunFigures(one, worker.manifest, run.name) for one, worker in zip(summaries, run.workers, strict=True)]


def _explained(run: Run, worker: Worker, limits: Limits, asked: Asked = PLAIN) -> Explained:
    stages = _stages(run, worker, limits)
    return Explained(summary_of(stages, worker.manifest, asked), stages)


def _stages(run: Run, worker: Worker, limits: Limits) -> Stages:
    """The stages of the worker's newest timing span, with the lines and modules of its attribution window, if any.

    What is wrong with its manifest, or with that window, is said among the trace's issues.
    """
    trace, attribution, issues = read(run.timing_trace(worker).path, limits=limits), None, worker.issues
    path = run.attribution_trace(worker)
    if path is not None:
        attribution, missing = _attribution(path, limits)
        issues += missing
    return analyse(replace(trace, issues=trace.issues + issues), worker.manifest, attribution)


def _attribution(path: Path, limits: Limits) -> tuple[Trace | None, tuple[TraceIssue, ...]]:
    """The attribution trace, or a notice that says why there is none: what it adds is not worth a failing summary."""
    try:
        return read(path, limits=limits), ()
    except (BadInput, Refused) as error:
        advice = f"Lines of the script and modules are unknown: the trace that tells them was not read ({error})."
        return None, (TraceIssue("attribution_missing", Severity.NOTICE, 1, advice),)


def explained(path: str | Path, limits: Limits = DEFAULT) -> Explained:
    """The summary of a trace file or run folder (of several ranks that of the first) and the stages it is made of.

    Raises:
        BadInput: as ``load``.
        Refused: a file passes ``limits``.

    """
    run = _one_run(path)
    workers, rows = _by_manifests(run.workers, None)
    if len(workers) == 1:
        one = _explained(run, workers[0], limits)
        return one._replace(summary=_with_ranks(one.summary, rows))
    summary = load_rank(path, limits)[0].summary  # told apart by their traces: all had to be read
    chosen = next(each for each in workers if str(run.timing_trace(each).path) == summary.trace.path)
    return Explained(summary, _stages(run, chosen, limits))


def stages_of_ranks(path: str | Path, limits: Limits = DEFAULT) -> Iterator[tuple[str, Stages, Manifest | None]]:
    """The stages of a trace file, or of each rank of a run folder, with its name and manifest; one at a time.

    Raises:
        BadInput: as ``load``.
        Refused: a file passes ``limits``.
    """
    run = _one_run(path)
    for worker in sorted(run.workers, key=_rank_of):
        name = str(path) if len(run.workers) == 1 else f"{path} {worker.name}"
        yield name, _stages(run, worker, limits), worker.manifest


def _rank_of(worker: Worker) -> tuple[bool, int]:
    return worker.manifest is None, 0 if worker.manifest is None else worker.manifest.rank


def _first(run: Run) -> Worker:
    return min(run.workers, key=lambda each: each.manifest.rank if each.manifest else len(run.workers))


def health(path: str | Path, limits: Limits = DEFAULT) -> list[HealthReport]:
    """What the trace file at ``path``, or the newest of each worker of a run folder, is, and how far to trust it."""
    run = _one_run(path)
    return [_health(run, worker, limits) for worker in run.workers]


def _health(run: Run, worker: Worker, limits: Limits) -> HealthReport:
    from stallscope.analysis.fill.health import fill_health
    from stallscope.traces.describe.details import read_details

    stages = _stages(run, worker, limits)
    return fill_health(stages, read_details(stages.trace.path, limits=limits))


def summarize(path: str | Path, *, rank: int | None = None) -> Summary:
    """The summary of a trace file or of a run folder; of several ranks the first one's, or that of ``rank``."""
    return load_rank(path, rank=rank)[0].summary


def compare(baseline: Iterable[str | Path], candidate: Iterable[str | Path], limits: Limits = DEFAULT) -> Comparison:
    """Compare two sides, each given as traces, run folders, or folders of repeated runs.

    Raises:
        BadInput: a side is a bare path, whose characters would each be taken for one; or as ``load``.
        Refused: a file passes ``limits``.
    """
    for side in (baseline, candidate):
        if isinstance(side, str | Path):
            raise BadInput(f"compare takes two lists of paths: compare([{str(side)!r}], …), not a path alone")
    from stallscope.analysis.compare import compare as comparing

    return comparing.compare(load_all(baseline, limits), load_all(candidate, limits))


def compared(
    baseline: Path, candidate: Path, limits: Limits = DEFAULT, *, names: tuple[str, str] | None = None
) -> Compared:
    """``compare`` of one path a side, with a summary of each; ``names``: what to call the two.

    Raises:
        BadInput: nothing usable is there.
        Refused: a file passes ``limits``.

    """
    from stallscope.analysis.compare.compare import compare

    sides = [load_all([path], limits) for path in (baseline, candidate)]
    if names is not None:
        sides = [[replace(one, name=name) for one in side] for side, name in zip(sides, names, strict=True)]
    before, after = sides
    return Compared(compare(before, after), before[0].summary, after[0].summary)


def whatif(path: str | Path) -> Forecasts:
    """What a step of a trace or run would take after each fix, with an interval, and why.

    Raises:
        BadInput: as ``load``.
        Refused: a file passes the default limits.
    """
    from stallscope.analysis.fill.whatif import fill_forecasts

    return fill_forecasts(load_rank(path)[0].summary)


def report(
    path: str | Path, output: str | Path = "report.html", *, candidate: str | Path | None = None, force: bool = False
) -> Path:
    """Write the page of a trace or run, or of two before and after; where it is.

    Raises:
        OutputExists: the file is there and ``force`` is False.
        BadInput: as ``load``, or it cannot be written.
    """
    from stallscope.analysis.report.html import compare as comparison_page
    from stallscope.analysis.report.html import summary as page
    from stallscope.output import emit, must_be_free

    output = Path(output)
    must_be_free(output, force=force)
    text = (
        page.page_of(*explained(path))
        if candidate is None
        else comparison_page.render(*compared(Path(path), Path(candidate)))
    )
    emit(text, output, force=force)
    return output


def annotate(path: str | Path, output: str | Path, *, force: bool = False) -> Path:
    """Write a copy of a trace with the tracks that its analysis gives, for Perfetto; where it is.

    Raises:
        OutputExists: the file is there and ``force`` is False.
        BadInput: as ``load``, or it cannot be written.
    """
    from stallscope.analysis.report import annotated
    from stallscope.output import gzipped, must_be_free, write_pieces
    from stallscope.traces.out.write import with_events

    trace, output = trace_of(path), Path(output)
    must_be_free(output, force=force)
    summary, stages = explained(trace)
    pieces = with_events(trace, annotated.events_of(summary, stages))
    write_pieces(output, gzipped(pieces) if output.suffix == ".gz" else pieces, force=force)
    return output


def to_frame(value: Summary, rows: str) -> Any:
    """A table of a summary as a pandas frame: ``to_frame(summary, "kernels")``.

    ``rows``: "operators", "kernels", "causes", "sync_sites", "call_sites", "modules", "memcpy", "what_if", or "steps"
    (µs of each recorded step). Numbers stay numbers; lists stay lists.

    Raises:
        BadInput: there is no such table, or pandas is not installed.
    """
    if rows == "steps":
        listed: list[dict[str, object]] = [{"step": i, "us": us} for i, us in enumerate(value.steps.wall_us.samples)]
    elif rows in FRAMES:
        listed = msgspec.to_builtins(getattr(value, rows) or [])
    else:
        raise BadInput(f"to_frame: no table {rows!r}; choose of: {', '.join((*FRAMES, 'steps'))}")
    try:
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise BadInput("to_frame needs pandas; install it with: pip install pandas") from error
    return pd.DataFrame(listed)
