"""What is recorded, when, and for how long: pure figures, no torch.

A *stage* is one window of the plan. The stages of a round: unprofiled, timing, attribution. A short round comes first,
for scripts of a few steps; then, if the script goes on, the full one; then steps are timed, unprofiled, for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum

SHORT_STEPS = 5  # unprofiled, and timed, in the short round
SHORT_WARMUP = 2
FEW_LONG = 3  # steps of several closures
SHORT_ATTRIBUTION = 3  # steps
ATTRIBUTION_WARMUP = 1  # nothing of this window is taken as a time
FEW_STEPS = 20
QUEUE_PASSED = 4096  # steps, each of at least one launch: four times the length of a launch queue
SECOND_NS = 1_000_000_000
PATIENCE_NS = 20 * SECOND_NS
AFTER_STEPS = 8192  # enough to see four times what happens every 2000th step


class Depth(StrEnum):
    """How much is recorded: ``--plan``."""

    QUICK = "quick"
    STANDARD = "standard"
    DEEP = "deep"


TIMED_STEPS = {Depth.QUICK: SHORT_STEPS, Depth.STANDARD: 20, Depth.DEEP: 50}
ATTRIBUTED_STEPS = {Depth.QUICK: SHORT_ATTRIBUTION, Depth.STANDARD: 5, Depth.DEEP: 10}


class Phase(Enum):
    """Where in the plan a run is."""

    SKIP = "waiting"
    UNPROFILED = "unprofiled"
    WARMUP = "warming up"
    RECORDING = "recording"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Detail:
    """What a recording holds beside the activities.

    ``stacks``: the Python functions that were running. They double the trace, name the line where a function begins
    and never the line that calls (the marks do that), and a script that is itself traced (a debugger, cProfile)
    cannot have them: only the deep plan asks for them.
    """

    shapes: bool = False
    stacks: bool = False
    marks: bool = False  # ranges of modules and call sites

    @property
    def names(self) -> list[str]:
        """What is on, by name."""
        return [name for name in ("shapes", "stacks", "marks") if getattr(self, name)]


PLAIN = Detail()
WHERE = Detail(shapes=True, marks=True)
WHERE_AND_STACKS = Detail(shapes=True, stacks=True, marks=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """One window of the plan. ``steps``: of an unprofiled one the fewest, of a recorded one all."""

    round: str  # "short" | "full" | "after"
    kind: str  # "unprofiled" | "timing" | "attribution"
    steps: int
    warmup: int = 0  # steps with the profiler ready but not recording
    detail: Detail = PLAIN

    def of_long_steps(self) -> Stage:
        """The same of a training whose steps hold several closures each: of these there are few."""
        if self.round != "short":
            return self
        return replace(self, steps=min(self.steps, FEW_LONG), warmup=min(self.warmup, 1))

    @property
    def recorded(self) -> bool:
        """Whether the profiler records it."""
        return self.kind != "unprofiled"

    @property
    def open_ended(self) -> bool:
        """Whether it counts however few steps it holds: the one after the recordings."""
        return self.round == "after"

    def long_enough(self, steps: int, elapsed_ns: int, *, queues: bool) -> bool:
        """Whether an unprofiled window is long enough.

        In the full round a device's launch queue (about 1024 launches) must have been passed several times, and a
        host must have had time to settle; a script of very slow steps is not asked for more than a few.
        """
        if self.round == "short":
            return steps >= self.steps
        if self.open_ended:
            return steps >= self.steps or elapsed_ns >= PATIENCE_NS
        if elapsed_ns >= PATIENCE_NS and steps >= SHORT_STEPS:
            return True
        if queues:
            return steps >= QUEUE_PASSED or (steps >= self.steps and elapsed_ns >= SECOND_NS)
        return steps >= self.steps and elapsed_ns >= SECOND_NS // 4

    def unprofiled_steps(self, step_ns: int, *, queues: bool) -> int:
        """How many steps of ``step_ns`` each make an unprofiled window long enough."""
        if self.round == "short":
            return self.steps
        step_ns = max(step_ns, 1)
        wanted = max(self.steps, -(-(SECOND_NS if queues else SECOND_NS // 4) // step_ns))
        if queues:
            wanted = min(wanted, QUEUE_PASSED)
        return max(SHORT_STEPS, min(wanted, -(-PATIENCE_NS // step_ns)))

    def look_after(self, *, queues: bool) -> tuple[int, int]:
        """After how many ns, or how many steps, an unprofiled window may be long enough."""
        if self.round == "short" or self.open_ended:
            return PATIENCE_NS, self.steps - 1
        return (SECOND_NS if queues else SECOND_NS // 4), QUEUE_PASSED - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of a run, in order."""

    skip: int
    stages: tuple[Stage, ...]

    @property
    def shortest(self) -> int:
        """How many steps a script must have for the first timing window."""
        timing = self.stages[1]
        return self.skip + self.stages[0].steps + timing.warmup + timing.steps

    def whole(self, step_ns: int, *, queues: bool) -> int:
        """About how many steps of ``step_ns`` each a script must have for all recordings."""
        stages = [each for each in self.stages if not each.open_ended]
        recorded = sum(each.warmup + each.steps for each in stages if each.recorded)
        unprofiled = [each.unprofiled_steps(step_ns, queues=queues) for each in stages if not each.recorded]
        return self.skip + recorded + sum(unprofiled)

    @property
    def timed(self) -> int:
        """The steps of the last timing window."""
        return next(each.steps for each in reversed(self.stages) if each.kind == "timing")

    def again_from(self, position: int) -> int:
        """Where to begin anew when the window at ``position`` is lost.

        An unprofiled and a timing window belong together, since they are set against each other; an attribution window
        stands alone.
        """
        timing = position < len(self.stages) and self.stages[position].kind == "timing"
        return position - 1 if timing else position


