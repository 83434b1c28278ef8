"""Pairs of runs, before and after a fix, both executed by the simulator.

    for pair in pairs("held-out", 240):
        pair.trace          the profiled run before, as bytes of a Kineto trace
        pair.before_ns      its unprofiled step time: what the manifest says
        pair.after_ns       the unprofiled step time after the fix: what a forecast is held against

Seeds are split by name: constants may be set on ``"development"`` pairs, never on ``"held-out"`` ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from tests.evidence.simulator.fixes import FIXES, Fix
from tests.evidence.simulator.kineto import trace_bytes
from tests.evidence.simulator.machine import Machine, drawn
from tests.evidence.simulator.models import Layer, Reads, Training, compute, loop, network
from tests.evidence.simulator.noise import generator
from tests.evidence.simulator.program import Kernel, Loader, host_us, kernels_in
from tests.evidence.simulator.run import Process

Split = Literal["development", "held-out"]

RECORDED = 20
SHORTEST_US = 1.1
RATIOS = {  # device time over host time
    "launch": (0.05, 0.35), "balanced": (0.6, 1.15), "device": (1.4, 4.0),
    "sync": (0.3, 1.3), "input": (0.2, 1.6), "copy": (0.2, 1.6),
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One training on one machine, before and after one fix."""

    split: Split
    number: int
    fix: str
    choice: int  # the fix's parameter: k, or the number of workers; 0: it has none
    regime: str
    machine: Machine
    training: Training
    changed: Training

    @property
    def name(self) -> str:
        """Return what tells this pair from all others."""
        return f"{self.split}/{self.number}"

    @cached_property
    def _before(self) -> tuple[float, bytes]:
        process = Process(loop(self.training), self.machine, self.name, "before")
        step_ns = process.step_ns(timed_steps(self.training))
        return step_ns, trace_bytes(process.record(RECORDED))

    @property
    def before_ns(self) -> float:
        """Return the mean unprofiled step time before the fix."""
        return self._before[0]

    @property
    def trace(self) -> bytes:
        """Return the trace of the run before the fix, recorded after its unprofiled window."""
        return self._before[1]

    @cached_property
    def _after(self) -> Process:
        return Process(loop(self.changed), self.machine, self.name, "after")

    @cached_property
    def after_ns(self) -> float:
        """Return the mean unprofiled step time after the fix, in another process on the same machine."""
        return self._after.step_ns(timed_steps(self.changed))

    def trace_after(self) -> bytes:
        """Return a trace of the run after the fix."""
        assert self.after_ns
        return trace_bytes(self._after.record(RECORDED))


def pairs(split: Split, count: int, fixes: tuple[Fix, ...] = FIXES) -> Iterator[Pair]:
    """Yield ``count`` pairs, the fixes in turn, each through its regimes in turn; nothing is executed yet."""
    for number in range(count):
        fix = fixes[number % len(fixes)]
        regime = fix.regimes[number // len(fixes) % len(fix.regimes)]
        yield pair(split, number, fix, regime)


def pair(split: Split, number: int, fix: Fix, regime: str) -> Pair:
    """Return the pair that its number says, whatever was made before it."""
    made = generator("pair", split, number)
    machine = drawn(split, number)
    training = trained(made, machine, fix.name, regime)
    choice = made.choice(fix.choices)
    return Pair(split, number, fix.name, choice, regime, machine, training, fix.change(training, choice))


def timed_steps(training: Training) -> int:
    """How many steps an unprofiled window has: enough to pass the launch queue more than twice, or 200."""
    launches = 1 if training.graph else len(kernels_in(compute(training)))
    steps = min(200, max(60 if training.loader is None else 120, 2_500 // launches))
    period = training.read_every * max(1, training.log_every)
    return -(-steps // period) * period


# --- a training for a fix and a regime --------------------------------------------------------------


def trained(made: random.Random, machine: Machine, fix: str, regime: str) -> Training:
    """A random training whose step is bound as ``regime`` says."""
    reads: Reads = "layers" if regime == "sync" else "loss"
    if regime in ("input", "copy", "balanced") and fix in ("workers", "pinned", "graph") and made.random() < 0.5:
        reads = "none"
    branches = regime in ("balanced", "device") and fix != "graph" and made.random() < 0.25
    training = Training(
        layers=network(made, made.randint(12, 90), branches),
        optimizer=made.choice(("foreach", "foreach", "for-loop", "fused")),
        states=made.choice((1, 2, 6)),
        update=Kernel("vectorized_elementwise_kernel", made.uniform(1.2, 2.5)),
        loader=None,
        python=made.uniform(2.0, 60.0) * made.uniform(0.2, 1.0),
        reads=reads,
        read_every=made.choice((1, 1, 1, 5)) if fix == "remove item" else 1,
        read_pinned=machine.pinned_scalar,
    )
    training = replace(training, **habits(made))
    low, high = RATIOS[regime]
    host = host_us(compute(training)) * machine.host_scale
    training = scaled(training, made.uniform(low, high) * host)
    device = sum(kernel.us for kernel in kernels_in(compute(training)))
    needed = fix in ("workers", "pinned") or regime in ("input", "copy")
    if not needed and made.random() < 0.5:
        return training
    given = loader(made, machine, regime, max(host, device))
    if fix == "pinned" and made.random() < 0.6:  # a thread pins, where workers make the batches
        given = replace(given, workers=made.choice((2, 4)))
    return replace(training, loader=given)


def habits(made: random.Random) -> dict[str, float]:
    """Some scripts log now and then, in some the batches differ in size."""
    found: dict[str, float] = {}
    if made.random() < 0.3:
        found |= {"log_every": made.choice((5, 10, 20)), "log_us": made.uniform(50.0, 500.0)}
    if made.random() < 0.2:
        found["uneven"] = made.uniform(0.03, 0.2)
    return found


def loader(made: random.Random, machine: Machine, regime: str, rest_us: float) -> Loader:
    """A loader that takes its regime's share of the step."""
    share = made.uniform(0.4, 2.5) if regime == "input" else made.uniform(0.02, 0.2)
    batch_us = max(25.0, share * rest_us / machine.host_scale)
    copied = made.uniform(0.3, 1.5) if regime == "copy" else made.uniform(0.005, 0.12)
    size = int(copied * rest_us * machine.pageable_rate)
    operators = made.choice((0, 8, 32, 64)) if batch_us > 150 else made.choice((0, 4))
    return Loader(batch_us, max(2_048, size), operators=operators)


def scaled(training: Training, device_us: float) -> Training:
    """The training with kernels that together run for ``device_us``, none shorter than a launch's least."""
    weights = sum(kernel.us for each in training.layers for _, kernel in (*each.forward, *each.backward))
    factor = device_us / weights

    def one(each: Layer) -> Layer:
        return replace(each, forward=bigger(each.forward, factor), backward=bigger(each.backward, factor))

    update = replace(training.update, us=max(training.update.us, 0.2 * factor))
    return replace(training, layers=tuple(one(each) for each in training.layers), update=update)


def bigger(kernels: tuple[tuple[str, Kernel], ...], factor: float) -> tuple[tuple[str, Kernel], ...]:
    """The kernels, each ``factor`` times as long."""
    return tuple((name, replace(kernel, us=max(SHORTEST_US, factor * kernel.us))) for name, kernel in kernels)
