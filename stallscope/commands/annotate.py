"""What `stallscope annotate` writes: a trace with the tracks that its analysis gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stallscope import lean

lean.import_numpy()

# ruff: noqa: E402 - numpy first

from stallscope.analysis.report import annotated as rendering
from stallscope.analysis.views.tracks import find_counters, find_tracks
from stallscope.api import explained
from stallscope.traces.out.write import with_events
from stallscope.traces.text.limits import Limits


def annotated(path: Path, limits: Limits) -> Iterator[bytes]:
    """The text of the trace with our tracks in it, in pieces.

    Raises:
        BadInput: the file is no trace.
        Refused: it is larger than ``limits`` allow.

    """
    summary, stages = explained(path, limits)
    verdict = summary.verdict
    trusted = verdict.confidence != "refused"
    tracks, counters = find_tracks(stages, verdict.kind, verdict.text, path=trusted), find_counters(stages)
    yield from with_events(summary.trace.path, rendering.render(stages.trace, tracks, counters), limits)