def make(
    depth: Depth = Depth.STANDARD, *, skip: int = 5, warmup: int = 3, steps: int | None = None, attribution: bool = True
) -> Plan:
    """The stages of a plan. ``steps``: of the last timing window; None: as many as the plan has."""
    timed = TIMED_STEPS[depth] if steps is None else steps
    attributed = ATTRIBUTED_STEPS[depth]
    if depth is Depth.QUICK:
        stages = _round("short", SHORT_STEPS, min(SHORT_WARMUP, warmup), timed, attributed, WHERE)
    else:
        detail = WHERE_AND_STACKS if depth is Depth.DEEP else WHERE
        short = min(SHORT_STEPS, timed)
        stages = [
            *_round("short", SHORT_STEPS, min(SHORT_WARMUP, warmup), short, SHORT_ATTRIBUTION, WHERE),
            *_round("full", FEW_STEPS, warmup, timed, attributed, detail),
            Stage("after", "unprofiled", AFTER_STEPS),
        ]
    return Plan(skip, tuple(each for each in stages if attribution or each.kind != "attribution"))


def _round(name: str, unprofiled: int, warmup: int, timed: int, attributed: int, detail: Detail) -> list[Stage]:
    return [
        Stage(name, "unprofiled", unprofiled),
        Stage(name, "timing", timed, warmup),
        Stage(name, "attribution", attributed, ATTRIBUTION_WARMUP, detail),
    ]


def unusual(held: list[tuple[int, int]]) -> list[int]:
    """The positions of steps holding more gradient-free forwards than is usual in this window.

    ``held`` has, for each step, its gradient-free root forwards and its DataLoader fetches. A teacher network that
    runs in each step is usual. Where forwards were not seen, a second loader's fetches give an evaluation away.
    """
    if not held:
        return []
    middle = len(held) // 2
    forwards = sorted(each[0] for each in held)[middle]
    positions, owed = [], 0
    usual = _usual_fetches(held)
    for position, (gradient_free, fetched) in enumerate(held):
        owed += usual - fetched  # fetches that were only counted are noticed together, some steps later
        by_fetches = usual > 0 and gradient_free == 0 and -owed > 1
        owed = max(owed, 0)
        if gradient_free > forwards or by_fetches:
            positions.append(position)
    return positions


def _usual_fetches(held: list[tuple[int, int]]) -> int:
    """How many fetches a step makes, by the median of the steps that made any; 0: there is no DataLoader."""
    fetches = sorted(fetched for _, fetched in held if fetched)
    return fetches[len(fetches) // 2] if fetches else 0
