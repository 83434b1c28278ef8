"""One process: steps timed without a profiler, then some recorded with one."""

from __future__ import annotations

from dataclasses import dataclass

from tests.evidence.simulator import calls  # noqa: F401 - its handlers join those of the host
from tests.evidence.simulator.device import Job
from tests.evidence.simulator.host import Host, Row
from tests.evidence.simulator.machine import Machine
from tests.evidence.simulator.noise import generator
from tests.evidence.simulator.program import Loop

SETTLE = 4  # steps that nobody times


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a profiler saw of a run: the host's rows, and the device's work."""

    rows: list[Row]
    jobs: list[Job]
    capability: tuple[int, int]


class Process:
    """One run of a training loop on a machine; two processes of one seed do the same to the ns."""

    def __init__(self, loop: Loop, machine: Machine, *seed: object, free: frozenset[str] = frozenset()) -> None:
        self.host = Host(machine, loop, generator("process", *seed))
        self.host.free, self.host.device.free = free, "compute" in free
        self.host.steps(SETTLE)

    def step_ns(self, count: int) -> float:
        """Mean step time over ``count`` steps, the device synchronized before and after them."""
        self.host.synchronize()
        opened = self.host.now
        self.host.steps(count)
        self.host.synchronize()
        return (self.host.now - opened) / count

    def profiled_ns(self, count: int, warmup: int = 2) -> float:
        """Mean step time over ``count`` steps under the profiler, those that `record` would record."""
        self.host.profiled = self.host.device.profiled = True
        self.host.steps(warmup)
        return self.step_ns(count)

    def slope_ns(self, count: int, warmup: int = 2, *, opened: bool = True) -> float:
        """Mean time from one step's completion to the next one's, over the steps that `record` would record.

        The device is synchronized before them where `record` does it, and nowhere else.
        """
        host = self.host
        if not opened:
            host.synchronize()
        host.profiled = host.device.profiled = True
        host.steps(warmup)
        if opened:
            host.synchronize()
        host.steps(1)
        first = max(host.now, host.device.drained(None))
        host.steps(count - 1)
        return (max(host.now, host.device.drained(None)) - first) / (count - 1)

    def record(self, count: int, warmup: int = 2, *, opened: bool = True) -> Recorded:
        """Record ``count`` steps after ``warmup`` profiled ones; a synchronize closes the record.

        Where it is not ``opened`` by one, work of the warm-up that starts later than the record does is in it, and
        the calls that launched it are not.
        """
        host = self.host
        if not opened:
            host.synchronize()  # work launched before the profiler was there would run unseen
        host.profiled = host.device.profiled = True
        host.steps(warmup)
        if opened:
            host.synchronize()
        host.device.advance(host.now)
        host.jobs = [job for job in host.jobs if job.start is None]
        host.recording = True
        host.startle()
        host.steps(count)
        host.synchronize()
        host.recording = host.profiled = host.device.profiled = False
        recorded = Recorded(host.rows, host.jobs, host.machine.capability)
        host.rows, host.jobs = [], []
        return recorded
