"""Where the host waits: synchronizing calls, blocking copies, and the profiler's own."""

from stallscope.analysis import intervals
from stallscope.analysis.summary import analyse
from stallscope.analysis.sync import waits_without_work
from tests.builders import TraceBuilder


def test_stall_is_the_union_of_synchronize_calls_and_blocking_copies():
    """.item() copies for 30 µs to pageable memory, then synchronizes for 10 µs: blocked 40 µs in two sites."""
    builder = TraceBuilder().step(0, 100).op("aten::item", 10, 45).op("aten::_local_scalar_dense", 11, 43)
    builder.memcpy(12, 30, copy=("Memcpy DtoH (Device -> Pageable)", 40, 2))
    builder.sync(43, 10, name="cudaStreamSynchronize")
    stages = analyse(builder.trace())
    assert (stages.syncs.calls, stages.syncs.call_ns) == (1, 10_000)
    assert intervals.total(stages.syncs.stall) == 40_000
    assert [(site.operator, site.api, site.calls, site.blocked_ns) for site in stages.syncs.sites] == [
        ("aten::item", "cudaMemcpyAsync", 1, 30_000),
        ("aten::item", "cudaStreamSynchronize", 1, 10_000),
    ]


def test_waits_of_two_threads_count_once_where_they_overlap():
    """Two threads that wait 10–30 and 20–40 µs block the host's progress for 30 µs."""
    builder = TraceBuilder().step(0, 100).sync(10, 20, name="cudaEventSynchronize")
    builder.sync(20, 20, name="cudaStreamSynchronize", tid=77)
    stages = analyse(builder.trace())
    assert (stages.syncs.calls, stages.syncs.call_ns) == (2, 30_000)


def test_polling_is_no_wait():
    """cudaEventQuery, cudaStreamWaitEvent and cudaMalloc are neither synchronize calls nor stalls."""
    builder = TraceBuilder().step(0, 100)
    for start, name in ((1, "cudaEventQuery"), (5, "cudaStreamWaitEvent"), (9, "cudaMalloc")):
        builder.call(name, start, 2)
    stages = analyse(builder.trace())
    assert (stages.syncs.calls, stages.syncs.sites) == (0, ())


def test_profilers_own_closing_synchronize_is_listed_and_blamed_on_no_one():
    """Without steps, the DeviceSynchronize that ends the file is counted as a call but is no stall of the script."""
    builder = TraceBuilder().op("a", 0, 10).launch(2, 3, kernel=("k", 20, 10)).sync(40, 50)
    builder.call("cudaEventQuery", 95, 1, tid=99)  # NCCL's watchdog goes on polling
    stages = analyse(builder.trace())
    assert (stages.syncs.calls, stages.syncs.call_ns, intervals.total(stages.syncs.stall)) == (1, 50_000, 0)
    assert [(site.api, site.by_profiler) for site in stages.syncs.sites] == [("cudaDeviceSynchronize", True)]


def test_synchronize_inside_a_step_is_the_scripts():
    """torch.cuda.synchronize() as the last call of the last step is a stall."""
    builder = TraceBuilder().step(0, 100).launch(2, 3, kernel=("k", 20, 60)).sync(10, 71)
    stages = analyse(builder.trace())
    assert intervals.total(stages.syncs.stall) == 71_000
    assert [site.by_profiler for site in stages.syncs.sites] == [False]


def test_wait_that_no_recorded_work_explains_is_found():
    """A wait of 500 µs over a kernel of 100 µs leaves 400 unexplained; stretches up to 100 µs are latency."""
    stall, busy = intervals.span(0, 500_000), intervals.span(0, 100_000)
    assert waits_without_work(stall, busy) == 400_000
    assert waits_without_work(intervals.span(0, 200_000), busy) == 0
