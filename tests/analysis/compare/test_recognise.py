"""Which change was made between two runs, and how its forecast is set beside what was measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stallscope.analysis.compare.compare import compare
from stallscope.analysis.compare.recognise import Recognised, recognise
from stallscope.analysis.compare.runs import RunFigures
from stallscope.analysis.compare.score_runs import score_runs
from stallscope.analysis.contract.compare import ArgumentChange
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder

Body = Callable[[TraceBuilder, float], None]


def steps(body: Body, length: float = 1000.0) -> Summary:
    """Four steps of a body that is given its start."""
    builder = TraceBuilder()
    for number in range(4):
        builder.step(length * number, length)
        builder.launch(length * number + 10, 5, kernel=("gemm", length * number + 20, 300))
        body(builder, length * number + 400)
    return summarize(builder.trace())


def reads(builder: TraceBuilder, start: float) -> None:
    """``loss.item()``."""
    builder.op("aten::item", start, 40).op("aten::_local_scalar_dense", start + 2, 36)
    builder.memcpy(start + 4, 20, copy=("Memcpy DtoH (Device -> Pageable)", start + 10, 2)).sync(start + 26, 8)


def nothing(builder: TraceBuilder, start: float) -> None:
    """Some Python."""
    builder.op("aten::empty", start, 2)


def loads(workers: str) -> Body:
    """A DataLoader fetch of 100 µs."""

    def body(builder: TraceBuilder, start: float) -> None:
        builder.annotation(f"enumerate(DataLoader)#_{workers}DataLoaderIter.__next__", start, 100)

    return body


def operator(name: str) -> Body:
    """One operator."""
    return lambda builder, start: builder.op(name, start, 20) and None


def graph(builder: TraceBuilder, start: float) -> None:
    """A graph launch."""
    builder.graph_launch(start, 20, [("kernel", start + 30, 50)])


def copies(memory: str) -> Body:
    """A copy of 1 MB to the GPU."""

    def body(builder: TraceBuilder, start: float) -> None:
        builder.memcpy(start, 100, copy=(f"Memcpy HtoD ({memory} -> Device)", start + 5, 90), nbytes=1_000_000)

    return body


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (reads, nothing, "record_every"),
        (nothing, graph, "cuda_graph"),
        (operator("aten::add_"), operator("aten::_fused_adam_"), "fused_optimizer"),
        (operator("aten::add_"), operator("aten::_foreach_add_"), "foreach_optimizer"),
        (loads("SingleProcess"), loads("MultiProcessing"), "dataloader_workers"),
        (copies("Pageable"), copies("Pinned"), "pinned_memory"),
    ],
)
def test_a_change_is_recognised_by_the_traces_alone(before: Body, after: Body, expected: str) -> None:
    """One fix between the two, and none of these the other way round or between a run and itself."""
    assert [each.fix for each in recognise(steps(before), steps(after))] == [expected]
    assert recognise(steps(before), steps(before)) == []
    assert expected not in [each.fix for each in recognise(steps(after), steps(before))]


def test_how_often_is_read_comes_from_the_arguments_where_the_window_holds_none() -> None:
    """No read in 4 steps: --record-every 100 says that it is every 100th."""
    changed = [ArgumentChange(name="--record-every", baseline="1", candidate="100")]
    assert recognise(steps(reads), steps(nothing), changed) == [Recognised("record_every", 100.0)]
    assert recognise(steps(reads), steps(nothing)) == [Recognised("record_every", None)]


def test_a_run_on_the_cpu_instead() -> None:
    """GPU before, CPU after: the fix is the CPU."""
    on_cpu = summarize(TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 10, 80).trace())
    assert recognise(steps(nothing), on_cpu) == [Recognised("cpu")]
    assert recognise(on_cpu, steps(nothing)) == []


def figures(summary: Summary, name: str) -> RunFigures:
    """A run of its own."""
    return RunFigures(summary=summary, manifest=None, name=name)


def test_compare_prints_the_forecast_beside_what_came() -> None:
    """1000 µs with a read of 40 µs a step; afterwards steps of 964 µs: what was forecast, and how far off."""
    before, after = steps(reads), steps(nothing, 964.0)
    (scored,) = compare([figures(before, "before")], [figures(after, "after")]).forecasts
    assert scored.fix == "record_never"
    assert scored.measured_us == 964.0
    assert scored.predicted_us is not None
    assert 950 < scored.predicted_us.expected < 970
    assert scored.error_percent == pytest.approx(100 * (scored.predicted_us.expected / 964.0 - 1))
    assert scored.inside


def test_two_changes_at_once_have_no_forecast() -> None:
    """Fewer reads and a graph: both named, no figure."""
    both = compare([figures(steps(reads), "before")], [figures(steps(graph), "after")]).forecasts
    assert [each.fix for each in both] == ["record_every", "cuda_graph"]
    assert all(each.predicted_us is None and "several changes" in each.why for each in both)


def test_all_pairs_of_a_folder_are_scored() -> None:
    """Of three runs, one pair differs by one known change; its error is the median and the 90th percentile."""
    runs = [figures(steps(reads), "a"), figures(steps(nothing, 964.0), "b"), figures(steps(nothing, 964.0), "c")]
    scores = score_runs(runs)
    assert [(pair.baseline, pair.candidate) for pair in scores.pairs] == [("a", "b"), ("a", "c")]
    assert scores.median_error_percent == pytest.approx(abs(scores.pairs[0].score.error_percent or 0.0))
    assert scores.inside_share == 1.0
    assert score_runs(runs[1:]).pairs == []
