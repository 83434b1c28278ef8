"""What changes from step to step: work that comes back, work that grows, the collector of garbage."""

import pytest

from stallscope.analysis.summary import summarize
from stallscope.traces.model.manifest import Window
from tests.analysis.manifests import manifest
from tests.builders import TraceBuilder


def causes(work, steps, length=lambda _: 1000):
    """Causes by name of a loop without a GPU; ``work`` adds what a step holds; ``length``: of step n, µs."""
    builder, at = TraceBuilder(gpu=None), 0.0
    for number in range(steps):
        builder.step(at, length(number))
        work(builder, at, number)
        at += length(number)
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def plain(builder, at, _number):
    """One operator of 800 µs."""
    builder.op("aten::mm", at + 50, 800)


def test_a_step_that_takes_longer_every_fourth_time():
    """Steps of 1 ms, each fourth of 5 ms with an operator that only these hold: named by both."""

    def work(builder, at, number):
        plain(builder, at, number)
        if number % 4 == 3:
            builder.op("my::evaluate", at + 900, 3900)

    found = causes(work, 20, lambda number: 5000 if number % 4 == 3 else 1000)["periodic"]
    assert found.title == "every 4th step takes longer"
    assert found.saves_us == pytest.approx(1000)  # 4 ms in each fourth step
    assert "Only these run my::evaluate." in found.evidence


def test_one_long_step_is_not_periodic():
    """The eleventh of 20 takes 5 ms."""
    assert "periodic" not in causes(plain, 20, lambda number: 5000 if number == 10 else 1000)


def test_two_long_steps_whose_distance_does_not_come_back_are_not_periodic():
    """The 10th and the 21st of 39 take 3 ms: the 32nd would have to."""
    assert "periodic" not in causes(plain, 39, lambda number: 3000 if number in {9, 20} else 1000)


def test_a_step_that_does_more_each_time_grows():
    """One operator more in each of ten steps."""

    def work(builder, at, number):
        for place in range(10 + number):
            builder.op("aten::add", at + 50 + 20 * place, 15)

    found = causes(work, 10)["growth"]
    assert found.evidence == "10 operators in the first of 10 recorded steps, 19 in the last."


def test_steps_that_are_alike_do_not_grow():
    """Ten operators each, and eleven in the last."""

    def work(builder, at, number):
        for place in range(10 + (number == 9)):
            builder.op("aten::add", at + 50 + 20 * place, 15)

    assert "growth" not in causes(work, 10)


def test_the_collector_of_garbage_by_its_own_rows():
    """A row "Python GC" of 130 µs in every other step."""

    def work(builder, at, number):
        plain(builder, at, number)
        if number % 2:
            builder.python("Python GC", at + 860, 130)

    assert "gc.freeze()" in causes(work, 10)["gc_pause"].advice
    assert "gc_pause" not in causes(plain, 10)


def growing(first, each):
    """Causes of ten steps of 2 ms on a GPU: ten operators of 50 µs, and as many more as the step's number says."""
    builder, at = TraceBuilder(), 0.0
    for number in range(first, first + 10):
        names = ["aten::mm"] * 10 + ["aten::add"] * (each * number)
        builder.step(at, 60 * len(names) + 20, number)
        for place, name in enumerate(names):
            start = at + 10 + 60 * place
            builder.op(name, start, 50).launch(start + 40, 5, kernel=("k", start + 48, 2))
        at += 60 * len(names) + 20
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def test_what_grows_is_counted_from_the_training_s_first_step():
    """Steps 6 to 15 go through as many values as their number: all of that time, 0.6 of 1.2 ms, is the growth's."""
    found = growing(6, 1)
    assert next(iter(found)) == "growth"
    assert found["growth"].saves_us == pytest.approx(10.5 * 60, rel=0.1)
    assert found["launching"].saves_us < 700  # what grows is not blamed again


@pytest.mark.parametrize(("regular", "said"), [(True, True), (False, False)])
def test_two_long_steps_of_twenty_need_those_without_the_profiler_to_agree(regular, said):
    """500 steps beside them tell whether every ninth is long; where they tell of nothing, two long ones were chance."""
    builder = TraceBuilder(gpu=None)
    at = 0
    for number in range(20):
        length = 3000 if number in {5, 14} else 1000
        builder.step(at, length).op("aten::mm", at + 10, 200)
        at += length
    window = Window(
        kind="unprofiled", round="full", first_step=0, steps=500, duration_ns=1,
        samples_ns=[3_000_000 if regular and n % 9 == 5 else 1_000_000 + n % 7 for n in range(500)],
    )  # fmt: skip
    names = [cause.name for cause in summarize(builder.trace(), manifest(windows=[window])).causes]
    assert ("periodic" in names) == said
