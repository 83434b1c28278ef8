"""Files that lack what would tell: said by name, with what to do next, and never as a run without a GPU."""

from __future__ import annotations

import pytest

from stallscope.analysis.replay.graph_build import build
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder


def _empty() -> TraceBuilder:
    builder = TraceBuilder().call("cudaGetDeviceCount", 0, 1).sync(50, 100)
    return builder.complete("overhead", "Resource", 10, 30, pid=-1, tid=0)


def _without_gpu_rows() -> TraceBuilder:
    return TraceBuilder().step(0, 100).op("aten::mm", 5, 20).op("nccl:all_reduce", 40, 20)


def _unknown_device() -> TraceBuilder:
    builder = TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 5, 20)
    return builder.complete("AI_CORE", "aclnnMatMul", 10, 80, pid=1001, tid=7)


@pytest.mark.parametrize(
    ("builder", "name", "advice"),
    [
        (_empty(), "nothing_recorded", "NVreg_RestrictProfilingToAdminUsers"),
        (_without_gpu_rows(), "gpu_not_recorded", "ProfilerActivity.CUDA"),
        (_unknown_device(), "unknown_device", "accelerator"),
    ],
)
def test_what_lacks_is_named(builder: TraceBuilder, name: str, advice: str) -> None:
    """The verdict is unknown, the issue has the name, and the text says what to do."""
    summary = summarize(builder.trace())
    assert summary.verdict.kind == "unknown"
    assert name in [issue.name for issue in summary.health.issues]
    assert advice in summary.verdict.text
    assert "used no GPU" not in summary.verdict.text


def test_a_run_on_the_cpu_lacks_nothing() -> None:
    """Operators alone, without a GPU in the file, are a CPU run as before."""
    summary = summarize(TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 5, 20).trace())
    assert summary.verdict.kind == "cpu"


def test_device_rows_without_a_duration() -> None:
    """One gemm of five lacks its 100 µs: counted, and in the replay as long as the others."""
    builder = TraceBuilder().step(0, 1000)
    for i in range(5):
        builder.launch(10 + 150 * i, 5, kernel=("gemm", 20 + 150 * i, 0 if i == 2 else 100))
    trace = builder.sync(800, 10).trace()
    graph = build(analyse(trace))
    assert graph is not None
    assert graph.duration_ns[graph.on_device].tolist() == [100_000] * 5
    (issue,) = [issue for issue in summarize(trace).health.issues if issue.name == "zero_duration"]
    assert issue.count == 1
    assert issue.severity == "data_loss"
