"""`stallscope profile --scalars`: the run's main figures as ordinary TensorBoard scalars, one point for each span.

Only on request: an event file in the run folder makes TensorBoard open on its Scalars tab, and puts the run into the
list beside the script's own curves.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from stallscope import api
from stallscope.analysis.contract import Summary
from stallscope.output import write_file
from stallscope.traces.errors import BadInput
from stallscope.traces.runs import Span, Worker, find_runs

FILE_VERSION = "brain.Event:2"  # what readers expect of the first record
TAGS = "stallscope/"


def write_scalars(folder: Path) -> Path:
    """Write the event file of a run folder: of its first rank, each timing span at the number of its first step.

    Raises:
        BadInput: the folder holds no timing span, TensorBoard is not installed, or the file cannot be written.
        Refused: a trace is too large.

    """
    points = [(span, step, dict(figures(_summary(span)))) for span, step in _spans(folder)]
    if not points:
        raise BadInput(f"{folder}: holds no timing span of which scalars could be written")
    path = folder / f"events.out.tfevents.{(points[-1][0].ns or 0) // 10**9}.stallscope"
    write_file(path, _records(points), force=True)
    return path


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
        "step_ms": steps.wall_us.median / 1000 if steps.count else None,
        "step_unprofiled_ms": steps.unprofiled_us.mean / 1000 if steps.unprofiled_us else None,
    }
    yield from ((f"{TAGS}{name}", float(value)) for name, value in told.items() if value is not None)


def _spans(folder: Path) -> Iterator[tuple[Span, int]]:
    """The timing spans of the first rank, oldest first, and the number of the step with which each begins."""
    (run,) = find_runs(folder)
    told = [worker for worker in run.workers if worker.manifest is not None]
    worker: Worker = min(told or run.workers, key=lambda each: each.manifest.rank if each.manifest else 0)
    windows = worker.manifest.windows if worker.manifest else []
    timing = {window.trace: window.first_step for window in windows if window.kind == "timing"}
    yield from ((span, timing[span.path.name]) for span in worker.spans if span.path.name in timing)


def _summary(span: Span) -> Summary:
    return api.load(span.path)[0].summary


def _records(points: list[tuple[Span, int, dict[str, float]]]) -> bytes:
    """The bytes of an event file."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 - only where scalars are asked for
        from tensorboard.compat.proto.summary_pb2 import Summary as Values  # noqa: PLC0415
        from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415
    except ImportError as error:
        raise BadInput("scalars need TensorBoard: python -m pip install tensorboard") from error
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    first = points[0][0].ns or 0
    writer.write(Event(wall_time=first / 1e9, file_version=FILE_VERSION).SerializeToString())
    for span, step, told in points:
        values = Values(value=[Values.Value(tag=tag, simple_value=value) for tag, value in told.items()])
        writer.write(Event(wall_time=(span.ns or 0) / 1e9, step=step, summary=values).SerializeToString())
    return buffer.getvalue()
