"""How much of the host's time the profiler itself takes: solved from the unprofiled step time where there is one.

Recording costs the host something for each operator, range and call (0.6 µs and more, with shapes and stacks), and
hardly changes the kernels. So a forecast is replayed with host nodes made shorter by *x* µs for each row recorded in
them, where *x* solves

    replayed step (x) = unprofiled step

Time in which little is recorded, such as loading data, thereby keeps its length. Without an unprofiled time *x* cannot
be known: forecasts then stand in profiled time, and their interval reaches to what a host 1.5 times as fast would give.
Where the GPU is the limit the step does not depend on *x*: it is then taken from what recording is known to cost.

The *host factor* is the host's time with *x* taken off ÷ as recorded, and the one estimate of it: ``scaled`` and
``forecast`` of the contract both give it. Dividing what the GPU leaves free of the step, (unprofiled − working) ÷
(recorded − working), is simpler and wrong wherever the host works while the GPU does: the whole difference is then put
down to the time in which the GPU idles. The simulator (``tests/evidence/simulator``) knows the host's own time: on the
107 of 120 held-out pairs for which both give a factor, the median error of that is 0.055, of the replay 0.012; with GPU
and host equally busy 0.15 against 0.03. A run without a GPU is the host's alone, and both are one: no replay is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from stallscope.analysis.contract.whatif import Constant
from stallscope.analysis.fixes import constants
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.replay.trust import PLAUSIBLE
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.step_times import StepTimes, Unprofiled
from stallscope.traces.model.trace import Ints

UNPROFILED: Final = "unprofiled"
PROFILED: Final = "profiled time"
SHORTEST: Final = 0.25  # of a node's time: recording is never all of it
SENSITIVE: Final = 0.05  # of the step: what recording at its dearest must change for its cost to be solvable
CLOSE: Final = 0.002  # of the step: solved
TRIES: Final = 12
UNREACHED: Final = 0.05  # of the step: the replay stays that far from it at any cost of recording
UNSURE: Final = 0.15  # of a solved x: how far it is trusted
LEAST_OWN: Final = 0.1  # of a CPU run's step: what must be the host's own for its factor to be told
DIFFERENT: Final = (
    "what recording costs does not explain the unprofiled step: the unprofiled steps and the recorded ones "
    "did different work"
)

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
    host_factor: float  # host's time without ÷ under the profiler, as solved or assumed
    host_factor_low: float
    solved: bool  # by an unprofiled step that depends on it
    doubts: tuple[str, ...] = ()  # each lowers the confidence

    @property
    def told_factor(self) -> float | None:
        """The host factor where the unprofiled step tells it, and can be believed."""
        return self.host_factor if self.solved and not self.doubts else None


def calibrate(subject: Subject, step_of: Callable[[Ints], float], unprofiled: Unprofiled | None) -> Calibration:
    """Solve for x; ``step_of`` replays with durations (n,) and gives the step in µs."""
    graph = subject.graph
    if unprofiled is None:
        host = subject.host & ~subject.input
        third = 1 - 1 / constants.INFLATION.value
        recording = Recording(graph.duration_ns, np.where(host, third * graph.duration_ns, 0).astype(np.int64))
        return _made(subject, recording, (0.0, 0.0, 1.0))
    recording = Recording(graph.duration_ns, 1000 * subject.recorded_rows)
    cost = constants.RECORDING
    x, solved = _solve(lambda x: step_of(recording.without(x)), unprofiled.mean_us, cost)
    spread = (x - UNSURE * abs(x), x + UNSURE * abs(x)) if solved else (cost.low, cost.high)
    reached = step_of(recording.without(x)) / unprofiled.mean_us
    calibration = replace(_made(subject, recording, (x, *spread)), basis=UNPROFILED, solved=solved)
    if is_plausible(calibration.host_factor) and (not solved or abs(reached - 1) <= UNREACHED):
        return calibration
    return replace(calibration, doubts=(DIFFERENT,))


def _made(subject: Subject, recording: Recording, xs: tuple[float, float, float]) -> Calibration:
    host = subject.host
    whole = max(1, int(recording.duration_ns[host].sum()))
    factor, low = (float(recording.without(x)[host].sum()) / whole for x in (xs[0], xs[2]))
    return Calibration(recording, *xs, PROFILED, factor, low, solved=False)


def is_plausible(host_factor: float) -> bool:
    """Whether the profiler can have done that to the host."""
    return PLAUSIBLE[0] <= host_factor <= PLAUSIBLE[1]


def cpu_host_factor(stages: Stages, times: StepTimes) -> float | None:
    """Of a run without a GPU, all of whose step but the collectives is the host's; None: cannot be told."""
    if times.unprofiled is None or not times.from_steps:
        return None
    exchanging, recorded = stages.us(stages.activity.shares.communication), stages.us(stages.window.length)
    if recorded - exchanging <= LEAST_OWN * recorded:
        return None
    factor = (times.unprofiled.mean_us - exchanging) / (recorded - exchanging)
    return factor if is_plausible(factor) else None


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
