"""Single steps as timelines: what each host thread and each stream did, where the CPU waited, why each GPU idled.

Shown are a step of median length, the slowest, the fastest, and those asked for as outliers. A step of more than
``MOST`` ranges (an outlier: ``MOST_OF_OUTLIER``) is shown without its shortest ones, and says how many those are; idle
causes and waits are always whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns.rows import grouped, named
from stallscope.analysis.contract.idle import IDLE_CAUSES
from stallscope.analysis.stages.activity import is_dataloader
from stallscope.analysis.stages.idle import DeviceIdle
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.views.timeline_places import of_host, of_idle, of_work
from stallscope.traces.model import fields
from stallscope.traces.model.fields import CALLS, DEVICE_WORK, Category, KernelFamily
from stallscope.traces.model.trace import Ints, Trace

MOST = 20_000  # ranges of a step
MOST_OF_OUTLIER = 5_000  # so that all outliers together make a page no larger than one step more would
DEEPEST = 12  # levels of a thread that are shown
RANGES = (
    *("operator", "range", "dataloader", "call", "launch", "wait"),
    *("kernel", "communication", "memcpy", "memset"),
)
KINDS = tuple(dict.fromkeys((*RANGES, *(cause.name for cause in IDLE_CAUSES))))  # some causes are drawn as a range is
_OF_WORK = {Category.KERNEL: "kernel", Category.MEMCPY: "memcpy", Category.MEMSET: "memset"}


@dataclass(frozen=True, slots=True)
class Lane:
    """Ranges drawn in one band; k of them, ascending by start, none overlapping another of its level."""

    name: str
    group: str  # "idle" | "wait" | "thread" | "stream"
    starts: Ints  # (k,) ns from the step's start
    durations: Ints  # (k,) ns
    names: tuple[str, ...]  # (k,)
    kinds: tuple[str, ...]  # (k,) of ``KINDS``
    levels: tuple[int, ...]  # (k,) 0 is the outermost
    places: tuple[str, ...] = ()  # (k,) where in the program, "" where unknown; () of a lane that tells of none

    def disjoint(self) -> bool:
        """Whether no range begins before the one before it on its level has ended."""
        ends: dict[int, int] = {}
        for start, duration, level in zip(self.starts.tolist(), self.durations.tolist(), self.levels, strict=True):
            if start < ends.get(level, start):
                return False
            ends[level] = start + duration
        return True


@dataclass(frozen=True, slots=True)
class Timeline:
    """One step."""

    label: str  # "median" | "slowest" | "fastest" | "outlier" | "whole trace"
    number: int  # of the step in the window, from 1
    length_ns: int
    lanes: tuple[Lane, ...]
    left_out: int  # ranges too short to be shown


def find_timelines(stages: Stages, outliers: Sequence[int] = ()) -> tuple[Timeline, ...]:
    """The steps worth a look, each once: a median one first, the ``outliers`` (numbers from 1) last."""
    return tuple(_timeline(stages, label, at) for label, at in _chosen(stages, outliers))


def _chosen(stages: Stages, outliers: Sequence[int]) -> list[tuple[str, int]]:
    window = stages.window
    if not window.from_steps:
        return [("whole trace", 0)]
    lengths = np.where(window.whole, window.step_ends - window.step_starts, -1)
    order = [at for at in np.argsort(lengths, kind="stable").tolist() if window.whole[at]] or [0]
    chosen = [("median", order[len(order) // 2]), ("slowest", order[-1]), ("fastest", order[0])]
    chosen += [("outlier", number - 1) for number in outliers]
    once: dict[int, str] = {}
    for label, at in chosen:
        once.setdefault(at, label)
    return [(label, at) for at, label in once.items()]


def _timeline(stages: Stages, label: str, at: int) -> Timeline:
    start, end = int(stages.window.step_starts[at]), int(stages.window.step_ends[at])
    rows, left_out = _rows(stages.trace, start, end, MOST_OF_OUTLIER if label == "outlier" else MOST)
    lanes = (
        *(_idle_lane(stages, device, start, end) for device in stages.idle if stages.measured),
        *_threads(stages, rows, start, end),
        *_streams(stages, rows, start, end),
    )
    return Timeline(label, at + 1, end - start, tuple(lane for lane in lanes if len(lane.starts)), left_out)


def _rows(trace: Trace, start: int, end: int, most: int) -> tuple[Ints, int]:
    """The event rows to show, in order of time, and how many were too short for it."""
    rows = trace.events.rows(Category.CPU_OP, Category.ANNOTATION, *CALLS, *DEVICE_WORK)
    rows = rows[(trace.events.ts_ns[rows] < end) & (trace.events.end_ns[rows] > start)]
    hidden = named(trace, rows, lambda name: fields.is_mark(name) or fields.step_number(name) is not None)
    rows = rows[~hidden]
    longest = np.argsort(-trace.events.dur_ns[rows], kind="stable")[:most]
    return np.sort(rows[longest]), max(0, len(rows) - most)


def _idle_lane(stages: Stages, idle: DeviceIdle, start: int, end: int) -> Lane:
    parts = [
        (max(s, start), min(e, end), cause)
        for cause, held in idle.spans.items()
        for s, e in zip(held.starts.tolist(), held.ends.tolist(), strict=True)
        if s < end and e > start
    ]
    parts.sort()
    causes = tuple(cause for _, _, cause in parts)
    return Lane(
        f"GPU {idle.device} idles",
        "idle",
        np.array([part[0] - start for part in parts], dtype=np.int64),
        np.array([part[1] - part[0] for part in parts], dtype=np.int64),
        causes,
        causes,
        (0,) * len(parts),
        of_idle(stages, idle.device, parts),
    )


def _threads(stages: Stages, rows: Ints, start: int, end: int) -> Iterator[Lane]:
    """A lane for each host thread, in order of their first ranges: the thread that drives the step comes first."""
    trace = stages.trace
    host = rows[~np.isin(trace.events.category[rows], [int(each) for each in DEVICE_WORK])]
    by_thread = sorted(grouped(trace.events.thread[host]), key=lambda group: int(group[1][0]))
    waiting = set(stages.syncs.blocking.tolist())
    launching = set(stages.launches.calls.tolist())
    said = of_host(stages, host)
    for number, members in by_thread:
        thread, mine = trace.threads[number], host[members]
        kinds = [_host_kind(trace, row, waiting, launching) for row in mine.tolist()]
        called = (thread.name or f"thread {thread.tid}", "thread")
        yield _lane(trace, called, mine, kinds, (start, end), said)


def _host_kind(trace: Trace, row: int, waiting: set[int], launching: set[int]) -> str:
    if row in waiting:
        return "wait"
    if row in launching:
        return "launch"
    if trace.events.category[row] in CALLS:
        return "call"
    if is_dataloader(trace.name_of(row)):
        return "dataloader"
    return "operator" if trace.events.category[row] == Category.CPU_OP else "range"


def _streams(stages: Stages, rows: Ints, start: int, end: int) -> Iterator[Lane]:
    """A lane for each stream of each device."""
    trace, work = stages.trace, stages.trace.work
    if not stages.measured:
        return
    chosen = np.flatnonzero(np.isin(work.row, rows))
    keys = work.device[chosen].astype(np.int64) * (1 << 32) + work.stream[chosen]
    for _, members in grouped(keys):
        mine = chosen[members]
        device, stream = int(work.device[mine[0]]), int(work.stream[mine[0]])
        kinds = [_work_kind(trace, index) for index in mine.tolist()]
        called, said = (f"GPU {device} stream {stream}", "stream"), of_work(stages, mine)
        yield _lane(trace, called, work.row[mine], kinds, (start, end), said)


def _work_kind(trace: Trace, index: int) -> str:
    kind = _OF_WORK[Category(int(trace.events.category[trace.work.row[index]]))]
    return "communication" if trace.work.family[index] == KernelFamily.COLLECTIVE else kind


def _lane(
    trace: Trace,
    called: tuple[str, str],  # name and group
    rows: Ints,
    kinds: list[str],
    step: tuple[int, int],
    said: dict[int, str],  # by row
) -> Lane:
    """The rows, each on the first level that is free when it starts; those too deep to see are left out."""
    start, end = step
    starts, ends = np.maximum(trace.events.ts_ns[rows], start), np.minimum(trace.events.end_ns[rows], end)
    levels = _levels(starts.tolist(), ends.tolist())
    kept = [i for i, level in enumerate(levels) if level < DEEPEST]
    return Lane(
        *called,
        starts[kept] - start,
        (ends - starts)[kept],
        tuple(trace.name_of(int(rows[i])) for i in kept),
        tuple(kinds[i] for i in kept),
        tuple(levels[i] for i in kept),
        tuple(said.get(int(rows[i]), "") for i in kept) if said else (),
    )


def _levels(starts: list[int], ends: list[int]) -> list[int]:
    """For each range, in order of start, the lowest level above everything that is still open."""
    busy: list[int] = []  # end of the last range of each level
    found = []
    for start, end in zip(starts, ends, strict=True):
        level = len(busy)
        while level and busy[level - 1] <= start:
            level -= 1
        del busy[level:]
        busy.append(end)
        found.append(level)
    return found
