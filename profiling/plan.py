"""What is recorded, when, and for how long: pure figures, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SHORT_STEPS = 5  # unprofiled, and timed, in the short round
SHORT_WARMUP = 2
FEW_STEPS = 20
QUEUE_PASSED = 4096  # steps, each of at least one launch: four times the length of a launch queue
SECOND_NS = 1_000_000_000
PATIENCE_NS = 20 * SECOND_NS


class Phase(Enum):
    """Where in the plan a run is."""

    SKIP = "waiting"
    UNPROFILED = "unprofiled"
    WARMUP = "warming up"
    TIMING = "recording"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Round:
    """One pass through the windows: an unprofiled one, warm-up steps, a timing one."""

    name: str
    warmup: int
    timing: int

    def unprofiled_enough(self, steps: int, elapsed_ns: int, *, queues: bool) -> bool:
        """Whether the unprofiled window is long enough.

        In the full round a device's launch queue (about 1024 launches) must have been passed several times, and a
        host must have had time to settle; a script of very slow steps is not asked for more than a few.
        """
        if self.name == "short":
            return steps >= SHORT_STEPS
        if elapsed_ns >= PATIENCE_NS and steps >= SHORT_STEPS:
            return True
        if queues:
            return steps >= QUEUE_PASSED or (steps >= FEW_STEPS and elapsed_ns >= SECOND_NS)
        return steps >= FEW_STEPS and elapsed_ns >= SECOND_NS // 4

    def unprofiled_steps(self, step_ns: int, *, queues: bool) -> int:
        """Return how many steps of ``step_ns`` each make the unprofiled window long enough."""
        if self.name == "short":
            return SHORT_STEPS
        step_ns = max(step_ns, 1)
        wanted = max(FEW_STEPS, -(-(SECOND_NS if queues else SECOND_NS // 4) // step_ns))
        if queues:
            wanted = min(wanted, QUEUE_PASSED)
        return max(SHORT_STEPS, min(wanted, -(-PATIENCE_NS // step_ns)))

    def look_after(self, *, queues: bool) -> tuple[int, int]:
        """Return after how many ns, or how many steps, the unprofiled window may be long enough."""
        if self.name == "short":
            return PATIENCE_NS, SHORT_STEPS - 1
        return (SECOND_NS if queues else SECOND_NS // 4), QUEUE_PASSED - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The rounds of a run, the short one first."""

    skip: int
    rounds: tuple[Round, ...]

    @property
    def shortest(self) -> int:
        """Return how many steps a script must have for the first round."""
        return self.skip + SHORT_STEPS + self.rounds[0].warmup + self.rounds[0].timing


def standard(*, skip: int, warmup: int, steps: int) -> Plan:
    """Return a short round for scripts of a few steps, then the full one with ``steps`` timed steps."""
    short = Round("short", min(SHORT_WARMUP, warmup), min(SHORT_STEPS, steps))
    return Plan(skip, (short, Round("full", warmup, steps)))


def unusual(held: list[tuple[int, int]]) -> list[int]:
    """Return the positions of steps holding more gradient-free forwards than is usual in this window.

    ``held`` has, for each step, its gradient-free root forwards and its DataLoader fetches. A teacher network that
    runs in each step is usual. Where forwards were not seen, a second loader's fetches give an evaluation away.
    """
    if not held:
        return []
    middle = len(held) // 2
    forwards = sorted(each[0] for each in held)[middle]
    found, owed = [], 0
    usual = _usual_fetches(held)
    for position, (gradient_free, fetched) in enumerate(held):
        owed += usual - fetched  # fetches that were only counted are noticed together, some steps later
        by_fetches = usual > 0 and gradient_free == 0 and -owed > 1
        owed = max(owed, 0)
        if gradient_free > forwards or by_fetches:
            found.append(position)
    return found


def _usual_fetches(held: list[tuple[int, int]]) -> int:
    """Return how many fetches a step makes, by the median of the steps that made any; 0: there is no DataLoader."""
    fetches = sorted(fetched for _, fetched in held if fetched)
    return fetches[len(fetches) // 2] if fetches else 0
