"""Loading data: by what its fetches look like, and how many workers would help."""

import pytest

from stallscope.analysis.causes import loading
from stallscope.analysis.causes.case import Case
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from tests.analysis.answer.test_verdict import facts
from tests.builders import TraceBuilder


def advice(**changes):
    """The advice on 8 ms of loading in a step of 10."""
    stages = analyse(TraceBuilder().step(0, 10_000).dataloader(0, 8000).launch(9000, 5, kernel=("k", 9010, 5)).trace())
    run = facts(step_us=10_000.0, input_us=8000.0, dataloader_us=8000.0, **changes)
    (claim,) = loading.find(Case(stages=stages, facts=run, manifest=None, replayed=None, kind="input-bound"))
    return claim.cause.advice


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "num_workers=4"),
        ({"cores": 16, "fetches": 1}, "num_workers=4"),
        ({"cores": 2, "fetches": 1}, "num_workers=1"),
        ({"cores": 1, "fetches": 1}, "no core is free"),
        ({"cores": 2, "fetches": 30}, "A fetch takes 267 µs"),
    ],
)
def test_workers_are_advised_where_they_have_cores_and_something_to_do(changes, said):
    """Of 8 ms of loading: one core stays with the training; fetches below 1 ms are better not made at all."""
    told = advice(**changes)
    assert said in told
    assert ("on the GPU" in told) is ("fetch takes" in said)


def fetching(fetches, *, workers=True, inside=None):
    """Causes by name: each step of 10 ms fetches in so many ms, then a kernel of 1 ms."""
    builder, at = TraceBuilder(), 0.0
    name = "MultiProcessing" if workers else "SingleProcess"
    for took in fetches:
        builder.step(at, 10_000 + 1000 * took)
        builder.annotation(f"enumerate(DataLoader)#_{name}DataLoaderIter.__next__", at, 1000 * took)
        if inside is not None:
            inside(builder, at)
        at += 1000 * took
        builder.op("aten::mm", at + 10, 30).launch(at + 20, 5, kernel=("gemm", at + 30, 9000)).sync(at + 50, 8985)
        at += 10_000
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def test_workers_that_are_too_slow():
    """Each fetch takes 20 ms although there are workers: no graph is offered, the wait would only grow."""
    found = fetching([20] * 6)
    assert next(iter(found)) == "loader_workers_slow"
    assert "raise num_workers" in found["loader_workers_slow"].advice
    assert "cuda_graph" in found["loader_workers_slow"].bars


def test_loading_in_the_training_process():
    """Each fetch takes 20 ms and no worker is there."""
    found = fetching([20] * 6, workers=False)
    assert next(iter(found)) == "loader_main_process"
    assert "num_workers=4" in found["loader_main_process"].advice


def test_workers_that_are_started_anew():
    """Every twelfth fetch takes 200 ms, the others 0.1: workers are started each epoch."""
    found = fetching(([200] + [0.1] * 11) * 3)
    assert "persistent_workers=True" in found["loader_restart"].advice


def test_workers_that_all_hand_over_at_one_time():
    """Every fourth fetch takes 20 ms, the others 0.1: four batches at once, then nothing; none of them is started."""
    found = fetching(([20] + [0.1] * 3) * 5)
    assert next(iter(found)) == "loader_workers_slow"


def test_workers_of_short_epochs():
    """The same, but before the long fetch the script makes something for 2 ms: the processes of the next epoch."""
    builder, at = TraceBuilder(), 0.0
    for number in range(20):
        made, took = (2000, 20_000) if number % 4 == 1 else (0, 100)
        builder.step(at, made + took + 10_000)
        fetch = "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__"
        builder.op("aten::detach", at, 5).annotation(fetch, at + 5 + made, took)
        at += made + took
        builder.op("aten::mm", at + 10, 30).launch(at + 20, 5, kernel=("gemm", at + 30, 9000)).sync(at + 50, 8985)
        at += 10_000
    costs = {cause.name: cause.cost_us for cause in summarize(builder.trace()).causes}
    assert costs["loader_restart"] == pytest.approx((22_000 + 3 * 100) / 4, rel=0.01)


def test_quick_fetches_are_no_cause():
    """0.05 ms of 10 are not worth a word."""
    assert not [name for name in fetching([0.05] * 6) if name.startswith("loader")]


def test_samples_picked_one_by_one():
    """A fetch of 20 ms in which 16 samples are picked, each with a kernel: index the batch instead."""

    def picks(builder, at):
        for number in range(16):
            start = at + 50 + 1200 * number
            builder.op("aten::select", start, 1000).launch(start + 100, 5, kernel=("pick", start + 110, 2))

    found = fetching([20] * 6, workers=False, inside=picks)
    assert next(iter(found)) == "loader_row_by_row"
    assert "pinned_memory" in found["loader_row_by_row"].bars


def test_loading_that_hides_behind_the_gpu_s_work_is_no_cause():
    """Each fetch takes 300 µs of a host that is through with a step in 400; the GPU needs 990 for each."""
    builder = TraceBuilder()
    for number in range(10):
        at = 400 * number
        builder.step(at, 400).annotation("enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__", at, 300)
        builder.op("aten::mm", at + 310, 30).launch(at + 320, 5, kernel=("gemm", 330 + 990 * number, 988))
    summary = summarize(builder.sync(4000, 6230).trace())
    assert summary.verdict.kind == "compute-bound"
    assert not [cause.name for cause in summary.causes if cause.name.startswith("loader")]
