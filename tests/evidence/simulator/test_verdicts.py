"""The true verdict of a simulated run follows the rule of the design, on steps as the catalogue defines them."""

from __future__ import annotations

import pytest

from tests.evidence.simulator import program as p
from tests.evidence.simulator.faults.verdicts import CLASSES, judged, verdict
from tests.evidence.simulator.machine import exact
from tests.evidence.simulator.program import Kernel, Launch, Loop, Work
from tests.evidence.simulator.run import Process

NONE = dict.fromkeys(CLASSES, 0.0)


def saved(pair: float, **shares: float) -> set[str]:
    """The verdicts where any two classes together save ``pair``."""
    kinds = {name: frozenset({name}) for name in CLASSES}
    return set(judged(kinds, lambda free: pair if len(free) > 1 else {**NONE, **shares}[min(free)]))


def test_verdicts_follow_the_rule_and_near_a_limit_both_sides_are_right() -> None:
    """50 and 10 %: bound. 30 and 25, together 50: mixed. 8 and 5: balanced. 30 and 21: either."""
    assert list(verdict("compute", "host", {**NONE, "compute": 0.5, "host": 0.1}, lambda *_: 0.6)) == ["compute-bound"]
    assert saved(0.6, compute=0.6, host=0.1) == {"compute-bound"}
    assert saved(0.5, sync=0.30, host=0.29) == {"mixed(sync, host)", "mixed(host, sync)"}
    assert saved(0.1, sync=0.05, host=0.04) == {"balanced"}
    assert saved(0.5, sync=0.30, host=0.21) == {"sync-bound", "mixed(sync, host)"}


def test_mixed_names_what_saves_most_together_with_the_first() -> None:
    """Loading and the host save 14 % each and together; with the GPU's own work loading saves 45 %: these two."""

    def joint(_: str, other: str) -> float:
        return 0.45 if other == "compute" else 0.14

    assert list(verdict("input", "host", {**NONE, "input": 0.14, "host": 0.14}, joint)) == ["mixed(input, compute)"]
    assert list(verdict("input", "host", {**NONE, "input": 0.14, "host": 0.14}, lambda *_: 0.14)) == ["balanced"]


def process(*body: p.Instruction, free: frozenset[str] = frozenset()) -> Process:
    """A run of that step on a machine without chance."""
    return Process(Loop(body), exact(), "slope", free=free)


def test_a_step_is_the_slope_of_completion() -> None:
    """A kernel of 1 ms started in 60 µs: a step takes 1 ms and a gap, without the time in which the queue drains."""
    step = (Work(60.0), Launch(Kernel("gemm", 1000.0)))
    assert process(*step).slope_ns(3) == pytest.approx(1_001_200, abs=300)
    assert process(*step).profiled_ns(3) > 1_020_000


def test_what_a_synchronize_costs_goes_with_it() -> None:
    """With the host free its calls still cost what they cost; with waits free they do not."""
    step = (Work(60.0), *[p.Wait()] * 100)
    calls = process(*step, free=frozenset({"host"})).slope_ns(3)
    assert calls > 200_000
    assert process(*step, free=frozenset({"sync"})).slope_ns(3) == pytest.approx(60_000, rel=0.01)
