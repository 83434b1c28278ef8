"""What a fault is: a name of the catalogue, and a change of a healthy training that costs about what it is told to."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.evidence.simulator.faults.base import Wish
from tests.evidence.simulator.faults.plan import Plan

Change = Callable[[float], tuple[Plan, Plan]]  # µs that the fault should cost, to the script without it and with it


@dataclass(frozen=True, slots=True)
class Scene:
    """What a change is drawn from: chance, a healthy training, its step in µs and the steps that are recorded."""

    made: random.Random
    plan: Plan
    step_us: float
    steps: range


@dataclass(frozen=True, slots=True)
class Fault:
    """One cause. ``without_stacks`` are the names that are also right where no stacks tell more."""

    name: str
    change: Callable[[Scene], Change]
    wish: Wish = field(default_factory=Wish)
    first: tuple[str, ...] = ()  # names that are right as first cause; empty: its own
    without_stacks: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # other names that an honest answer may hold, in any place but the first
    share: tuple[float, float] = (0.18, 0.55)  # of the step, aimed at
    steps: tuple[int, int] = (3, 20)
    stacks: bool = False  # only a recording with stacks shows it
    no_launching: bool = False  # the host computes in no operator: not "launch-bound"
    recurs: bool = False  # in some steps only: a verdict on the typical step is right too
    judged: bool = True  # the catalogue says which verdict; False: the name alone is held
    marks: bool = True  # needs ``ProfilerStep``: nothing else tells its steps apart
    cost: bool = True  # False: the whole step is the fault
    devices: int = 1
    world: int = 0
