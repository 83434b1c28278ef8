"""The device: first-in first-out streams, two copy engines, events between streams, graphs. Times in ns.

The host submits work and goes on; the device is brought forward only when somebody asks about it, event by event.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from tests.evidence.simulator.machine import Machine
from tests.evidence.simulator.noise import MS, Drift, Jitter
from tests.evidence.simulator.program import STREAMS_OF_A_DEVICE, Kernel

JobKind = Literal["kernel", "copy", "graph", "record", "wait"]


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work on a stream. ``start`` and ``end`` are known once it started."""

    kind: JobKind
    stream: int
    arrival: int
    ns: float = 0.0
    name: str = ""
    kernel: Kernel | None = None
    bytes: int = 0
    engine: str = ""
    nodes: tuple[Kernel, ...] = ()
    awaited: Job | None = None
    start: int | None = None
    end: int | None = None
    correlation: int = 0
    external: int | None = None
    parts: list[tuple[Kernel, int, int]] = field(default_factory=list)  # a graph's kernels as they ran


@dataclass(slots=True)
class Stream:
    """Work in order; ``scheduled`` while the device has an appointment to look at it again."""

    number: int
    queue: deque[Job] = field(default_factory=deque)
    running: Job | None = None
    last: Job | None = None  # submitted last
    free_at: int | None = None  # its last work ended
    scheduled: bool = False


