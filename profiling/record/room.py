"""How many steps a recorded window may hold: the training stands still while a trace is written, so it is bounded."""

from __future__ import annotations

from dataclasses import dataclass

from stallscope.profiling.record.plan import SECOND_NS, Stage
from stallscope.profiling.record.windows import Recorded, Unprofiled

MAX_BYTES = 100_000_000  # of a plain trace: 2 to 4 s of standing still
BYTES_PER_NODE = {False: 8_000, True: 20_000}  # of a plain trace, per autograd node; True: with a device's rows
BYTES_PER_US = {False: 100, True: 250}  # per µs of a step that makes no nodes (inference), or of an old torch
GROWTH = {(): 1.0, ("shapes",): 1.6, ("shapes", "marks"): 2.0, ("shapes", "stacks", "marks"): 4.0}
SLOWER = 5  # a window that takes so many times as long as it should holds something unusual: it closes early
LEAST_PATIENCE_NS = 5 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many steps a window may hold, and how long it may stay open beyond its first step."""

    steps: int
    patience_ns: int


class Room:
    """Learns from each window how much a step fills.

    Before anything is recorded that is guessed from the autograd nodes made in a step, and where it makes none from its
    time (an operator takes some µs, and some hundred bytes of a trace); afterwards it is known.
    """

    def __init__(self) -> None:
        self._operations: float | None = None  # per step
        self._step_ns: float | None = None
        self._bytes: dict[str, float] = {}  # per step, by kind of window

    def learn(self, ended: Unprofiled | Recorded) -> None:
        """Take a window that is complete."""
        window = ended.window
        if window is None or not window.steps:
            return
        if isinstance(ended, Recorded):
            self._bytes[window.kind] = ended.bytes / window.steps
            return
        self._step_ns = window.duration_ns / window.steps
        self._operations = ended.operations / window.steps if ended.operations else None

    def allow(self, stage: Stage, *, queues: bool) -> Allowed:
        """What a window may hold: at least one step, whatever it fills."""
        filled = self.bytes_per_step(stage, queues=queues)
        fitting = stage.steps if not filled else max(1, min(stage.steps, int(MAX_BYTES / filled)))
        expected = fitting * (self._step_ns or 0)
        return Allowed(fitting, max(LEAST_PATIENCE_NS, int(SLOWER * expected)))

    def bytes_per_step(self, stage: Stage, *, queues: bool) -> float:
        """How much of a plain trace a step is expected to fill; 0: unknown."""
        growth = GROWTH.get(tuple(stage.detail.names), max(GROWTH.values()))
        seen_bytes = self._bytes.get(stage.kind)
        if seen_bytes:
            return seen_bytes * (2.0 if stage.detail.stacks else 1.0)  # the short round has none
        if self._bytes.get("timing"):
            return self._bytes["timing"] * growth
        if self._operations:
            return self._operations * BYTES_PER_NODE[queues] * growth
        return (self._step_ns or 0) / 1000 * BYTES_PER_US[queues] * growth
