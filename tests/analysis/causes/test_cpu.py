"""Causes of runs without a GPU, and that every cause says a whole sentence of advice."""

from stallscope.analysis.summary import summarize
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
    assert (found["operators"].cost_us, found["operators"].advice) == (
        900.0,
        "The time is in the operators themselves: see the table below for the largest.",
    )


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