class Device:
    """Executes what was submitted, in the order of its streams."""

    def __init__(self, machine: Machine, made: random.Random) -> None:
        self.machine = machine
        self.profiled = False
        self.pending = 0  # submitted and not started
        self.batch = 1.0  # how much longer than usual the kernels of what is submitted now run
        self.streams: dict[int, Stream] = {}
        self._agenda: list[tuple[int, int, int]] = []
        self._count = 0
        self.free = False  # kernels and the gaps between them take no time
        self._engines: dict[tuple[int, str], int] = {}  # of a device and a direction: busy until
        self._waiting: dict[int, list[int]] = {}  # id of a record not yet reached, to the streams that wait
        self._jitter = Jitter(made, machine.device_jitter)
        self._drift = Drift(made, machine.clock_drift, 400 * MS)
        self._clock, self._clock_until, self._busy, self._warmth = 1.0, 0, 0, 0.5

    # --- the host's side ----------------------------------------------------------------------------

    def stream(self, number: int) -> Stream:
        """Return the stream, made when first used."""
        found = self.streams.get(number)
        if found is None:
            found = self.streams[number] = Stream(number)
        return found

    def submit(self, job: Job) -> None:
        """Put ``job`` at the end of its stream."""
        stream = self.stream(job.stream)
        stream.queue.append(job)
        stream.last = job
        if job.kind in ("kernel", "copy", "graph"):
            self.pending += 1
        if stream.running is None and not stream.scheduled and len(stream.queue) == 1:
            self._look(stream, job.arrival)

    def idle_for(self, number: int, now: int) -> int | None:
        """For how long the stream has had nothing to do at ``now``; None: it has."""
        self.advance(now)
        stream = self.stream(number)
        if stream.running is not None or stream.queue:
            return None
        return now - (stream.free_at or 0)

    def advance(self, until: int) -> None:
        """Bring the device forward to ``until``."""
        while self._agenda and self._agenda[0][0] <= until:
            self._next()

    def finish(self, job: Job) -> int:
        """Bring the device forward until ``job`` has started, and return when it ends."""
        while job.end is None:
            self._next()
        return job.end

    def drained(self, number: int | None) -> int:
        """Return when the work submitted so far ends, on one stream or (None) on all; 0 where there was none."""
        streams = self.streams.values() if number is None else [self.stream(number)]
        return max((self.finish(each.last) for each in streams if each.last is not None), default=0)

    def room(self, depth: int) -> int | None:
        """Return when fewer than ``depth`` jobs wait to start, or None where that is so already."""
        now = None
        while self.pending >= depth:
            now = self._next()
        return now

    # --- its own side -------------------------------------------------------------------------------

    def _look(self, stream: Stream, when: int) -> None:
        stream.scheduled = True
        self._count += 1
        heapq.heappush(self._agenda, (when, self._count, stream.number))

    def _next(self) -> int:
        now, _, number = heapq.heappop(self._agenda)
        stream = self.streams[number]
        stream.scheduled = False
        if stream.running is not None:
            stream.running, stream.free_at = None, now
            gap = self.machine.kernel_gap_us + (self.machine.profiler.kernel_gap_us if self.profiled else 0.0)
            gap = 0.0 if self.free else gap
            if stream.queue:
                self._look(stream, max(stream.queue[0].arrival, now + int(1000 * gap * self._jitter())))
            return now
        while stream.queue and not stream.scheduled and stream.running is None:
            if not self._begin(stream, stream.queue[0], now):
                break
        return now

    def _begin(self, stream: Stream, job: Job, now: int) -> bool:
        """Start the head of a stream's queue, or make an appointment, or (False) leave it waiting for another's."""
        if job.arrival > now:
            self._look(stream, job.arrival)
            return True
        if job.kind == "wait":
            awaited = job.awaited
            if awaited is not None and awaited.end is None:
                self._waiting.setdefault(id(awaited), []).append(stream.number)
                return False
        elif job.kind == "copy" and self._engines.get(engine(job), 0) > now:
            self._look(stream, self._engines[engine(job)])
            return True
        stream.queue.popleft()
        job.start = job.end = now
        if job.kind in ("kernel", "copy", "graph"):
            self._execute(stream, job, now)
        elif job.kind == "record":
            for number in self._waiting.pop(id(job), []):
                self._look(self.streams[number], now + int(1000 * self.machine.cross_stream_us * self._jitter()))
        return True

    def _execute(self, stream: Stream, job: Job, now: int) -> None:
        self.pending -= 1
        stream.running = job
        if job.kind == "copy":
            job.end = now + int(job.ns * self._jitter())
            self._engines[engine(job)] = job.end
        elif job.kind == "kernel":
            job.end = now + self._duration(stream, job.ns, now)
        else:
            job.end = self._graph(stream, job, now)
        self._busy += job.end - now
        self._look(stream, job.end)

    def _graph(self, stream: Stream, job: Job, now: int) -> int:
        gap, at = 1000 * self.machine.graph_gap_us, now
        for number, kernel in enumerate(job.nodes):
            at += int(gap * self._jitter()) if number else 0
            end = at + self._duration(stream, job.ns * kernel.us, at, warm=number > 0)
            job.parts.append((kernel, at, end))
            at = end
        return at

    def _duration(self, stream: Stream, ns: float, now: int, *, warm: bool = False) -> int:
        """How long a kernel of nominal ``ns`` runs: clock, jitter, a cold start, a neighbour on another stream."""
        machine = self.machine
        if not ns:
            return 0
        factor = self._speed(now) * self._jitter()
        if len(self.streams) > 1 and self._neighbour(stream):
            factor *= 1 + machine.overlap_share
        idle = stream.free_at is None or now - stream.free_at > 1000 * machine.cold_after_us
        cold = 1000 * machine.cold_us if idle and not warm else 0.0
        return max(300, int(ns * factor + cold))

    def _neighbour(self, stream: Stream) -> bool:
        device = stream.number // STREAMS_OF_A_DEVICE
        others = (
            other.running
            for other in self.streams.values()
            if other is not stream and other.number // STREAMS_OF_A_DEVICE == device
        )
        return any(running is not None and running.kind != "copy" for running in others)

    def _speed(self, now: int) -> float:
        """The clock, looked at each millisecond: a busy device gets warm and slows down."""
        if now >= self._clock_until:
            span = max(MS, now - self._clock_until + MS)
            share = min(1.0, self._busy / span)
            self._warmth += (share - self._warmth) * min(1.0, span / (100 * MS))
            self._clock = self._drift.at(now) * (1 + self.machine.hot_share * self._warmth)
            self._clock_until, self._busy = now + MS, 0
        return self._clock


def engine(job: Job) -> tuple[int, str]:
    """The copy engine that carries out ``job``: each device has one for each direction."""
    return job.stream // STREAMS_OF_A_DEVICE, job.engine
