"""Steps and the window."""

from stallscope.analysis.stages.where.steps import find_window
from tests.builders import TraceBuilder


def test_window_runs_from_first_start_to_last_end():
    """Three steps of 1 ms with a gap make a window of 3.2 ms and three durations."""
    trace = TraceBuilder().step(0, 1000).step(1000, 1000).step(2200, 1000).trace()
    window = find_window(trace)
    assert (window.count, window.length) == (3, 3_200_000)
    assert (window.step_ends - window.step_starts).tolist() == [1_000_000] * 3


def test_later_step_wins_an_overlap():
    """A step that runs into the next one ends where the next begins."""
    window = find_window(TraceBuilder().step(0, 1100).step(1000, 1000).trace())
    assert (window.step_ends - window.step_starts).tolist() == [1_000_000, 1_000_000]


def test_without_steps_the_window_holds_all_activity():
    """It runs from the first operator to the end of the last kernel; annotations and Python do not stretch it."""
    trace = TraceBuilder().op("a", 10, 5).launch(12, 2, kernel=("k", 30, 10)).annotation("x", 0, 99).trace()
    window = find_window(trace)
    assert (window.from_steps, window.count, window.length) == (False, 1, 30_000)


def test_row_at_the_end_of_a_trace_without_steps_counts():
    """A kernel of 0 ns that starts at the very end is inside; with steps the window is half-open."""
    whole = TraceBuilder().op("a", 0, 10).kernel(("k", 10, 0)).trace()
    stepped = TraceBuilder().step(0, 10).kernel(("k", 10, 0)).trace()
    assert find_window(whole).holds(whole.events.ts_ns[whole.work.row]).tolist() == [True]
    assert find_window(stepped).holds(stepped.events.ts_ns[stepped.work.row]).tolist() == [False]


def test_a_trace_without_activity_has_an_empty_window():
    """Nothing recorded: one step of 0 ns, no exception."""
    window = find_window(TraceBuilder().annotation("x", 5, 5).trace())
    assert (window.count, window.length) == (1, 0)


def test_stub_of_a_last_step_is_named_and_left_out_of_medians():
    """A last step of 49 µs with one operator, after steps of 1 ms with four, was cut short by the recorder."""
    builder = TraceBuilder().step(0, 1000).step(1000, 1000).step(2000, 49).op("a", 2010, 5)
    for start in range(0, 2000, 250):
        builder.op("a", start, 5)
    window = find_window(builder.trace())
    assert window.whole.tolist() == [True, True, False]
    assert [(issue.name, issue.count) for issue in window.issues()] == [("short_step", 1)]


def test_quick_last_step_with_all_its_operators_is_whole():
    """A short step is no stub if as much happened in it: the first step may just have been slow."""
    trace = TraceBuilder().step(0, 9000).op("a", 1, 1).step(9000, 100).op("a", 9001, 1).trace()
    assert find_window(trace).whole.tolist() == [True, True]
