"""What launching costs: call time, latency, short kernels, graphs, by operator."""

import pytest

from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from tests.analysis.synthetic import three_steps
from tests.builders import TraceBuilder
from tests.real import real


def test_the_cross_check_trace():
    """Launches at 10, 30 and 500 start at 20, 145 and 508; calls of 5 µs, kernels of 100 µs, two queued at most."""
    stats = summarize(three_steps().trace()).launches
    assert (stats.launches_per_step, stats.kernels_per_step, stats.kernel_us_per_step) == (3.0, 3.0, 300.0)
    assert (stats.call_us.p50, stats.call_us.p90) == (5.0, 5.0)
    assert (stats.latency_us.p50, stats.queue_delay_us.p50) == (10.0, 5.0)
    assert (stats.short_kernels_per_step, stats.short_share, stats.kernels_per_graph) == (0.0, 0.0, None)
    assert (stats.queue.max, stats.queue.full_at, stats.queue.blocked_us_per_step) == (2, None, 0.0)


def test_a_kernel_shorter_than_its_launch_call_is_short():
    """Kernels of 4, 5 and 6 µs under calls of 5 µs: one of three is short; a graph of short kernels is not counted."""
    builder = TraceBuilder().step(0, 200).graph_launch(100, 50, [("a", 120, 1), ("b", 122, 1)])
    for i in range(3):
        builder.launch(20 * i, 5, kernel=("k", 20 * i + 8, 4 + i))
    stats = summarize(builder.trace()).launches
    assert (stats.short_kernels_per_step, stats.short_share) == (1.0, pytest.approx(1 / 3))
    assert (stats.kernels_per_graph, stats.graph_call_us.p50, stats.launches_per_step) == (2.0, 50.0, 4.0)


def test_launches_by_operator_sum_to_all_launches():
    """Two under aten::mm, one of them with a short kernel, one in no operator: most call time first."""
    builder = TraceBuilder().step(0, 100).op("aten::mm", 0, 30).launch(1, 5, kernel=("k", 8, 4))
    builder.launch(10, 7, kernel=("k", 20, 9)).launch(50, 6, kernel=("k", 60, 10))
    stages = analyse(builder.trace())
    assert stages.broken_laws() == []
    found = [(o.operator, o.launches_per_step, o.kernels_per_step, o.call_us_per_step, o.short_kernels_per_step)
             for o in summarize(builder.trace()).launches.operators]  # fmt: skip
    assert found == [("aten::mm", 2.0, 2.0, 12.0, 1.0), (None, 1.0, 1.0, 6.0, 0.0)]


def test_without_device_rows_only_the_calls_are_told():
    """Launches whose kernels were not recorded have a call time; a CPU run has no launch figures at all."""
    stats = summarize(TraceBuilder().step(0, 100).launch(1, 5).trace()).launches
    assert (stats.launches_per_step, stats.call_us.p50, stats.kernels_per_step, stats.queue) == (1.0, 5.0, None, None)
    assert summarize(TraceBuilder(gpu=None).step(0, 9).op("x", 1, 2).trace()).launches is None


def test_graphs_of_a_real_gpu(real_traces):
    """diff_test_v100: 12 graph launches of about 1.2 ms run 4962 of the 9876 kernels."""
    stats = real(real_traces / "v100" / "diff_test_v100.json.gz").summary.launches
    assert 339 <= stats.kernels_per_graph <= 502
    assert 960 <= stats.graph_call_us.p50 <= 1600
