"""The first calls of a process: named where a few of them take the time, and not where all steps are alike."""

import pytest

from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder


def answer(builder):
    """(verdict, causes by name)."""
    summary = summarize(builder.trace())
    return summary.verdict, {cause.name: cause for cause in summary.causes}


def test_a_trace_spent_in_one_long_call_is_a_start():
    """10 s, 9 of them in one cudaFree: start-up, and neither Python nor allocating is blamed for them."""
    builder = TraceBuilder().step(0, 10_000_000).call("cudaFree", 100, 9_000_000)
    verdict, found = answer(builder.launch(9_500_000, 5, kernel=("k", 9_500_010, 100)))
    assert verdict.kind == "start-up"
    assert verdict.text.startswith(
        "This is the start of a run, and says little of its steps: 90 % of the time passes in one first call, "
        "cudaFree, 9.00 s."
    )
    assert verdict.advice[0] == (
        "First calls start the GPU, load kernels and get memory, once. Record later steps, after some that warm up."
    )
    assert found["first_calls"].saves_share == pytest.approx(0.9, abs=0.01)


def loaded(milliseconds):
    """A step in which each of ten kernels is launched twice; the first launch of each takes so many ms."""
    builder = TraceBuilder().step(0, 65_000)
    for number in range(20):
        took = milliseconds * 1000 if number < 10 else 5
        start = 6000 * number + 10 if number < 10 else 60_000 + 100 * number
        builder.launch(start, took, kernel=(f"k{number % 10}", start + took + 5, 2))
        builder.launch(start + took + 10, 5, kernel=("common", start + took + 20, 2))
    return builder


def test_first_launches_of_kernels_are_the_loading_of_modules():
    """Ten kernels whose first launch takes 5 ms each, 1000 times the later ones."""
    verdict, found = answer(loaded(5))
    assert verdict.kind == "start-up"
    assert "module_loading" in found
    assert "cuda_graph" in found["module_loading"].bars


def test_calls_that_are_long_in_all_steps_are_no_start():
    """Each of five steps launches one kernel in 5 ms and ten in 5 µs."""
    builder = TraceBuilder()
    for step in range(0, 50_000, 10_000):
        builder.step(step, 10_000).launch(step + 10, 5000, kernel=("slow", step + 5020, 5))
        for number in range(10):
            start = step + 6000 + 100 * number
            builder.launch(start, 5, kernel=("quick", start + 10, 5))
    verdict, found = answer(builder)
    assert verdict.kind != "start-up"
    assert not {"first_calls", "module_loading"} & set(found)


def test_a_long_first_call_while_the_gpu_works_is_no_start():
    """The first aten::mm takes 5 ms of the CPU, and the GPU has work of 9 ms meanwhile."""
    builder = TraceBuilder().step(0, 10_000).launch(10, 5, kernel=("gemm", 20, 9900))
    for start, took in ((50, 5000), (5100, 20), (5200, 20), (5300, 20)):
        builder.op("aten::mm", start, took)
    assert "first_calls" not in answer(builder)[1]


def test_a_long_wait_is_no_start():
    """The first of three cudaStreamSynchronize waits 8 ms for the GPU's work."""
    builder = TraceBuilder().step(0, 10_000).launch(10, 5, kernel=("gemm", 20, 8000))
    for start, took in ((50, 7975), (8100, 5), (8200, 5)):
        builder.sync(start, took, name="cudaStreamSynchronize")
    assert not {"first_calls", "module_loading"} & set(answer(builder)[1])
