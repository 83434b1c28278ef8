"""The GPU's memory in the loop: what makes the script allocate is named, one allocation at the start is not."""

import pytest

from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder


def causes(work, steps=4, gpu="NVIDIA H100 80GB HBM3", launch="cudaLaunchKernel"):
    """Causes by name of a loop of steps of 10 ms with a kernel each; ``work`` adds what a step holds, from a time."""
    builder = TraceBuilder(gpu=gpu)
    for number in range(steps):
        at = 10_000 * number
        builder.step(at, 10_000).op("aten::mm", at + 9000, 50)
        builder.launch(at + 9010, 5, kernel=("gemm", at + 9020, 100), name=launch)
        work(builder, at, number)
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def test_frees_outside_any_operator_are_a_call_to_empty_the_cache():
    """Six cudaFree in a row in no operator, then the memory is asked for again."""

    def work(builder, at, _number):
        for place in range(6):
            builder.call("cudaFree", at + 100 + 300 * place, 250)
        builder.op("aten::empty", at + 3000, 600).call("cudaMalloc", at + 3010, 500)

    found = causes(work)
    assert found["empty_cache"].saves_us > 1500
    assert found["empty_cache"].bars == ["compile_reduce_overhead", "cuda_graph"]


def test_an_operator_that_asks_frees_and_asks_again_is_a_retry():
    """cudaMalloc, cudaFree, cudaMalloc inside one operator."""

    def work(builder, at, _number):
        builder.op("aten::empty", at + 100, 3000).call("cudaMalloc", at + 110, 300)
        builder.call("cudaFree", at + 500, 1000).call("cudaMalloc", at + 1600, 500)

    found = causes(work)["allocation_retries"]
    assert "smaller batch" in found.advice
    assert "larger_batch" in found.bars


def test_an_allocation_for_each_tensor_is_a_cache_that_is_off():
    """Twelve tensors a step, each with cudaMalloc and cudaFree."""

    def work(builder, at, _number):
        for place in range(12):
            start = at + 100 + 600 * place
            builder.op("aten::empty", start, 250).call("cudaMalloc", start + 10, 200)
            builder.op("aten::add", start + 300, 250).call("cudaFree", start + 310, 200)

    found = causes(work)
    assert next(iter(found)) == "no_caching_allocator"
    assert "PYTORCH_NO_CUDA_MEMORY_CACHING" in found["no_caching_allocator"].advice


def test_an_allocation_in_each_step_is_said_as_such():
    """One cudaMalloc of 500 µs inside an operator, in steps of 10 ms."""

    def work(builder, at, _number):
        builder.op("aten::empty", at + 100, 600).call("cudaMalloc", at + 110, 500)

    assert causes(work)["allocations"].cost_us == 500.0


@pytest.mark.parametrize("retried", [True, False])
@pytest.mark.parametrize(
    ("gpu", "prefix", "offered"), [("NVIDIA H100 80GB HBM3", "cuda", True), ("AMD Instinct MI300X", "hip", False)]
)
def test_segments_that_grow_are_advised_where_the_vendor_has_them(gpu, prefix, offered, retried):
    """Memory asked for in each step, or asked for again: ``expandable_segments`` is no option of ROCm."""

    def work(builder, at, _number):
        builder.op("aten::empty", at + 100, 3000).call(f"{prefix}Malloc", at + 110, 300)
        if retried:
            builder.call(f"{prefix}Free", at + 500, 1000).call(f"{prefix}Malloc", at + 1600, 500)

    launch = {"cuda": "cudaLaunchKernel", "hip": "hipLaunchKernel"}[prefix]
    found = causes(work, gpu=gpu, launch=launch)["allocation_retries" if retried else "allocations"]
    assert ("expandable_segments" in found.advice) is offered


def test_memory_that_comes_in_the_order_of_a_stream_is_no_cause():
    """CudaMallocAsync and cudaFreeAsync wait for nothing."""

    def work(builder, at, _number):
        builder.call("cudaMallocAsync", at + 100, 200).call("cudaFreeAsync", at + 400, 200)

    assert not {"allocations", "empty_cache", "allocation_retries", "no_caching_allocator"} & set(causes(work))


def test_pinned_memory_that_is_made_in_each_step():
    """CudaHostAlloc of 1 ms a step; made in the first step alone it is none."""
    assert "pinned_allocation" in causes(lambda builder, at, _: builder.call("cudaHostAlloc", at + 100, 1000))
    once = causes(lambda builder, at, number: number or builder.call("cudaHostAlloc", at + 100, 1000))
    assert "pinned_allocation" not in once


def without_steps(vendor_gpu="NVIDIA H100 80GB HBM3", *, frees=True):
    """Causes by name of a file without steps: memory is got at the start, and freed in no operator at the end."""
    builder = TraceBuilder(gpu=vendor_gpu)
    builder.op("aten::empty", 0, 5000).call("cudaMalloc", 10, 4900)
    builder.op("aten::mm", 6000, 300).launch(6010, 200, kernel=("gemm", 6300, 400))
    for place in range(6) if frees else ():
        builder.call("cudaFree", 7000 + 300 * place, 250)
    builder.op("aten::mm", 9000, 100).launch(9010, 5, kernel=("gemm", 9020, 100))
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def test_what_the_run_first_asked_for_is_no_cost_of_an_emptied_cache():
    """No steps: six frees of 250 µs are what it costs, not the 4.9 ms of the first allocation."""
    found = without_steps()["empty_cache"]
    assert found.cost_us == 1500.0
    assert "in the loop" not in found.title


def test_memory_that_is_got_in_a_file_without_steps_is_not_said_to_be_got_in_a_loop():
    """One allocation before the first kernel: a run has to get its memory once."""
    assert "allocations" not in without_steps(frees=False)


def test_frees_in_a_row_are_a_call_however_many_tensors_are_made():
    """Twelve tensors a step, each with a cudaMalloc; twelve cudaFree in a row at its end, in no operator."""

    def work(builder, at, _number):
        for place in range(12):
            start = at + 100 + 300 * place
            builder.op("aten::empty", start, 250).call("cudaMalloc", start + 10, 200)
        for place in range(12):
            builder.call("cudaFree", at + 5000 + 300 * place, 250)

    found = causes(work)
    assert next(iter(found)) == "empty_cache"
    assert "no_caching_allocator" not in found
