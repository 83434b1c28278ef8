"""Operators and kernels: self time, device time, nesting."""

import pytest

from stallscope.analysis.stages.issues import find_issues
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.stages.where.operators import find_kernels
from stallscope.analysis.stages.where.steps import find_window
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real


def operators_of(builder):
    """Totals by name as tuples (calls, host, self, device, launches), times in µs."""
    stages = analyse(builder.trace())
    assert stages.broken_laws() == []
    return {
        o.name: (o.calls, o.host_ns / 1000, o.self_ns / 1000, o.device_ns / 1000, o.launches)
        for o in stages.operators.totals
    }


def test_self_time_leaves_out_nested_operators_and_device_time_goes_to_the_innermost():
    """Operator linear 0–50 calls addmm 10–40, which launches a kernel of 200 µs."""
    builder = TraceBuilder().step(0, 1000).op("aten::linear", 0, 50).op("aten::addmm", 10, 30)
    builder.launch(20, 5, kernel=("gemm", 100, 200))
    assert operators_of(builder) == {
        "aten::addmm": (1, 30.0, 30.0, 200.0, 1),
        "aten::linear": (1, 50.0, 20.0, 0.0, 0),
    }


def test_recursion_counts_host_time_once():
    """Operator add inside add: two calls, host time of the outer one only, self time of both."""
    builder = TraceBuilder().step(0, 100).op("aten::add", 0, 50).op("aten::add", 10, 20)
    assert operators_of(builder) == {"aten::add": (2, 50.0, 50.0, 0.0, 0)}


def test_threads_do_not_nest_in_each_other():
    """A launch on the backward thread belongs to that thread's operator, though the main thread's spans it."""
    builder = TraceBuilder().step(0, 100).op("main", 0, 90).op("backward", 10, 20, tid=77)
    builder.launch(15, 5, kernel=("k", 30, 7), tid=77)
    assert operators_of(builder) == {"main": (1, 90.0, 90.0, 0.0, 0), "backward": (1, 20.0, 20.0, 7.0, 1)}


def test_siblings_that_touch_do_not_nest():
    """Two calls of one operator, back to back: 20 µs of outermost calls, for neither is inside the other."""
    builder = TraceBuilder().step(0, 100).op("a", 0, 10).op("a", 10, 10)
    assert operators_of(builder) == {"a": (2, 20.0, 20.0, 0.0, 0)}


def test_ranges_that_overlap_without_nesting_still_sum_to_the_time_covered():
    """0–30 and 20–50 overlap by rounding or an async range: 50 µs in all, the later one inner."""
    builder = TraceBuilder().step(0, 100).op("a", 0, 30).op("b", 20, 30)
    assert operators_of(builder) == {"b": (1, 30.0, 30.0, 0.0, 0), "a": (1, 30.0, 20.0, 0.0, 0)}


def test_times_are_clipped_to_the_window_and_calls_counted_where_they_start():
    """An operator from 20 µs before the step to 30 µs into it: 30 µs, no call."""
    builder = TraceBuilder().op("a", 80, 50).step(100, 100)
    assert operators_of(builder) == {"a": (0, 30.0, 30.0, 0.0, 0)}


def test_device_work_outside_operators_is_unattributed():
    """A kernel launched from plain Python (a CUDA graph, Triton) is nobody's."""
    stages = analyse(TraceBuilder().step(0, 100).op("a", 50, 5).launch(10, 5, kernel=("k", 20, 8)).trace())
    assert stages.operators.unattributed_ns == 8_000


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (["aten::is_nonzero", "aten::item", "aten::_local_scalar_dense"], "aten::is_nonzero"),
        (["autograd::engine::evaluate_function: Foo", "FooBackward", "aten::to", "aten::copy_"], "aten::to"),
        (["my_op"], "my_op"),
        ([], None),
    ],
)
def test_the_operator_of_a_wait_is_the_one_the_user_wrote(chain, expected):
    """The outermost of the innermost's library, however deep in autograd it lies."""
    builder = TraceBuilder().step(0, 100)
    for depth, name in enumerate(chain):
        builder.op(name, 10 + depth, 50 - 2 * depth)
    stages = analyse(builder.sync(30, 5).trace())
    assert stages.syncs.sites[0].operator == expected


def test_kernels_by_name():
    """Two launches of a (10 and 20 µs) and one of b that ends after the step: sums inside, mean of full durations."""
    builder = TraceBuilder().step(0, 100)
    for start, row in ((1, ("a", 10, 10)), (3, ("a", 30, 20)), (5, ("b", 80, 40))):
        builder.launch(start, 1, kernel=row)
    trace = builder.trace()
    found = find_kernels(trace, find_window(trace))
    assert [(k.name, k.count, k.ns, k.mean_ns) for k in found] == [("a", 2, 30_000, 15_000), ("b", 1, 20_000, 40_000)]


def test_totals_count_what_the_operators_inside_launched_once_for_each_name():
    """Operator a calls a, which launches 20 µs of kernel, and b, which launches 30: a has 50 in all, 20 of its own."""
    builder = TraceBuilder().step(0, 200).op("a", 0, 90).op("a", 10, 20).op("b", 40, 20)
    builder.launch(15, 2, kernel=("k", 20, 20)).launch(45, 2, kernel=("k", 50, 30))
    totals = {
        o.name: (o.device_ns, o.device_total_ns, o.launches, o.launches_total)
        for o in analyse(builder.trace()).operators.totals
    }
    assert totals == {"a": (20_000, 50_000, 1, 2), "b": (30_000, 30_000, 1, 1)}


@every_real_trace
def test_operators_and_none_hold_all_device_time_and_launches_of_real_traces(path):
    """To the nanosecond and the launch."""
    stages = real(path).stages
    assert stages.operators.sums_up(stages.window, stages.launches)


def test_an_end_that_is_rounded_past_the_next_start_is_no_nesting():
    """Relu seems to end 0.25 µs after the loss began: two operators in a row, and no defect."""
    builder = TraceBuilder().step(0, 100).op("aten::relu", 0, 20.25).op("aten::loss", 20, 50).op("aten::sum", 30, 5)
    assert operators_of(builder) == {
        "aten::relu": (1, 20.25, 20.0, 0.0, 0),
        "aten::loss": (1, 50.0, 45.0, 0.0, 0),
        "aten::sum": (1, 5.0, 5.0, 0.0, 0),
    }
    assert not find_issues(analyse(builder.trace()))
