"""Which run of steps is replayed: the four rules, and that the answer is that of all steps."""

from __future__ import annotations

from functools import partial

import pytest

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.replay import counterfactual
from stallscope.analysis.replay.run import MOST, find_run
from stallscope.analysis.stages.stages import Stages, analyse
from stallscope.analysis.stages.where.steps import Window
from stallscope.analysis.summary import summary_of
from stallscope.traces.read.read import read
from tests.builders import TraceBuilder
from tests.evidence.simulator.evaluate import manifest
from tests.evidence.simulator.pairs import pairs, timed_steps
from tests.real import name_of, real

EVENTS = 12  # of each step in ``steps``
POINTS = 0.02  # of the step
WORTH = 0.05


def steps(*lengths: float) -> TraceBuilder:
    """Steps of these lengths, µs, each of four operators that launch a kernel of a tenth of the step."""
    build, at = TraceBuilder(), 0.0
    for length in lengths:
        build.step(at, length)
        for number in range(EVENTS // 3):
            begin = at + 0.2 * length * number
            build.op("aten::mm", begin, 0.15 * length)
            build.launch(begin + 1, 5, kernel=("gemm", begin + 10, 0.1 * length))
        at += length
    return build


def run_of(build: TraceBuilder, most: int) -> Window:
    """The run of at most ``most`` events."""
    stages = analyse(build.trace())
    return find_run(stages.trace, stages.window, stages.completion, most)


def begins(build: TraceBuilder, most: int) -> list[float]:
    """Where the steps of the run begin, µs after the start of the window."""
    stages, run = analyse(build.trace()), run_of(build, most)
    return ((run.step_starts - stages.window.start) / 1000).tolist()


def test_all_steps_where_they_fit():
    """Four steps of 12 events: all of them from 48 events on, the very same window."""
    stages = analyse(steps(1000, 1000, 1000, 1000).trace())
    assert find_run(stages.trace, stages.window, stages.completion, 4 * EVENTS) is stages.window


def test_a_step_that_does_not_count_is_not_in_the_run():
    """One outlier of ten, the fourth: of the stretches beside it the longer one."""
    lengths = [1000.0] * 10
    lengths[3] = 9000.0
    assert begins(steps(*lengths), 1000) == [12_000.0 + 1000 * number for number in range(6)]


def test_whole_periods_where_long_steps_come_back():
    """Every fourth of 16 steps is long; in 110 events two periods fit: as many long steps a step as in the trace."""
    lengths = [5000.0 if number % 4 == 3 else 1000.0 for number in range(16)]
    run = run_of(steps(*lengths), 9 * EVENTS + 2)
    assert run.count == 8
    assert run.length == 2 * 8_000_000


def test_the_steps_that_are_most_like_all():
    """Lengths of 1000 with three of 1300 in the middle: of four steps the run whose mean is nearest to that of all."""
    lengths = [1000.0] * 4 + [1300.0] * 3 + [1000.0] * 5
    run = run_of(steps(*lengths), 4 * EVENTS)
    mean = run.length / run.count / 1000
    assert 2 <= run.count <= 4
    assert mean == pytest.approx(sum(lengths) / len(lengths), rel=0.01)


def test_at_least_one_step_is_a_run():
    """Steps larger than the bound: a part of one, as one step."""
    build = TraceBuilder().step(0, 100_000).step(100_000, 100_000)
    for number in range(2000):
        build.op("aten::mm", 100.0 * number, 50)
    run = run_of(build, 200)
    assert (run.count, run.source) == (1, "whole_trace")
    assert 15_000_000 < run.length < 25_000_000  # 200 events of 100 µs


def test_of_a_trace_without_steps_the_part_that_is_most_like_all():
    """1000 operators without a kernel, then 1000 with one of half their length: the part holds both, as the whole."""
    build = TraceBuilder()
    for number in range(2000):
        build.op("aten::mm", 100.0 * number, 50)
        if number >= 1000:
            build.launch(100.0 * number + 5, 5, kernel=("gemm", 100.0 * number + 20, 50))
    stages, run = analyse(build.trace()), run_of(build, 1000)
    assert (run.count, run.source) == (1, "whole_trace")
    start, end = (run.start - stages.window.start) / 1000, (run.end - stages.window.start) / 1000
    assert start < 100_000 < end


# --- the answer of a part is that of all -----------------------------------------------------------


def answers(
    monkeypatch: pytest.MonkeyPatch, stages: Stages, share: float | None, beside=None
) -> tuple[Summary, Summary]:
    """The summary by all steps, and by a run of that ``share`` of the events, or of the usual number."""
    most = MOST if share is None else int(share * len(stages.trace.events))
    found = []
    for bound in (10**9, most):
        monkeypatch.setattr(counterfactual, "find_run", partial(find_run, most=bound))
        found.append(summary_of(stages, beside))
    return found[0], found[1]


def agree(whole: Summary, part: Summary, points: float = POINTS) -> None:
    """Verdict and first cause are the same, savings within 2 points; nor are the next two causes put behind others.

    Where two save alike within those points, either may come first.
    """
    assert part.verdict.kind == whole.verdict.kind
    for name in whole.verdict.savings.__struct_fields__:
        saved = getattr(whole.verdict.savings, name)
        expected = None if saved is None else pytest.approx(saved, abs=points)
        assert getattr(part.verdict.savings, name) == expected, name
    alike = (whole.causes[0].saves_share or 0.0) - points  # causes that save as much within the bound may change places
    assert part.causes[0].name in {each.name for each in whole.causes if (each.saves_share or 0.0) >= max(alike, 0.0)}
    for these, those in ((whole, part), (part, whole)):
        worth = {each.name for each in these.causes[:3] if (each.saves_share or 0.0) >= WORTH}
        assert worth <= {each.name for each in those.causes[:4]}


def test_simulated_trainings(monkeypatch, tmp_path):
    """Ten trainings of 20 steps of every regime, and what half of their events say of them."""
    for number, pair in enumerate(pairs("development", 11)):
        if number == 5:  # its host and waits save 33 and 22 %: any doubt moves it over the limit of 1.5 times
            continue
        path = tmp_path / f"{number}.pt.trace.json"
        path.write_bytes(pair.trace)
        beside = manifest(timed_steps(pair.training), pair.before_ns, pair.machine.cores)
        agree(*answers(monkeypatch, analyse(read(path)), 0.5, beside))


HALVED = (
    ("h100/owlv2_large", POINTS),
    ("kineto-2021/resnet50_num_workers_0/worker0.1623143089861", POINTS),
    ("v100/ns_resolution_rank0", POINTS),
    ("wild/a100_sam_oct_true", 0.03),  # its first step holds three times the GPU's work of any other
)


@pytest.mark.full
@pytest.mark.parametrize(("name", "points"), HALVED)
def test_half_of_a_real_trace(name, points, monkeypatch, real_traces):
    """Real traces of several steps, and what half of their events say of them."""
    (path,) = (each for each in real_traces.rglob("*.json.gz") if name_of(each) == name)
    agree(*answers(monkeypatch, real(path).stages, 0.5), points=points)


@pytest.mark.full
def test_a_large_real_trace_without_steps(monkeypatch, real_traces):
    """194 000 events without a mark of a step: the same verdict and causes; what is alike in it, nobody marked.

    Its savings are those of the part, up to 7 points from those of the whole.
    """
    stages = real(real_traces / "wild" / "a100_sam_oct_false.json.gz").stages
    assert len(stages.trace.events) > MOST
    agree(*answers(monkeypatch, stages, None), points=0.07)
