"""The budget of a part holds, whatever its experiments cost, and what was measured within it is kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stallscope.traces.model.manifest import Machine
from tests.evidence.gpu import bench, evidence, measuring
from tests.evidence.gpu.clock import Clock, TimeIsUp
from tests.evidence.gpu.experiments import DEMOS, DESIGNS, PARTS, Case, Design, of_part
from tests.evidence.gpu.pairs import REPEATS, load
from tests.lanes import one_of_a_kind
from tests.simulated_iris import SAMPLE

MACHINE = Machine(os="Linux", python="3.13", cpu="fake", cores=8, threads=8, torch="2.13.0")


class FakeClock(Clock):
    """A clock that moves when it is told to, and whose alarm rings when it passes the moment."""

    def __init__(self, budget_s: float) -> None:
        self.time, self._alarm = 1000.0, float("inf")
        super().__init__(budget_s)

    def now(self) -> float:
        """Its own time."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let the time pass; not beyond the alarm."""
        if self.time + seconds > self._alarm:
            self.time = self._alarm
            raise TimeIsUp
        self.time += seconds

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Ring after so many seconds."""
        self._alarm = self.time + seconds
        try:
            yield
        finally:
            self._alarm = float("inf")


@dataclass(frozen=True)
class Costs:
    """What a fake machine takes, in seconds."""

    make: float = 0.2
    step: float = 0.0003
    slower_after: int = 10**9  # steps of a training, from which on each takes a second
    trace: float = 2.0
    program: float = 14.0


USUAL = Costs()
COSTS = {
    "usual": USUAL,
    "compiles for ever": Costs(make=400.0),
    "slow steps": Costs(step=7.0),
    "first fast, then slow": Costs(slower_after=60),
    "slow traces": Costs(trace=300.0),
    "programs that hang": Costs(program=1e6),
    "all of it": Costs(make=20.0, step=0.9, trace=25.0, program=200.0),
}


def faked(design: Design, clock: FakeClock, costs: Costs) -> Design:
    """The design with trainings that only take time."""

    def fake(case: Case) -> Case:
        def make(_device: str) -> bench.Step:
            clock.sleep(costs.make)
            done = iter(range(10**9))
            return lambda: clock.sleep(costs.step if next(done) < costs.slower_after else 1.0)

        return replace(case, make=make, device=None, needs_gpu=False)

    return replace(design, cases=tuple(map(fake, design.cases)), needs_gpu=False)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """Gather a part on a machine of these costs; returns the clock at its end."""

    def gathered(part: int, costs: Costs, budget_s: float = evidence.BUDGET_S) -> FakeClock:
        clock = FakeClock(budget_s)

        def traced(_step: object, _device: str, path: Path, *, attribution: bool) -> None:  # noqa: ARG001
            clock.sleep(costs.trace)
            shutil.copy(SAMPLE, path)

        def called(_command: object, timeout_s: float) -> str | None:
            clock.sleep(min(costs.program, timeout_s))
            return "not done" if costs.program > timeout_s else None

        monkeypatch.setattr(measuring, "perf_counter_ns", lambda: int(clock.time * 1e9))
        monkeypatch.setattr(evidence, "collect", lambda **_: MACHINE)
        monkeypatch.setattr(bench, "traced", traced)
        monkeypatch.setattr(bench, "called", called)
        monkeypatch.setattr(evidence, "called", called)
        items = [faked(each, clock, costs) if isinstance(each, Design) else each for each in of_part(part)]
        evidence.gather(items, f"part-{part}", evidence.FULL, tmp_path, clock)
        return clock

    return gathered


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("machine", one_of_a_kind(COSTS, "all of it"))
def test_a_part_ends_within_its_budget(run, tmp_path: Path, part: int, machine: str) -> None:  # type: ignore[no-untyped-def]
    """On every machine; and each experiment and demo is either there or said to be left out."""
    assert run(part, COSTS[machine]).spent <= evidence.BUDGET_S
    (found,) = load(tmp_path / "evidence.json").parts
    assert found.complete
    names = {e.name for e in load(tmp_path / "evidence.json").experiments} | set(found.demos)
    names |= {each.partition(":")[0] for each in found.skipped}
    assert names >= {each.name for each in of_part(part)}


@pytest.mark.parametrize("part", one_of_a_kind(PARTS, 1))
def test_the_usual_machine_has_time_for_all_experiments(run, tmp_path: Path, part: int) -> None:  # type: ignore[no-untyped-def]
    """With every repeat and a trace of every case; the first two demos find time as well, and the baseline again."""
    run(part, USUAL)
    found = load(tmp_path / "evidence.json")
    assert {e.name for e in found.experiments} == {design.name for design in DESIGNS if design.part == part}
    for experiment in found.experiments:
        assert experiment.error is None
        assert all(len(variant.us_per_step) == REPEATS and variant.traces for variant in experiment.variants)
    assert len(found.parts[0].demos) == len([demo for demo in DEMOS if demo.part == part])
    assert found.parts[0].drift == 0.0


def test_experiments_too_slow_for_their_time_keep_what_they_have(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Steps that get a hundred times slower: fewer repeats, said so, and pairs that say they are doubtful."""
    run(1, COSTS["first fast, then slow"])
    found = load(tmp_path / "evidence.json")
    first = found.experiments[0]
    assert first.error == "not done within 60 s"
    assert first.cut_short
    assert all(pair.doubts for pair in found.pairs)


def test_a_small_budget_is_kept_too(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """In 80 s there is time for the first experiment, none for the longest; what is left out is said."""
    assert run(1, USUAL, 80.0).spent <= 80
    found = load(tmp_path / "evidence.json")
    assert "E1a" in {e.name for e in found.experiments}
    assert {"E1d: no time left", "iris-mlp: no time left"} <= set(found.parts[0].skipped)


def test_the_seconds_of_a_part_fit_into_its_budget() -> None:
    """Experiments at their longest, the baseline again and the last write: less than 520 s."""
    for part in PARTS:
        longest = sum(design.seconds for design in DESIGNS if design.part == part)
        assert longest + evidence.DRIFT_S + evidence.RESERVE_S < evidence.BUDGET_S < 540


# --- the alarm --------------------------------------------------------------------------------------


def test_the_alarm_ends_what_does_not_look_at_the_clock() -> None:
    """A limit of 0.1 s ends a sleep of 20 s, even one that catches every Exception; afterwards no alarm is left."""
    clock = Clock(100.0)

    def stubborn() -> None:
        for _ in range(200):
            with suppress(Exception):
                time.sleep(0.1)

    with pytest.raises(TimeIsUp), clock.limit(0.1):
        stubborn()
    assert clock.spent < 15
    with clock.limit(0.05):
        pass
    time.sleep(0.1)
