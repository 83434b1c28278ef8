"""Main figures of each span as ordinary TensorBoard scalars: `profile --scalars`, `summary --scalars`.

Only on request: an event file in the run folder makes TensorBoard open on its Scalars tab, and puts the run into the
list beside the script's own curves. Of several ranks, or workers, each has a folder of its own below the run's: they
are curves of their own in the same charts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

from stallscope import api
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.forecast.asked import Asked
from stallscope.output import say_written, write_file
from stallscope.traces.model.errors import BadInput
from stallscope.traces.runs.runs import Run, Span, Worker, find_runs

FILE_VERSION = "brain.Event:2"  # what readers expect of the first record
TAGS = "stallscope/"
OURS = re.compile(r"events\.out\.tfevents\.\d+\.stallscope")
IN_NS = 10**15  # numbers in the names of files are ns from here on; those of 2021 are ms

Point = tuple[float, int, dict[str, float]]  # seconds since 1970, step, value by tag


def write_scalars(folder: Path, rank: int | None = None) -> list[Path]:
    """Write the event files of a run folder: of each rank, or of ``rank``, a point for each timing span.

    A point stands at the number of the span's first step, where the manifest tells it; else at the span's place.

    Raises:
        BadInput: the folder holds no timing span, TensorBoard is not installed, or a file cannot be written.
        Refused: a trace is too large.

    """
    runs = [run for run in find_runs(folder) if run.path == folder and folder.is_dir()]
    written = [path for run in runs for worker in run.workers if (path := _written(run, worker, rank)) is not None]
    if not written:
        raise BadInput(f"{folder}: holds no timing span of which scalars could be written; name a run folder")
    return written


def write_and_say(folders: list[Path]) -> None:
    """Write the event files of run folders, and say on stderr where they are. Raises as ``write_scalars``."""
    for folder in folders:
        for path in write_scalars(folder):
            say_written(path)


def figures(summary: Summary) -> Iterator[tuple[str, float]]:
    """The scalars of a summary by tag; what is unknown is left out."""
    per_step, steps = summary.per_step, summary.steps
    launches = [each for each in (per_step.kernel_launches, per_step.graph_launches) if each is not None]
    idle, busy = per_step.gpu_idle_us, per_step.gpu_busy_us
    told = {
        "launches_per_step": sum(launches) if launches else None,
        "sync_calls_per_step": per_step.sync_calls,
        "copies_per_step": per_step.memcpys,
        "gpu_idle_share": idle / (idle + busy) if idle is not None and busy is not None and idle + busy else None,
        "step_ms": steps.time_us / 1000 if steps.count else None,
        "step_unprofiled_ms": steps.unprofiled_us.mean / 1000 if steps.unprofiled_us else None,
    }
    yield from ((f"{TAGS}{name}", float(value)) for name, value in told.items() if value is not None)


def _written(run: Run, worker: Worker, rank: int | None) -> Path | None:
    """The event file of a worker, written in place of an earlier one of ours; None: it is not asked for."""
    manifest = worker.manifest
    if rank is not None and (manifest is None or manifest.rank != rank):
        return None
    points = [(_seconds(span), step, dict(figures(_summary(span)))) for span, step in _spans(worker)]
    if not points:
        return None
    folder = run.path
    if manifest is not None and manifest.world_size > 1:
        folder = run.path / f"rank{manifest.rank}"
    elif len(run.workers) > 1:
        folder = run.path / worker.name
    path = folder / f"events.out.tfevents.{int(points[-1][0])}.stallscope"
    data = _records(points)
    _make_room(folder)
    write_file(path, data, force=True)
    return path


def _make_room(folder: Path) -> None:
    """Make the folder, without an event file of ours: its points would be there twice."""
    try:
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if OURS.fullmatch(path.name):
                path.unlink()
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror})") from error


def _spans(worker: Worker) -> Iterator[tuple[Span, int]]:
    """The timing spans of a worker, oldest first, and the number of the step with which each begins."""
    if worker.manifest is None:
        yield from ((span, place) for place, span in enumerate(worker.spans))
        return
    timing = {window.trace: window.first_step for window in worker.manifest.windows if window.kind == "timing"}
    yield from ((span, timing[span.path.name]) for span in worker.spans if span.path.name in timing)


def _seconds(span: Span) -> float:
    """When a span was recorded, by the number in its name."""
    if span.ns is None:
        return span.path.stat().st_mtime
    return span.ns / 1e9 if span.ns >= IN_NS else span.ns / 1e3


def _summary(span: Span) -> Summary:
    return api.load(span.path, asked=Asked(fixes=()))[0].summary


def _records(points: list[Point]) -> bytes:
    """The bytes of an event file."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 - only where scalars are asked for
        from tensorboard.compat.proto.summary_pb2 import Summary as Values  # noqa: PLC0415
        from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415
    except ImportError as error:
        raise BadInput("scalars need TensorBoard: python -m pip install tensorboard") from error
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=points[0][0], file_version=FILE_VERSION).SerializeToString())
    for seconds, step, told in points:
        values = Values(value=[Values.Value(tag=tag, simple_value=value) for tag, value in told.items()])
        writer.write(Event(wall_time=seconds, step=step, summary=values).SerializeToString())
    return buffer.getvalue()
