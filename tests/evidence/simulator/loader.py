"""Worker processes of a DataLoader: they make batches ahead of the training process, in their own time. ns."""

from __future__ import annotations

import random

from tests.evidence.simulator.machine import Machine
from tests.evidence.simulator.noise import Jitter
from tests.evidence.simulator.program import Loader

PREFETCH = 2  # batches asked of each worker ahead of time
REQUEST_NS = 60_000  # an index travels to a worker


class Workers:
    """``loader.workers`` processes; batch i is made by worker i modulo their number, and handed over in order."""

    def __init__(self, loader: Loader, machine: Machine, made: random.Random, now: int) -> None:
        self._loader, self._machine = loader, machine
        self._jitter = Jitter(made, machine.worker_jitter)
        self._since = [now] * loader.workers  # worker busy without a break since
        self._free = [now] * loader.workers  # … until
        self._ready: list[int] = []
        self._taken = 0
        self._pin_free = now
        for _ in range(PREFETCH * loader.workers):
            self.request(now)

    def restart(self, now: int) -> None:
        """End all workers and start others: each imports, then makes its first batch."""
        begun = now + int(1000 * self._loader.start_us * self._machine.host_scale)
        self._free = [begun] * self._loader.workers
        self._since = [now] * self._loader.workers
        del self._ready[self._taken :]
        for _ in range(PREFETCH * self._loader.workers):
            self.request(now)

    def request(self, now: int) -> None:
        """Ask the next worker in turn for a batch."""
        worker = len(self._ready) % self._loader.workers
        begin = max(now + REQUEST_NS, self._free[worker])
        if begin > self._free[worker]:
            self._since[worker] = begin
        busy = self.busy(begin)
        slower = (1 + self._machine.memory_share * busy) * max(1.0, (busy + 2) / self._machine.cores)
        cost = self._loader.batch_us * self._machine.host_scale * (1 + self._machine.worker_overhead)
        end = begin + int(1000 * cost * slower * self._jitter())
        self._free[worker] = end
        if self._loader.pin_memory:  # a thread of the training process copies it to pinned memory
            end = self._pin_free = max(end, self._pin_free) + pin_ns(self._loader, self._machine)
        self._ready.append(end)

    def take(self) -> int:
        """Return when the next batch is (or was) ready."""
        self._taken += 1
        return self._ready[self._taken - 1]

    def busy(self, now: int) -> int:
        """How many workers are making a batch at ``now``."""
        return sum(since <= now < free for since, free in zip(self._since, self._free, strict=True))

    def crowding(self, now: int) -> float:
        """How much slower the training process is at ``now`` for the workers' sake."""
        busy = self.busy(now)
        crowded = 1 + self._machine.memory_share * busy
        return crowded * max(1.0, (busy + 2) / self._machine.cores) if busy else 1.0


def pin_ns(loader: Loader, machine: Machine) -> int:
    """How long it takes to copy a batch into pinned memory that is there already."""
    return int(1000 * (15.0 * machine.host_scale + loader.bytes / machine.host_copy_rate))
