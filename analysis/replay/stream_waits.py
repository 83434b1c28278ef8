"""Streams that wait for each other: what ``cudaStreamWaitEvent`` asked for, where the file tells it.

A ``Stream Wait Event`` row lies on the stream that waits, and says on which stream the event was recorded and by which
call: work launched on the one after the wait cannot start before work launched on the other before the record is done.
Torch writes such rows where sync events are recorded, as ``stallscope profile`` asks it to.
"""

from __future__ import annotations

import msgspec
import numpy as np

from stallscope.analysis.stages.awaited import called_at, integer_of, stream_numbers_by_id
from stallscope.traces.model.fields import CallKind
from stallscope.traces.model.trace import Ints, Trace


class StreamWaits(msgspec.Struct, frozen=True):
    """w waits; streams by their number (``launches.stream_numbers``), moments in ns."""

    stream: Ints  # (w,) that waits
    waits_from: Ints  # (w,) when it was told to
    other: Ints  # (w,) that it waits for
    recorded: Ints  # (w,) when the event was recorded


def find_stream_waits(trace: Trace) -> StreamWaits:
    """Every wait between two different streams with work."""
    rows, ids, origins = trace.origins.event_row, trace.events.correlation, trace.origins
    chosen = np.flatnonzero(trace.events.is_call(rows, CallKind.STREAM_WAIT) & ids.known[rows])
    found: list[tuple[int, int, int, int]] = []
    if len(chosen) and len(trace.work):
        numbers = stream_numbers_by_id(trace)
        told, made = called_at(trace, ids.values[rows[chosen]]), called_at(trace, origins.event_recorded[chosen])
        for i in chosen.tolist():
            thread = trace.threads[int(trace.events.thread[rows[i]])]
            device = integer_of(thread.pid)
            stream = numbers.get((device, integer_of(thread.tid)))
            other = numbers.get((device, int(origins.event_stream[i])))
            at, recorded = told.get(int(ids.values[rows[i]])), made.get(int(origins.event_recorded[i]))
            if None not in (stream, other, at, recorded) and stream != other:
                found.append((stream, at, other, recorded))  # type: ignore[arg-type]
    columns = np.array(found, dtype=np.int64).reshape(-1, 4)
    return StreamWaits(*columns.T)
