"""Tracks and counters → events of the Chrome trace format, as Perfetto and chrome://tracing show them.

Trace Event Format: metadata events (``ph: M``) name and order processes and threads, complete events (``ph: X``) are
the slices, counter events (``ph: C``) the counters; times are µs with three decimals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.views.tracks import Counter, Slice, Track, find_counters, find_tracks
from stallscope.traces.model.fields import OUR_CATEGORY
from stallscope.traces.model.trace import Trace

PROCESS: Final = "Stallscope"
FIRST_PID: Final = 700_000_000  # beyond the numbers that systems give to processes


def events_of(summary: Summary, stages: Stages) -> Iterator[bytes]:
    """What is painted into a trace that has been explained; no critical path where its verdict is refused."""
    verdict = summary.verdict
    tracks = find_tracks(stages, verdict.kind, verdict.text, path=verdict.confidence != "refused")
    return render(stages.trace, tracks, find_counters(stages))


def render(trace: Trace, tracks: tuple[Track, ...], counters: tuple[Counter, ...]) -> Iterator[bytes]:
    """The events, each a JSON object, that show ``tracks`` and ``counters`` in a process of their own."""
    pid = _free_pid(trace)
    yield _meta(pid, "process_name", name=PROCESS)
    yield _meta(pid, "process_sort_index", sort_index=-1)
    for tid, track in enumerate(tracks, 1):
        yield _meta(pid, "thread_name", tid, name=track.name)
        yield _meta(pid, "thread_sort_index", tid, sort_index=tid)
        for each in track.slices:
            yield _slice(pid, tid, each)
    for counter in counters:
        name = f"{counter.name} ({counter.unit})"
        for ts_ns, value in zip(counter.ts_ns.tolist(), counter.values.tolist(), strict=True):
            yield _event("C", pid, 0, name, ts_ns, {"value": round(value, 3)})


def _free_pid(trace: Trace) -> int:
    """A process number that no thread of the trace has."""
    taken = {thread.pid for thread in trace.threads}
    return next(pid for pid in range(FIRST_PID, FIRST_PID + len(taken) + 1) if str(pid) not in taken)


def _slice(pid: int, tid: int, each: Slice) -> bytes:
    return _event("X", pid, tid, each.name, each.start_ns, each.told, each.dur_ns)


def _meta(pid: int, kind: str, tid: int = 0, **told: Any) -> bytes:
    return msgspec.json.encode(
        {"ph": "M", "cat": OUR_CATEGORY, "name": kind, "pid": pid, "tid": tid, "ts": 0, "args": told}
    )


def _event(
    phase: str, pid: int, tid: int, name: str, ts_ns: int, told: dict[str, Any], dur_ns: int | None = None
) -> bytes:
    event = {"ph": phase, "cat": OUR_CATEGORY, "name": name, "pid": pid, "tid": tid, "ts": _us(ts_ns), "args": told}
    return msgspec.json.encode(event if dur_ns is None else {**event, "dur": _us(dur_ns)})


def _us(ns: int) -> msgspec.Raw:
    """µs with three decimals, exact to the ns, as a JSON number."""
    sign, ns = "-" if ns < 0 else "", abs(ns)
    return msgspec.Raw(f"{sign}{ns // 1000}.{ns % 1000:03d}".encode())
