"""What is painted into a trace: the stages' output as tracks of slices and as counters, on the trace's own clock.

Tracks: the verdict over each step; the critical path, which says what the steps wait for; for each device why it
idles; for each host thread where it waits. Counters: the launches that are queued, the speed of the copies by
direction, and PyTorch's memory on each GPU. On one track no two slices overlap: viewers drop
or misplace those that do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import grouped
from stallscope.analysis.contract.idle import BY_NAME
from stallscope.analysis.replay.critical_path import find_critical_path
from stallscope.analysis.stages.gpu.memory import MemoryOverTime, find_memory_over_time
from stallscope.analysis.stages.idle import DeviceIdle
from stallscope.analysis.stages.queue import depth_over_time
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.where.places import Place
from stallscope.analysis.units import microseconds
from stallscope.analysis.views.timeline_places import words
from stallscope.traces.model.fields import CALLS, Category, Direction
from stallscope.traces.model.trace import Floats, Ints


@dataclass(frozen=True, slots=True)
class Slice:
    """One stretch of a track, ns on the trace's clock."""

    start_ns: int
    dur_ns: int
    name: str
    told: dict[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Track:
    """Slices that do not overlap, ascending in time."""

    name: str
    slices: tuple[Slice, ...]

    def disjoint(self) -> bool:
        """Whether each slice ends before the next begins."""
        return all(a.start_ns + a.dur_ns <= b.start_ns for a, b in zip(self.slices, self.slices[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Counter:
    """A value that holds from each time to the next."""

    name: str
    unit: str
    ts_ns: Ints  # (n,) ascending
    values: Floats  # (n,)


def find_tracks(stages: Stages, kind: str, text: str, *, path: bool = True) -> tuple[Track, ...]:
    """The tracks of a trace whose verdict is ``kind``, said in ``text``; empty ones are left out.

    ``path``: the critical path too, which means nothing where a replay is not to be trusted.
    """
    found = [_verdict(stages, kind, text)]
    if path:
        found.append(_critical_path(stages))
    if stages.measured:
        found += [_idle(device) for device in stages.idle]
    found += _waits(stages)
    return tuple(track for track in found if track.slices)


def find_counters(stages: Stages) -> tuple[Counter, ...]:
    """The counters of a trace; of its device's work none where device rows are withheld."""
    memory = tuple(_memory(each) for each in find_memory_over_time(stages.trace, stages.window))
    if not stages.measured:
        return memory
    times, depth = depth_over_time(stages.trace, stages.launches)
    queue = Counter("launches queued at the GPU", "launches", times, depth.astype(np.float64))
    return tuple(counter for counter in (queue, *_copies(stages), *memory) if len(counter.ts_ns))


def _verdict(stages: Stages, kind: str, text: str) -> Track:
    window = stages.window
    bounds = zip(window.step_starts.tolist(), window.step_ends.tolist(), strict=True)
    slices: list[Slice] = []
    for number, (start, end) in enumerate(bounds):
        begins = max(start, slices[-1].start_ns + slices[-1].dur_ns) if slices else start
        said = f"step {number + 1} of {window.count}: {kind}, {microseconds((end - start) / 1000)}"
        slices.append(Slice(begins, max(0, end - begins), said, {"verdict": text}))
    return Track("Verdict", tuple(slices))


def _critical_path(stages: Stages) -> Track:
    """What the completion of the steps hangs on, instant by instant."""
    path = find_critical_path(stages)
    calls = np.array(sorted({each.row for each in path if each.link is None and each.row >= 0}), dtype=np.int64)
    calls = calls[np.isin(stages.trace.events.category[calls], [int(each) for each in CALLS])]
    said = dict(zip(calls.tolist(), map(words, stages.places.of(calls)), strict=True))
    slices = [
        Slice(each.start_ns, each.end_ns - each.start_ns, each.name, {"where": where} if where else {})
        for each in path
        for where in [said.get(each.row, "") if each.link is None else ""]
    ]
    return Track("Critical path: what the steps wait for", tuple(slices))


def _memory(each: MemoryOverTime) -> Counter:
    """A device's memory, one value an instant: of samples at the same the highest."""
    times, first = np.unique(each.ts_ns, return_index=True)
    name = f"GPU {each.device} memory {each.what}"
    return Counter(name, "MB", times, np.maximum.reduceat(each.bytes, first) / 1e6)


def _idle(device: DeviceIdle) -> Track:
    slices = [
        Slice(start, end - start, BY_NAME[cause].label, {"cause": cause})
        for cause, held in device.spans.items()
        for start, end in zip(held.starts.tolist(), held.ends.tolist(), strict=True)
    ]
    return Track(f"Why GPU {device.device} idles", tuple(sorted(slices, key=lambda each: each.start_ns)))


def _waits(stages: Stages) -> Iterator[Track]:
    """For each thread the calls in which it waits for a device, the outermost of those that nest."""
    trace = stages.trace
    rows = stages.syncs.blocking
    rows = rows[stages.window.durations(trace, rows) > 0]
    places = stages.places.of(rows)
    for thread, members in grouped(trace.events.thread[rows]):
        slices: list[Slice] = []
        for at in members.tolist():
            row = int(rows[at])
            start, end = int(trace.events.ts_ns[row]), int(trace.events.end_ns[row])
            if not slices or start >= slices[-1].start_ns + slices[-1].dur_ns:
                slices.append(Slice(start, end - start, *_wait(trace.name_of(row), places[at])))
        name = trace.threads[thread].name or f"thread {trace.threads[thread].tid}"
        yield Track(f"Where the CPU waits: {name}", tuple(slices))


def _wait(call: str, place: Place) -> tuple[str, dict[str, str | float]]:
    where = place.call_site or place.function or place.module
    what = place.operator or call
    known = (("call", call), ("operators", place.chain), ("call site", place.call_site), ("function", place.function))
    told: dict[str, str | float] = {key: value for key, value in known if value is not None}
    return f"waits: {what}" + (f" in {where}" if where else ""), told


def _copies(stages: Stages) -> Iterator[Counter]:
    """For each direction the bytes per ns (GB/s) that all running copies move together."""
    trace, work = stages.trace, stages.trace.work
    chosen = np.flatnonzero(
        (trace.events.category[work.row] == Category.MEMCPY)
        & work.bytes.known
        & (trace.events.dur_ns[work.row] > 0)
        & (stages.window.durations(trace, work.row) > 0)
    )
    by_direction = {Direction(way).name: chosen[members] for way, members in grouped(work.direction[chosen])}
    for direction, members in sorted(by_direction.items()):
        mine = work.row[members]
        starts, ends = trace.events.ts_ns[mine], trace.events.end_ns[mine]
        speed = work.bytes.values[members] / trace.events.dur_ns[mine]
        times, at = np.unique(np.concatenate((starts, ends)), return_inverse=True)
        values = np.cumsum(np.bincount(at.reshape(-1), np.concatenate((speed, -speed)), len(times)))
        running = intervals.covers(intervals.union(starts, ends), times)
        yield Counter(f"copies {direction}", "GB/s", times, np.where(running, values, 0.0))
