"""The pairs that forecasts are held against: what they are, and that the simulated world behaves as the real one."""

from __future__ import annotations

from collections import Counter

from tests.evidence.simulator.fixes import FIXES, REGIMES
from tests.evidence.simulator.machine import Machine, drawn
from tests.evidence.simulator.pairs import pairs
from tests.evidence.simulator.program import Every, Instruction, Kernel, Launch, Loop, Work, item
from tests.evidence.simulator.run import Process


def test_every_fix_meets_every_regime_in_which_it_is_asked_for() -> None:
    """240 pairs: 48 of each fix, and all six regimes."""
    made = list(pairs("held-out", 240))
    assert Counter(one.fix for one in made) == dict.fromkeys((fix.name for fix in FIXES), 48)
    assert {one.regime for one in made} == set(REGIMES)
    for fix in FIXES:
        assert {one.regime for one in made if one.fix == fix.name} == set(fix.regimes)


def test_the_splits_share_nothing() -> None:
    """No machine and no training of the development pairs is among the held-out ones."""
    development, held_out = list(pairs("development", 60)), list(pairs("held-out", 60))
    assert not {one.machine for one in development} & {one.machine for one in held_out}
    assert not {one.training for one in development} & {one.training for one in held_out}


def test_a_pair_depends_on_its_number_alone() -> None:
    """The twelfth pair is the same alone and after others, to the byte of its trace and the ns of its steps."""
    first, second = ([*pairs("development", 13)][12] for _ in range(2))
    assert second.after_ns == first.after_ns
    assert (first.before_ns, first.trace) == (second.before_ns, second.trace)


def test_recording_inflates_launch_bound_steps_most() -> None:
    """The profiled step of a launch-bound training is 1.1 to 2 times the unprofiled one, of a device-bound one 1.0."""
    small = (*(Work(12.0), Launch(Kernel("k", 2.0))) * 30, Work(10.0))
    large = (*(Work(12.0), Launch(Kernel("k", 200.0))) * 30, Work(10.0))
    assert 1.05 < inflation(small) < 2.0
    assert 0.97 < inflation(large) < 1.03


def inflation(step: tuple[Instruction, ...]) -> float:
    """Profiled over unprofiled step time."""
    process = Process(Loop(step), drawn("inflation"), "inflation")
    plain = process.step_ns(200)
    rows = process.record(40).rows
    steps = [row for row in rows if row.name.startswith("ProfilerStep#")]
    return (rows[-1].end - steps[0].begin) / 40 / plain


# --- the founding case ------------------------------------------------------------------------------


def founding(every: int | None) -> float:
    """Unprofiled step of 20 kernels of 1.5 µs at 27 µs of host work each, a read each ``every`` steps; µs."""
    machine = Machine(host_scale=1.0)
    read: tuple[Instruction, ...] = () if every is None else (Work(4.0), Every(every, (Work(8.0), item())))
    step = ((Work(27.0 - machine.launch_us), Launch(Kernel("k", 1.5))) * 20) + read
    return Process(Loop(step), machine, "founding").step_ns(2_000) / 1000


def test_reading_the_loss_less_often_hardly_helps_the_founding_case() -> None:
    """540 µs of host work a step: reading each step adds about 7 %, and from each 100th step on nothing is left."""
    each, hundredth, rare = founding(1), founding(100), founding(2_000)
    assert 535 < rare < 560
    assert 1.03 < each / rare < 1.12
    assert 0.985 < hundredth / rare < 1.015
