"""Causes of runs without a GPU, and that every cause says a whole sentence of advice."""

import pytest

from stallscope.analysis.causes import cpu
from stallscope.analysis.causes.case import Case
from stallscope.analysis.causes.scatter import find_scatter
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from stallscope.traces.model.manifest import Settings
from tests.analysis.answer.test_verdict import NO_GPU, facts
from tests.analysis.manifests import manifest
from tests.builders import TraceBuilder


def causes(builder):
    """Causes by name."""
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def steps(operator_us, count=1):
    """Three steps of 1 ms without a GPU, each with so many operators of that length."""
    builder = TraceBuilder(gpu=None)
    for start in (0, 1000, 2000):
        builder.step(start, 1000)
        for at in range(count):
            builder.op("aten::mm", start + 10 + at * (operator_us + 1), operator_us)
    return builder


def test_operators_that_hold_the_step_are_the_cause():
    """900 of 1000 µs in one operator: it is named, no Python, no threads."""
    found = causes(steps(900))
    assert list(found) == ["operators"]
    assert (found["operators"].cost_us, found["operators"].saves_us) == (900.0, None)
    assert found["operators"].evidence.endswith("90 % of the time. Most in aten::mm (100 %).")


def test_python_between_the_operators_is_the_cause():
    """100 of 1000 µs in operators: the rest is Python."""
    found = causes(steps(100))
    assert list(found) == ["python"]
    assert found["python"].cost_us == 900.0


def test_small_operators_ask_for_fewer_threads_and_a_larger_batch():
    """50 operators of 15 µs: both are said, Python is not, for it holds a quarter."""
    assert set(causes(steps(15, 50))) == {"too_many_threads", "operators"}


def test_loading_in_the_training_process_is_advised_in_a_sentence():
    """600 of 1000 µs in the DataLoader: workers, by code."""
    builder = steps(100)
    for start in (200, 1200, 2200):
        builder.dataloader(start, 600)
    found = causes(builder)
    assert found["loader_main_process"].cost_us == 600.0
    assert found["loader_main_process"].advice.endswith(".")
    assert "python" not in found


def advice(**changes):
    """The advice of causes in a run without a GPU of these facts."""
    stages = analyse(TraceBuilder(gpu=None).step(0, 560).trace())
    case = Case(stages=stages, facts=facts(**NO_GPU, **changes), manifest=None, replayed=None, kind="cpu")
    return [claim.cause.advice for claim in cpu.find(case)]


@pytest.mark.parametrize(
    ("operator_us", "said"), [(300, ["loader_main_process", "operators"]), (245, ["loader_main_process"])]
)
def test_what_is_specific_comes_before_operators_that_are_blamed_from_half_the_step_on(operator_us, said):
    """Loading at 25 % can be saved; of operators at 60 % that cannot be said, and at 49 % nobody blames them."""
    builder = TraceBuilder(gpu=None).step(0, 1000).dataloader(0, 250)
    builder.op("aten::mm", 260, operator_us).op("aten::mm", 600, operator_us)
    assert list(causes(builder)) == said


@pytest.mark.parametrize("trains", [True, False])
def test_what_processes_exchange_is_a_cause(trains):
    """61 % in collectives: exchange less often; what gathers gradients is advice for a training alone."""
    found = advice(step_us=1000.0, communication_us=610.0, operator_us=150.0, operators=2, trains=trains)
    assert [text for text in found if "Exchange less often" in text]
    assert any("no_sync()" in text for text in found) is trains


@pytest.mark.parametrize(
    ("threads", "said"),
    [(1, []), (2, ["torch.set_num_threads(1) instead of 2"]), (None, ["torch.set_num_threads(1)"])],
)
def test_one_thread_is_no_advice_where_one_thread_is_set(threads, said):
    """Operators of 7.5 µs: fewer threads may help, unless there is but one."""
    assert [text.partition(" may help")[0] for text in advice(threads=threads) if "set_num_threads" in text] == said


