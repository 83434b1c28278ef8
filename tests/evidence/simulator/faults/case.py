"""A trace with a known cause: a training drawn from a seed, its fault brought to its cost, and what is true of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tests.evidence.simulator.faults import devices, hosts, inputs, kernels, memory, waits
from tests.evidence.simulator.faults.base import base
from tests.evidence.simulator.faults.fault import Change, Fault, Scene
from tests.evidence.simulator.faults.healthy import HEALTHY, uneven
from tests.evidence.simulator.faults.plan import Plan, loop, step_us
from tests.evidence.simulator.faults.recording import FIRST, Recording, recorded, recording
from tests.evidence.simulator.faults.verdicts import verdicts
from tests.evidence.simulator.noise import generator
from tests.evidence.simulator.program import kernels_in

Split = Literal["development", "held-out"]

FAULTS: tuple[Fault, ...] = (
    *hosts.FAULTS, *waits.FAULTS, *memory.FAULTS, *inputs.FAULTS, *kernels.FAULTS, *devices.FAULTS,
)  # fmt: skip
LEAST, MOST = 0.15, 0.60  # of the step: what a fault costs
TRIES = 30
EVENTS = 24_000
ANY_STEPS = (3, 20)
JUDGED_STEPS = 5  # with one kind of work free: alike but for what not every step does
# names so specific that one of them is wrong wherever it is not the fault itself
ALARMS = frozenset(
    [
        "model_on_cpu",
        "partly_on_cpu",
        "recompiling",
        "launch_blocking",
        "anomaly_mode",
        "graph_capture",
        "graph_instantiated",
        "grad_scaler",
        "empty_cache",
        "allocation_retries",
        "no_caching_allocator",
        "loader_restart",
        "loader_row_by_row",
        "slow_link",
        "float64",
        "layout_conversion",
        "cudnn_benchmark",
        "data_parallel",
        "deterministic_fill",
        "kernel_slowdown",
        "shared_gpu",
        "wddm_batching",
        "nothing_recorded",
        "gpu_not_recorded",
    ]
)


@dataclass(frozen=True, slots=True)
class Truth:
    """What an answer must hold. ``first``: any of these names as first cause; None: no cause is wrong but ``never``."""

    first: frozenset[str]
    verdict: frozenset[str] | None  # None: the catalogue leaves it open
    never: frozenset[str]  # names that are wrong at any place


@dataclass(frozen=True)
class Case:
    """One generated trace. ``on`` was recorded; ``off`` is the same script without the fault."""

    name: str
    fault: Fault
    on: Plan
    off: Plan
    how: Recording
    on_us: float
    off_us: float

    @property
    def share(self) -> float:
        """Return the share of the step that the fault costs, as the machine itself executes both scripts."""
        return 1 - self.off_us / self.on_us

    @cached_property
    def trace(self) -> bytes:
        """Return the recording of the script with the fault."""
        return recorded(self.on, self.fault, self.how, self.name)

    @cached_property
    def truth(self) -> Truth:
        """Return what is true of it."""
        first = {*(self.fault.first or (self.fault.name,)), *(() if self.how.stacks else self.fault.without_stacks)}
        kinds = self._verdicts(self.on) if self.fault.judged else None
        if kinds is not None and self.fault.recurs:
            kinds |= self._verdicts(self.off)
        return Truth(frozenset(first), kinds, ALARMS - first - set(self.fault.also))

    def _verdicts(self, plan: Plan) -> frozenset[str]:
        steps = self.how.steps if self.fault.steps != ANY_STEPS else min(self.how.steps, JUDGED_STEPS)
        return verdicts(plan, self.name, steps, self.fault, opened=self.how.opened)


def case(split: Split, number: int) -> Case:
    """Return the case of that number: the faults take turns."""
    fault = FAULTS[number % len(FAULTS)]
    for attempt in range(TRIES):
        name = f"{split}/{number}/{attempt}"
        made = generator("fault", name)
        found = drawn(made, name, fault)
        if found is not None:
            return found
    raise AssertionError(f"{fault.name}: no training was found in which it costs its share ({split}/{number})")


def healthy(split: Split, number: int) -> Case:
    """Return the healthy case of that number: two in three keep their GPU busy, one is small."""
    fault = HEALTHY[number % len(HEALTHY)]
    for attempt in range(TRIES):
        name = f"healthy/{split}/{number}/{attempt}"
        found = drawn(generator("fault", name), name, fault)
        if found is not None and not uneven(found.on):
            return found
    raise AssertionError(f"no even training was found (healthy/{split}/{number})")


def drawn(made: random.Random, name: str, fault: Fault) -> Case | None:
    """A training with the fault at its cost; None where this one cannot be brought there."""
    plan = base(made, name, fault.wish)
    plain_us = step_us(plan, name, 4)
    share = made.uniform(*fault.share)
    how = recording(made, fault, rows(plan) / (1 - share))
    if how.steps < fault.steps[0]:
        return None
    scene = Scene(made, plan, plain_us, range(FIRST, FIRST + how.steps))
    change = fault.change(scene)
    if not fault.cost:
        off, on = change(0.0)
        on_us, off_us = (step_us(one, name, how.steps) for one in (on, off))
        return Case(name, fault, on, off, how, on_us, off_us)
    off, on = change(costing(change, plain_us, share, name, how.steps if fault.steps != ANY_STEPS else 4))
    off_us, on_us = (step_us(one, name, how.steps) for one in (off, on))
    found = Case(name, fault, on, off, how, on_us, off_us)
    return found if LEAST <= found.share <= MOST and rows(on) * how.steps <= EVENTS else None


def costing(change: Change, plain_us: float, share: float, name: str, steps: int) -> float:
    """The strength with which the fault costs about ``share`` of the step."""
    us = plain_us * share / (1 - share)
    for _ in range(5):
        off_us, on_us = (step_us(one, name, steps) for one in change(us))
        cost, wanted = on_us - off_us, off_us * share / (1 - share)
        if abs(1 - off_us / on_us - share) < 0.04:
            break
        us *= min(3.0, max(0.3, wanted / cost)) if cost > 0.05 * wanted else 2.0
    return us


def rows(plan: Plan) -> int:
    """About how many rows a step of the plan has, those of a loader in this process too."""
    loads = plan.loader.body if plan.loader is not None else ()
    return 11 * len(kernels_in((*loop(plan).step, *loads)))
