"""What is no step at all: the profiler's own work, and launches that a CUDA graph captures."""

from __future__ import annotations

from stallscope.analysis.replay.graph import Work
from stallscope.analysis.replay.graph_build import build
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder


def _with_buffer_request(name: str = "Activity Buffer Request") -> TraceBuilder:
    """1800 of 2400 µs are a row of the category overhead; then six kernels, one after the other."""
    builder = TraceBuilder().op("aten::mm", 0, 10).complete("overhead", name, 20, 1800, pid=-1, tid=0)
    for i in range(6):
        builder.launch(1900 + 80 * i, 5, kernel=("gemm", 1907 + 80 * i, 70))
    return builder.sync(2390, 10)


def test_profiler_s_own_rows_are_no_host_work() -> None:
    """The stretch is in no class that could be free, the verdict does not blame the CPU, and health tells it."""
    trace = _with_buffer_request().trace()
    graph = build(analyse(trace))
    assert graph is not None
    lengths = (graph.end_ns - graph.start_ns)[graph.work == Work.NONE]
    assert lengths.max() == 1_800_000
    summary = summarize(trace)
    assert summary.verdict.kind != "host-bound"
    assert "profiler_overhead" in [issue.name for issue in summary.health.issues]


def test_other_rows_of_the_category_are_the_program_s() -> None:
    """Code that is loaded at its first call is host work as before."""
    summary = summarize(_with_buffer_request("Lazy Function Loading").trace())
    assert summary.verdict.kind == "host-bound"
    assert "profiler_overhead" not in [issue.name for issue in summary.health.issues]


def test_capture_is_not_launch_bound() -> None:
    """200 launches in a capture start no kernel: the CPU's work, and the text says what it is."""
    builder = TraceBuilder().step(0, 10_000).call("cudaStreamBeginCapture", 100, 20)
    for i in range(200):
        builder.op("aten::mm", 200 + 45 * i, 40).launch(202 + 45 * i, 2)
    builder.call("cudaStreamEndCapture", 9300, 20).launch(9400, 5, kernel=("fill", 9410, 3)).sync(9420, 10)
    verdict = summarize(builder.trace()).verdict
    assert verdict.kind == "host-bound"
    assert "captured" in verdict.text
