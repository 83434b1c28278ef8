"""Iterations where no step is marked: by optimizer steps, fetches, annotations, and inside one marked step."""

from stallscope.analysis.stages.where.steps import find_window
from tests.builders import TraceBuilder


def bounds(builder):
    """(what marks the steps, their bounds in µs from the first operator's start)."""
    trace = builder.trace()
    window = find_window(trace)
    zero = int(trace.events.ts_ns.min())
    starts = [(start - zero) // 1000 for start in window.step_starts.tolist()]
    return window.source, [*starts, (window.end - zero) // 1000]


def test_optimizer_steps_bound_iterations():
    """Optimizer steps end at 90, 190 and 290 µs: two whole iterations between them; what is before is start-up."""
    builder = TraceBuilder().op("aten::mm", 0, 10)
    for start in (70, 170, 270):
        builder.annotation("Optimizer.step#SGD.step", start, 20)
    window = find_window(builder.op("aten::tail", 300, 10).trace())
    assert bounds(builder) == ("optimizer", [90, 190, 290])
    assert (window.startup, window.shutdown) == (90_000, 20_000)


def test_an_iteration_begins_with_the_fetch_after_an_optimizer_step():
    """Fetches at 0, 100, 200; optimizer steps end at 80, 180, 280: the last iteration ends with its optimizer step."""
    builder = TraceBuilder()
    for start in (0, 100, 200):
        builder.dataloader(start, 10).annotation("Optimizer.step#SGD.step", start + 60, 20)
    assert bounds(builder) == ("optimizer", [0, 100, 200, 280])


def test_fetches_bound_iterations_without_an_optimizer():
    """Three fetches of an evaluation: two whole iterations."""
    builder = TraceBuilder()
    for start in (0, 100, 200):
        builder.dataloader(start, 10).op("aten::mm", start + 20, 60)
    assert bounds(builder) == ("dataloader", [0, 100, 200])


def test_an_annotation_that_comes_back_bounds_iterations():
    """Ranges that differ in their number only and hold 80 of each 100 µs are the loop's body; a single one is none."""
    builder = TraceBuilder().op("aten::mm", 0, 5)
    for number in range(3):
        builder.annotation(f"iteration {number}", 100 * number, 80)
    assert bounds(builder) == ("annotation", [0, 100, 200, 280])
    assert bounds(TraceBuilder().op("aten::mm", 0, 5).annotation("all", 0, 80))[0] == "whole_trace"


def test_a_number_that_does_not_count_is_part_of_the_name():
    """Six ranges "masks 0 0" and one short "masks 0 1" after them: six iterations, the last range is none."""
    builder = TraceBuilder().op("aten::mm", 0, 5)
    for number in range(6):
        builder.annotation("masks 0 0", 100 * number, 80)
    assert bounds(builder.annotation("masks 0 1", 590, 3)) == ("annotation", [0, 100, 200, 300, 400, 500, 580])


def test_one_marked_step_that_holds_several_optimizer_steps_is_looked_into():
    """A ProfilerStep of 400 µs with three optimizer steps is no iteration; one with a single one is."""
    builder, plain = TraceBuilder().step(0, 400), TraceBuilder().step(0, 400)
    for start in (70, 170, 270):
        builder.annotation("Optimizer.step#SGD.step", start, 20)
    assert bounds(builder) == ("optimizer", [90, 190, 290])
    assert bounds(plain.annotation("Optimizer.step#SGD.step", 70, 20)) == ("profiler_step", [0, 400])


def test_of_two_optimizers_one_marks():
    """Two networks are stepped in turn in each of three marked steps: a step stays an iteration."""
    builder = TraceBuilder()
    for start in (0, 100, 200):
        builder.step(start, 100).annotation("Optimizer.step#Adam.step", start + 40, 10)
        builder.annotation("Optimizer.step#SGD.step", start + 70, 10)
    assert bounds(builder) == ("profiler_step", [0, 100, 200, 300])


def test_nothing_that_repeats_is_the_whole_trace():
    """Two operators: one window, no step."""
    assert bounds(TraceBuilder().op("aten::mm", 0, 10).op("aten::add", 20, 10)) == ("whole_trace", [0, 30])
