"""The GPU's own work: types, layouts, what dominates or slows down; each named where it is, and not where it is not."""

import pytest

from stallscope.analysis.causes import kernels
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder

BF16 = "nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NNT"
F32 = "ampere_sgemm_128x64_tn"
F64 = "ampere_dgemm_128x64_nn"
ODD = "cutlass_80_tensorop_bf16_s16816gemm_bf16_128x64_32x3_nn_align1"
ADD = "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>"
MUL = "void at::native::vectorized_elementwise_kernel<4, at::native::BinaryFunctor<float, float, float, Mul>>"
GELU = "void at::native::vectorized_elementwise_kernel<4, at::native::GeluCUDAKernelImpl>"
SORT = "void at::native::radixSortKVInPlace<2, -1, 32, 32>"
CONVOLUTION = "sm80_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64"
LAYOUT = "void cudnn::engines_precompiled::nchwToNhwcKernel<__half, __half, float, false, true>"


def causes(*kernels, gpu="NVIDIA H100 80GB HBM3", steps=6, operator="aten::linear"):
    """Causes by name of a loop that waits at the end of each step; ``kernels``: (name, µs) of a step, or by step."""
    builder, at = TraceBuilder(gpu=gpu), 0.0
    for number in range(steps):
        work = [(name, took(number) if callable(took) else took) for name, took in kernels]
        length = sum(took for _, took in work) + 100
        builder.step(at, length)
        done = at + 30
        for place, (name, took) in enumerate(work):
            begin = at + 2 + 8 * place
            builder.op(operator, begin, 7).launch(begin + 2, 4, kernel=(name, done, took))
            done += took
        builder.sync(at + 10 + 8 * len(work), done + 5 - (at + 10 + 8 * len(work)))
        at += length
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def test_double_precision():
    """90 % of the time in a dgemm: half of it stays, on a card that does float32 twice as fast."""
    found = causes((F64, 9000), (ADD, 1000))
    assert next(iter(found)) == "float64"
    assert found["float64"].saves_us == pytest.approx(4500, rel=0.02)
    assert "float64" not in causes((BF16, 9000), (ADD, 1000))


def test_products_without_tensor_cores():
    """An sgemm on a card that has TF32; products in bfloat16 are none, nor are those of a card without TF32."""
    found = causes((F32, 9000), (ADD, 1000))["fp32_products"]
    assert 'set_float32_matmul_precision("high")' in found.advice
    assert "loss" not in found.advice  # nothing trains here
    assert "fp32_products" not in causes((BF16, 9000), (ADD, 1000))


def test_layouts_that_are_converted():
    """20 % beside convolutions; 5 % are not worth a word."""
    assert "channels_last" in causes((CONVOLUTION, 8000), (LAYOUT, 2000))["layout_conversion"].advice
    assert "layout_conversion" not in causes((CONVOLUTION, 9500), (LAYOUT, 500))


def test_one_kernel_that_is_most_of_the_work():
    """A sort of 80 %: topk, and no word of compiling it; a product of 80 % is what was asked for."""
    found = causes((SORT, 8000), (ADD, 1000), (BF16, 1000), operator="aten::sort")
    assert "torch.topk" in found["dominant_kernel"].advice
    assert "dominant_kernel" not in causes((BF16, 8000), (ADD, 1000))


def test_element_wise_work_in_chains():
    """Three kinds of element-wise kernels hold 60 %; 20 % beside products are no chain worth merging."""
    found = causes((BF16, 4000), (ADD, 2000), (MUL, 2000), (GELU, 2000))
    assert found["pointwise"].fix == "compile_reduce_overhead"
    assert found["pointwise"].saves_us < 6000
    assert "pointwise" not in causes((BF16, 8000), (ADD, 700), (MUL, 700), (GELU, 600))


def test_products_of_odd_sizes():
    """An align1 kernel of 30 %, and one without."""
    assert "multiples of 8" in causes((ODD, 3000), (BF16, 7000))["misaligned_products"].advice
    assert "misaligned_products" not in causes((BF16, 9000), (ADD, 1000))


@pytest.mark.parametrize(("more", "named"), [(400, True), (0, False)])
def test_kernels_that_take_longer_and_longer(more, named):
    """The same kernels, each step 10 % longer than the one before; or all alike."""
    found = causes((BF16, lambda number: 4000 + more * number), (ADD, lambda number: 4000 + more * number))
    assert ("kernel_slowdown" in found) is named


def test_a_trace_without_device_rows_has_no_cause_in_kernels():
    """Launches alone."""
    builder = TraceBuilder().step(0, 1000).launch(10, 5).launch(100, 5)
    assert not {"float64", "pointwise", "fp32_products"} & {each.name for each in summarize(builder.trace()).causes}


@pytest.mark.parametrize(("vendor", "tool"), [("cuda", "nvidia-smi"), ("rocm", "rocm-smi")])
def test_the_tool_that_tells_clocks_is_the_vendors(vendor, tool):
    """What shows why clocks fall: each vendor's own program."""
    assert kernels.CLOCKS[vendor].startswith(tool)