def test_operators_that_scatter_wildly_are_told_to_use_one_thread():
    """Five steps with the same aten::mm: 1 ms once and 4 ms four times, 12 of 17 ms beyond the fastest: 71 %."""
    builder = TraceBuilder(gpu=None)
    for number, took in enumerate((4000, 4000, 1000, 4000, 4000)):
        builder.step(number * 5000, 5000).op("aten::mm", number * 5000, took)
    assert find_scatter(analyse(builder.trace())) == pytest.approx(12 / 17)
    run = {"step_us": 5000.0, "operator_us": 3400.0, "operators": 1}
    said = [
        any("set_num_threads" in text for text in advice(**run, scatter=scatter, threads=threads))
        for scatter, threads in ((12 / 17, 2), (12 / 17, 1), (12 / 17, None), (0.5, 2))
    ]
    assert said == [True, False, False, False]


def test_scatter_is_not_known_of_few_steps_or_of_calls_that_differ():
    """Four steps are too few; steps that call an operator once and twice have no same calls."""
    few, uneven = TraceBuilder(gpu=None), TraceBuilder(gpu=None)
    for number in range(4):
        few.step(number * 100, 100).op("aten::mm", number * 100, 10)
    for number in range(5):
        uneven.step(number * 100, 100).op("aten::mm", number * 100, 10)
    uneven.op("aten::mm", 50, 10)
    assert [find_scatter(analyse(builder.trace())) for builder in (few, uneven)] == [None, None]


def manifest_with(threads=None, cores=2, **settings):
    """The manifest of a run with so many threads, and these settings."""
    return manifest(threads=threads, cores=cores, settings=Settings(**settings))


@pytest.mark.parametrize(("threads", "said"), [(64, True), (2, False)])
def test_more_threads_than_cores(threads, said):
    """64 threads on 2 cores are the first cause; 2 on 2 are none."""
    summary = summarize(steps(900).trace(), manifest_with(threads))
    assert (summary.causes[0].name == "too_many_threads") == said
    if said:
        assert summary.causes[0].evidence.startswith("64 threads share 2 cores")


def test_what_is_left_on_for_debugging_is_said_on_a_cpu_too():
    """Blocking launches and anomaly detection, by what the environment and torch say."""
    found = {cause.name for cause in summarize(steps(900).trace(), manifest_with(launch_blocking=True)).causes}
    assert "launch_blocking" in found
    assert "anomaly_mode" in {c.name for c in summarize(steps(900).trace(), manifest_with(anomaly=True)).causes}
    assert not {"launch_blocking", "anomaly_mode"} & set(causes(steps(900)))


@pytest.mark.parametrize(("kind", "us", "said"), [
    ("double", 900, "float64"),
    ("float", 900, None),  # 2 * 64 * 512 * 512 operations in 0.9 ms: 37 GFLOP/s
    ("float", 90_000, "subnormal_numbers"),  # 0.4 GFLOP/s
])  # fmt: skip
def test_products_in_float64_or_far_too_slow(kind, us, said):
    """By the shapes and types of the products; a product that is as fast as usual says nothing."""
    builder = TraceBuilder(gpu=None)
    shapes = {"Input Dims": [[64, 512], [512, 512]], "Input type": [kind, kind], "Concrete Inputs": ["", ""]}
    for step in range(3):
        builder.step(step * (us + 50), us + 50).op("aten::mm", step * (us + 50) + 10, us, **shapes)
    found = list(causes(builder))
    assert found == ([said, "operators"] if said else ["operators"])


def test_many_operators_in_a_loop_are_not_the_operators_themselves():
    """400 operators of 40 µs a step: a loop; the same in 40 operators of 400 µs is the work itself."""
    for count, us, title in ((400, 40, "many small operators"), (40, 400, "the operators themselves")):
        builder = TraceBuilder(gpu=None)
        for start in (0, 20_000, 40_000):
            builder.step(start, 20_000)
            for at in range(count):
                builder.op("aten::mm", start + 10 + at * (us + 1), us)
        assert causes(builder)["operators"].title == title
