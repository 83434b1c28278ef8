"""Device times and the division of the step among classes."""

from stallscope.analysis.stages.activity import Shares, find_activity
from stallscope.analysis.stages.where.steps import find_window
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder


def activity_of(builder):
    """The stage on a trace built here."""
    trace = builder.trace()
    window = find_window(trace)
    return window, find_activity(trace, window)


def test_each_instant_goes_to_the_first_class_that_is_active():
    """A kernel over a copy over a runtime call over a fetch over an operator: each gets what is left, in this order."""
    builder = TraceBuilder().step(0, 100).op("op", 0, 90).dataloader(10, 70)
    builder.launch(20, 50, kernel=("k", 30, 10))
    builder.memcpy(30, 1, copy=("Memcpy HtoD (Pinned -> Device)", 35, 10))
    window, found = activity_of(builder)
    assert found.shares == Shares(
        kernel=10_000, memcpy=5_000, memset=0, communication=0, runtime=35_000, dataloader=20_000, cpu_op=20_000,
        other=10_000,
    )  # fmt: skip
    assert found.shares.conserved(window)
    assert found.dataloader_ns == 70_000


def test_a_broken_division_is_not_conserved():
    """The law can fail: classes of 10 ns in a window of 100 µs are no division of it."""
    window, _ = activity_of(TraceBuilder().step(0, 100).op("op", 0, 90))
    assert not Shares(10, 0, 0, 0, 0, 0, 0, 0).conserved(window)


def test_collectives_are_communication_and_overlap_is_computing():
    """An NCCL kernel of 40 µs, half of it under a GEMM: 20 µs of communication in the breakdown, 40 in its union."""
    builder = TraceBuilder().step(0, 100)
    builder.launch(1, 1, kernel=("gemm", 10, 30)).launch(3, 1, kernel=("ncclDevKernel_AllReduce", 20, 40), stream=9)
    _, found = activity_of(builder)
    assert (found.shares.kernel, found.shares.communication) == (30_000, 20_000)
    assert (found.devices[0].kernel_ns, found.devices[0].kernel_sum_ns) == (50_000, 70_000)
    assert found.devices[0].communication_ns == 40_000


def test_only_kernels_copies_and_sets_are_device_work():
    """cuda_sync and gpu_user_annotation rows on the device make no busy time."""
    builder = TraceBuilder().step(0, 100).launch(1, 1, kernel=("k", 10, 20))
    builder.complete("cuda_sync", "Stream Sync", 0, 100, pid=0, tid=7)
    builder.complete("gpu_user_annotation", "ProfilerStep#0", 0, 100, pid=0, tid=7)
    _, found = activity_of(builder)
    assert found.devices[0].busy_ns == 20_000


def test_overlapping_streams_count_once_in_busy_and_work_is_clipped_to_the_window():
    """Kernels 10–50 and 30–60 on two streams and one that outlasts the step by 20 µs: busy 60 of 100 µs."""
    builder = TraceBuilder().step(0, 100)
    builder.launch(1, 1, kernel=("a", 10, 40)).launch(3, 1, kernel=("b", 30, 30), stream=8)
    builder.launch(5, 1, kernel=("c", 90, 30))
    window, found = activity_of(builder)
    assert (found.devices[0].busy_ns, found.devices[0].kernel_sum_ns) == (60_000, 80_000)
    assert found.devices[0].conserved(window)


def test_marks_of_an_attribution_window_are_in_no_class():
    """100 µs of marks over a step of 200: 30 are an operator's, the rest is other, as if the marks were not there."""
    builder = TraceBuilder().step(0, 200).op("stallscope.module#0", 10, 100).annotation("stallscope.site#0", 20, 80)
    summary = summarize(builder.op("aten::mm", 30, 30).trace())
    assert (summary.breakdown_us.cpu_op, summary.breakdown_us.other) == (30.0, 170.0)
    assert [row.name for row in summary.operators] == ["aten::mm"]
