"""The recorded step scaled to the unprofiled one: what shrinks, what stays, and when nothing is said."""

import pytest

from stallscope.analysis.report.header import true_times
from stallscope.analysis.summary import summarize
from tests.analysis.test_summary import manifest_of, plain, window
from tests.builders import TraceBuilder

STEP = 1000.0


def scaled(builder: TraceBuilder, unprofiled_us: float):
    """The summary of a trace whose unprofiled steps took so long."""
    bare = window("unprofiled", "full", steps=10, duration_ns=round(unprofiled_us * 10_000))
    return summarize(builder.trace(), manifest_of(bare))


def gpu_run(kernel_us: float = 200.0) -> TraceBuilder:
    """A step of 1 ms of the host's work: 100 µs loading, 90 operators, and beside it one kernel that it launches."""
    builder = TraceBuilder().step(0, STEP).dataloader(0, 100)
    for number in range(90):
        builder.op("aten::add", 100 + 10 * number, 8)
    return builder.launch(108, 2, kernel=("k", 120, kernel_us))


def test_host_times_shrink_and_kernels_stay():
    """Unprofiled 800: the host, which never waits for the kernel, takes 0.8 of its time, loading and launching too.

    The kernel's 200 µs stay, and the 800 that it leaves of the recorded step are 600 of the unprofiled one.
    """
    summary = scaled(gpu_run(), 800.0)
    found = summary.scaled
    assert found.factor == pytest.approx(0.8, abs=0.002)
    assert (found.step_us, found.gpu_busy_us, found.gpu_idle_us) == (800.0, 200.0, 600.0)
    assert (found.launch_call_us, found.dataloader_us) == pytest.approx((2 * found.factor, 100 * found.factor))
    parts = plain(found.breakdown_us)
    assert parts == {
        "kernel": 200.0, "memcpy": 0.0, "memset": 0.0, "communication": 0.0, "runtime": 1.5, "dataloader": 75.0,
        "cpu_op": 420.0, "other": 103.5,
    }  # fmt: skip
    assert sum(parts.values()) == found.step_us
    assert sum(plain(found.idle_us).values()) == pytest.approx(found.gpu_idle_us)
    assert summary.breakdown_us.other == 138.0  # as recorded
    assert true_times(summary) == (
        "all times below are as recorded; without the profiler the CPU's are about 0.80 times as long, the GPU's the "
        "same, and the GPU idles 600 µs (75 %) of each step"
    )


def test_one_factor_stands_in_the_forecast_and_here():
    """Both are what the replay says; dividing what the GPU leaves free, 600 by 800, would say 0.75."""
    summary = scaled(gpu_run(), 800.0)
    assert summary.scaled.factor == summary.forecast.host_factor


def test_without_a_gpu_everything_shrinks():
    """1 ms recorded, 800 µs unprofiled: 0.8."""
    summary = scaled(TraceBuilder(gpu=None).step(0, STEP).op("aten::mm", 100, 500), 800.0)
    assert (summary.scaled.factor, summary.scaled.breakdown_us.cpu_op, summary.scaled.gpu_idle_us) == (0.8, 400.0, None)
    assert true_times(summary).endswith("without the profiler they are about 0.80 times as long")


@pytest.mark.parametrize(
    ("kernel_us", "unprofiled_us"),
    [(820.0, 800.0), (200.0, 600.0), (200.0, 300.0), (200.0, 1200.0)],
    ids=["shorter than the GPU works", "more than recording costs", "too much", "longer than recorded"],
)
def test_a_factor_that_cannot_be_is_not_given(kernel_us, unprofiled_us):
    """Null, and no sentence."""
    summary = scaled(gpu_run(kernel_us), unprofiled_us)
    assert (summary.scaled, true_times(summary)) == (None, "")


def test_where_the_gpu_always_works_nothing_is_told_of_the_host():
    """Idle 4 % of the step: the step would hardly change with the host."""
    builder = TraceBuilder().step(0, STEP).launch(0, 10, kernel=("k", 20, 960))
    assert scaled(builder, 995.0).scaled is None


def test_without_unprofiled_times_nothing_is_scaled():
    """A bare trace."""
    assert summarize(gpu_run().trace()).scaled is None
