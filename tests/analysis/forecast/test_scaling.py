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
    """A step of 1 ms: 100 µs loading, a launch of 50 µs whose kernel starts at its end, and Python."""
    builder = TraceBuilder().step(0, STEP).dataloader(0, 100).op("aten::mm", 100, 60)
    return builder.launch(110, 50, kernel=("k", 160, kernel_us))


def test_host_times_shrink_and_kernels_stay():
    """200 µs of kernel in a step of 1000; unprofiled 600: the other 800 µs are 400 in truth, a factor of 0.5."""
    summary = scaled(gpu_run(), 600.0)
    found = summary.scaled
    assert (found.factor, found.step_us, found.gpu_busy_us, found.gpu_idle_us) == (0.5, 600.0, 200.0, 400.0)
    assert (found.launch_call_us, found.dataloader_us) == (25.0, 50.0)
    parts = plain(found.breakdown_us)
    assert parts == {
        "kernel": 200.0, "memcpy": 0.0, "memset": 0.0, "communication": 0.0, "runtime": 25.0, "dataloader": 50.0,
        "cpu_op": 5.0, "other": 320.0,
    }  # fmt: skip
    assert sum(parts.values()) == found.step_us
    assert sum(plain(found.idle_us).values()) == pytest.approx(found.gpu_idle_us)
    assert summary.breakdown_us.other == 640.0  # as recorded
    assert true_times(summary) == (
        "all times below are as recorded; without the profiler the CPU's are about 0.50 times as long, the GPU's the "
        "same, and the GPU idles 400 µs (67 %) of each step"
    )


def test_without_a_gpu_everything_shrinks():
    """1 ms recorded, 800 µs unprofiled: 0.8."""
    summary = scaled(TraceBuilder(gpu=None).step(0, STEP).op("aten::mm", 100, 500), 800.0)
    assert (summary.scaled.factor, summary.scaled.breakdown_us.cpu_op, summary.scaled.gpu_idle_us) == (0.8, 400.0, None)
    assert true_times(summary).endswith("without the profiler they are about 0.80 times as long")


@pytest.mark.parametrize(
    ("kernel_us", "unprofiled_us"),
    [(820.0, 500.0), (200.0, 300.0), (200.0, 1200.0)],
    ids=["shorter than the GPU works", "too much", "longer than recorded"],
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
