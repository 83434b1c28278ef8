"""How much of the host's time the profiler itself takes: solved from the unprofiled step time where there is one.

Recording costs the host something for each operator, range and call (0.6 µs and more, with shapes and stacks), and
hardly changes the kernels. So a forecast is replayed with host nodes made shorter by *x* µs for each row recorded in
them, where *x* solves

    replayed step (x) = unprofiled step

Time in which little is recorded, such as loading data, thereby keeps its length. Without an unprofiled time *x* cannot
be known: forecasts then stand in profiled time, and their interval reaches to what a host 1.5 times as fast would give.
Where the GPU is the limit the step does not depend on *x*: it is then taken from what recording is known to cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from stallscope.analysis.contract.whatif import Constant
from stallscope.analysis.fixes import constants
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.replay.trust import PLAUSIBLE
from stallscope.traces.model.trace import Ints

UNPROFILED: Final = "unprofiled"
PROFILED: Final = "profiled time"
SHORTEST: Final = 0.25  # of a node's time: recording is never all of it
SENSITIVE: Final = 0.05  # of the step: what recording at its dearest must change for its cost to be solvable
CLOSE: Final = 0.002  # of the step: solved
TRIES: Final = 12
UNREACHED: Final = 0.05  # of the step: the replay stays that far from it at any cost of recording
UNSURE: Final = 0.15  # of a solved x: how far it is trusted

StepOf = Callable[[float], float]  # x → replayed step, µs


class Recording(msgspec.Struct, frozen=True):
    """What recording adds to each node: ``weight_ns`` (n,) for each unit of x."""

    duration_ns: Ints
    weight_ns: Ints

    def without(self, x: float) -> Ints:
        """Durations of all nodes without ``x`` units of it, ns; (n,)."""
        if not x:
            return self.duration_ns
        shorter = np.rint(self.duration_ns - x * self.weight_ns).astype(np.int64)
        floor = (SHORTEST * self.duration_ns).astype(np.int64)
        return np.where(self.weight_ns > 0, np.maximum(shorter, floor), self.duration_ns)


class Calibration(msgspec.Struct, frozen=True):
    """How much recording is taken off: expected, and its bounds; and what was not to be known."""

    recording: Recording
    x: float
    least: float
    most: float
    basis: str
    host_factor: float  # host's time without ÷ under the profiler, as taken
    host_factor_low: float
    doubts: tuple[str, ...] = ()  # each lowers the confidence


def calibrate(subject: Subject, step_of: Callable[[Ints], float], unprofiled_us: float | None) -> Calibration:
    """Solve for x; ``step_of`` replays with durations (n,) and gives the step in µs."""
    graph = subject.graph
    if unprofiled_us is None:
        host = subject.host & ~subject.input
        third = 1 - 1 / constants.INFLATION.value
        recording = Recording(graph.duration_ns, np.where(host, third * graph.duration_ns, 0).astype(np.int64))
        return _made(subject, recording, (0.0, 0.0, 1.0), PROFILED)
    recording = Recording(graph.duration_ns, 1000 * subject.recorded_rows)
    cost = constants.RECORDING
    x, solved = _solve(lambda x: step_of(recording.without(x)), unprofiled_us, cost)
    spread = (x - UNSURE * abs(x), x + UNSURE * abs(x)) if solved else (cost.low, cost.high)
    reached = step_of(recording.without(x))
    return _made(subject, recording, (x, *spread), UNPROFILED, reached / unprofiled_us if solved else 1.0)


def _made(
    subject: Subject, recording: Recording, xs: tuple[float, float, float], basis: str, reached: float = 1.0
) -> Calibration:
    x, least, most = xs
    host = subject.host
    whole = max(1, int(recording.duration_ns[host].sum()))
    factor = float(recording.without(x)[host].sum()) / whole
    low = float(recording.without(most)[host].sum()) / whole
    doubts: tuple[str, ...] = ()
    if not PLAUSIBLE[0] <= factor <= PLAUSIBLE[1] or abs(reached - 1) > UNREACHED:
        told = (
            "what recording costs does not explain the unprofiled step: the unprofiled steps and the recorded ones "
            "did different work"
        )
        doubts = (told,)
    return Calibration(recording, x, least, most, basis, factor, low, doubts)


def _solve(step_of: StepOf, wanted: float, cost: Constant) -> tuple[float, bool]:
    """(x at which the replay takes ``wanted``, whether the step told): false position, the step falls with x."""
    low, high = -1.0, 2 * cost.high
    full, least = step_of(0.0), step_of(high)
    if full - least < SENSITIVE * full:
        return cost.value, False
    if wanted <= least:
        return high, True
    slope = (full - least) / high
    low_step = step_of(low) if wanted > full else full
    low = low if wanted > full else 0.0
    if wanted >= low_step:
        return low, True
    high_step, guess = least, min(max((full - wanted) / slope, low), high)
    for _ in range(TRIES):
        found = step_of(guess)
        if abs(found - wanted) <= CLOSE * wanted:
            break
        if found > wanted:
            low, low_step = guess, found
        else:
            high, high_step = guess, found
        guess = low + (high - low) * (low_step - wanted) / max(low_step - high_step, 1e-9)
    return guess, True
