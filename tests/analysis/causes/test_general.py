"""What no specific cause explains: launching, Python, operators; by shares of the time where nothing is replayed."""

import pytest

from stallscope.analysis.causes import general
from stallscope.analysis.causes.case import Case
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from tests.analysis.answer.test_verdict import facts
from tests.builders import TraceBuilder


def by_rule(kind="launch-bound", **changes):
    """Causes by name where a step with these facts is not replayed."""
    stages = analyse(TraceBuilder().step(0, 560).launch(10, 5, kernel=("k", 20, 2)).trace())
    case = Case(stages=stages, facts=facts(**changes), manifest=None, replayed=None, kind=kind)
    return {claim.cause.name: claim.cause for claim in general.find(case)}


def loop(work, steps=4):
    """Causes by name of a loop of steps of 1 ms; ``work`` puts into a builder what one holds, from a time on."""
    builder = TraceBuilder()
    for number in range(steps):
        builder.step(number * 1000, 1000)
        work(builder, number * 1000)
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def launches(builder, at):
    """Twenty operators of 45 µs one after the other, each starting a kernel of 2 µs."""
    for number in range(20):
        start = at + 5 + 49 * number
        builder.op("aten::add", start, 45).launch(start + 35, 5, kernel=("add", start + 42, 2))


def test_many_small_kernels_are_launching():
    """Twenty kernels of 2 µs, prepared in 45 µs each: most of the step goes if starting them cost nothing."""
    found = loop(launches)
    assert next(iter(found)) == "launching"
    assert found["launching"].saves_share > 0.8
    assert found["launching"].fix == "cuda_graph"
    assert "reduce-overhead" in found["launching"].advice


def test_a_busy_gpu_is_not_launching():
    """One kernel of 900 µs a step, started in 10: nothing of the host is a cause."""
    found = loop(lambda builder, at: builder.launch(at + 10, 5, kernel=("gemm", at + 20, 950)).sync(at + 20, 955))
    assert not {"launching", "operators", "python"} & set(found)


def test_long_stretches_without_an_operator_are_python():
    """600 µs of the main thread in nothing that was recorded, then 20 launches at once: Python, before launching."""

    def work(builder, at):
        for number in range(20):
            start = at + 605 + 19 * number
            builder.op("aten::add", start, 17).launch(start + 10, 5, kernel=("add", start + 16, 1))

    found = loop(work)
    assert next(iter(found)) == "python"
    assert found["python"].cost_us == pytest.approx(600, abs=30)
    assert found["python"].saves_us == pytest.approx(600, abs=30)


def test_short_stretches_between_launches_are_launching_and_no_python():
    """19 pauses of 25 µs between operators of 20: that is how long Python takes to prepare a launch."""

    def work(builder, at):
        for number in range(20):
            start = at + 5 + 48 * number
            builder.op("aten::add", start, 20).launch(start + 10, 5, kernel=("add", start + 17, 1))

    assert "python" not in loop(work)


def test_without_a_replay_the_class_that_the_verdict_names_is_the_cause():
    """At what it costs; what it would save is not known; and nothing where no class stands out."""
    assert [list(by_rule(kind)) for kind in ("launch-bound", "communication-bound", "copy-bound", "balanced")] == [
        ["launching"],
        ["communication"],
        ["copy"],
        [],
    ]
    launching = by_rule()["launching"]
    assert (launching.cost_us, launching.saves_us) == (489.0, None)
    assert list(by_rule("host-bound", launches=3, kernels=3)) == ["operators"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, True),
        ({"trains": False}, False),  # inference
        ({"gpus": 2}, False),
        ({"communication_us": 1.0}, False),
        ({"kernel_sum_us": 19 * 6.0}, False),  # kernels of 6 µs
        ({"step_us": 4000.0, "busy_us": 1001.0}, False),
        ({"from_steps": False}, False),
    ],
)
def test_the_cpu_is_an_alternative_only_to_training_with_next_to_no_gpu_work(changes, said):
    """One GPU, a backward pass, kernels of 5 µs and 1 ms of GPU work a step at most."""
    advice = by_rule(**{"trains": True, **changes})["launching"].advice
    assert "larger batch" in advice
    assert ("faster on the CPU" in advice) is said


def test_without_operators_in_the_file_the_time_between_calls_is_not_called_python():
    """Launches 400 µs apart in a file that holds calls and kernels alone: operators may have run there."""
    found = loop(
        lambda builder, at: [builder.launch(at + 400 * n, 5, kernel=("k", at + 400 * n + 9, 2)) for n in (0, 1)]
    )
    assert "python" not in found
    assert found["operators"].saves_share > 0.9


@pytest.mark.parametrize(("python_us", "forecast"), [(9000, False), (0, True)])
def test_a_larger_batch_is_forecast_unless_python_is_the_step(python_us, forecast):
    """Twenty launches, then 9 ms of Python that may grow with the batch: no forecast; without it there is one."""
    builder, length = TraceBuilder(), 1000 + python_us
    for number in range(6):
        at = number * length
        builder.step(at, length)
        for place in range(20):
            start = at + 5 + 49 * place
            builder.op("aten::add", start, 45).launch(start + 35, 5, kernel=("add", start + 42, 2))
    summary = summarize(builder.trace())
    (made,) = [each for each in summary.what_if if each.fix.startswith("larger_batch")]
    assert (made.step_us is not None) is forecast
    assert ("larger_batch" in {bar for cause in summary.causes for bar in cause.bars}) is not forecast
