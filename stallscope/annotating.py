"""What `stallscope annotate` writes: a trace with the tracks that its analysis gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stallscope import lean

lean.import_numpy()

# ruff: noqa: E402 - numpy first

from stallscope.analysis.report import annotated as rendering
from stallscope.analysis.summary import analyse, summarize
from stallscope.analysis.tracks import find_counters, find_tracks
from stallscope.traces.limits import Limits
from stallscope.traces.read import read
from stallscope.traces.write import with_events


def annotated(path: Path, limits: Limits) -> Iterator[bytes]:
    """The text of the trace with our tracks in it, in pieces.

    Raises:
        BadInput: the file is no trace.
        Refused: it is larger than ``limits`` allow.

    """
    trace = read(path, limits=limits)
    stages, verdict = analyse(trace), summarize(trace).verdict
    tracks, counters = find_tracks(stages, verdict.kind, verdict.text), find_counters(stages)
    yield from with_events(path, rendering.render(trace, tracks, counters), limits)
