"""Causes that show in kernels and in the operators that asked for them: trials, plain attention, fills, layouts."""

import pytest

from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder

PRODUCT = "nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NNT"
ALGORITHMS = (
    "sm80_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize128x128x64",
    "void implicit_convolve_sgemm<float, float, 128, 5, 5, 3, 3, 3, 1, false, false, true>",
    "ampere_scudnn_128x64_relu_medium_nn_v1",
    "ampere_scudnn_winograd_128x128_ldg1_ldg4_relu_tile148t_nt_v1",
)
FILL = "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>, std::array<char*, 1ul>>"
SOFTMAX = "void at::native::(anonymous namespace)::cunn_SoftMaxForward<4, float, float, float>"
TRANSPOSE = "batched_transpose_32x32_half"
MIOPEN = "igemm_fwd_gtcx3_nhwc_fp16_bx0_ex1_bt256x64x32"


def causes(work, *, steps=6, gpu="NVIDIA H100 80GB HBM3"):
    """Causes by name of a loop of steps of 12 ms; ``work`` puts into a builder what step n holds, from a time on."""
    builder = TraceBuilder(gpu=gpu)
    for number in range(steps):
        builder.step(12_000 * number, 12_000)
        work(builder, 12_000 * number, number)
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def convolution(builder, at, *, tried):
    """One convolution of 1 ms; where it is ``tried``, four algorithms of 1 ms, each timed by two events, before it."""
    builder.op("aten::cudnn_convolution", at + 10, 200)
    for place, name in enumerate(ALGORITHMS if tried else ()):
        call, start = at + 20 + 20 * place, at + 500 + 1000 * place
        builder.call("cudaEventRecord", call, 2).launch(call + 4, 4, kernel=(name, start, 1000))
        builder.call("cudaEventRecord", call + 12, 2)
    builder.launch(at + 180, 5, kernel=(ALGORITHMS[0], at + 4600, 1000))
    builder.op("aten::mm", at + 220, 40).launch(at + 230, 5, kernel=(PRODUCT, at + 5700, 5000))
    builder.sync(at + 300, 10_500)


def test_algorithms_that_are_tried_in_each_step() -> None:
    """Four trials of 1 ms in each step beside 6 ms of work: the trials go, the convolution itself stays."""
    found = causes(lambda builder, at, _: convolution(builder, at, tried=True))["cudnn_benchmark"]
    assert found.cost_us == pytest.approx(4000)
    assert found.saves_us == pytest.approx(4000, rel=0.05)
    assert "benchmark = False" in found.advice


def test_algorithms_that_are_tried_once() -> None:
    """In the first step alone, as cuDNN does where shapes stay the same."""
    found = causes(lambda builder, at, number: convolution(builder, at, tried=number == 0))
    assert "cudnn_benchmark" not in found


def attention(builder, at, operator):
    """Product, softmax, product: 2 ms each under this operator, then a product of 3 ms of another layer."""
    builder.op(operator, at + 10, 400)
    for place, (inner, name) in enumerate(
        (("aten::bmm", PRODUCT), ("aten::_softmax", SOFTMAX), ("aten::bmm", PRODUCT))
    ):
        call = at + 20 + 100 * place
        builder.op(inner, call, 80).launch(call + 10, 5, kernel=(name, at + 500 + 2000 * place, 2000))
    builder.op("aten::mm", at + 420, 40).launch(at + 430, 5, kernel=(PRODUCT, at + 6600, 3000))
    builder.sync(at + 500, 10_000)


@pytest.mark.parametrize(("operator", "plain"), [("aten::_scaled_dot_product_attention_math", True), ("mine", False)])
def test_attention_in_its_plain_form(operator: str, *, plain: bool) -> None:
    """Two thirds of the GPU's time under PyTorch's own plain form; the same kernels of another function are not."""
    found = causes(lambda builder, at, _: attention(builder, at, operator))
    assert ("math_attention" in found) is plain
    if plain:
        assert found["math_attention"].cost_us == pytest.approx(6000)
        assert "is_causal=True" in found["math_attention"].advice


def filled(builder, at, outer):
    """A tensor is made under ``outer`` and filled for 2 ms, then a product of 6 ms."""
    builder.op(outer, at + 10, 100).op("aten::fill_", at + 20, 60)
    builder.launch(at + 30, 5, kernel=(FILL, at + 50, 2000))
    builder.op("aten::mm", at + 120, 40).launch(at + 130, 5, kernel=(PRODUCT, at + 2100, 6000))
    builder.sync(at + 200, 8000)


def test_new_memory_that_deterministic_mode_fills() -> None:
    """A fill of 2 ms under ``torch.empty``, which asks for none."""
    found = causes(lambda builder, at, _: filled(builder, at, "aten::empty"))["deterministic_fill"]
    assert found.saves_us == pytest.approx(2000, rel=0.05)
    assert "fill_uninitialized_memory = False" in found.advice


def test_zeros_that_were_asked_for() -> None:
    """The same fill under ``torch.zeros`` is the script's own."""
    assert "deterministic_fill" not in causes(lambda builder, at, _: filled(builder, at, "aten::zeros"))


def on_rocm(builder, at, convolution_ns, transpose_ns):
    """A convolution of MIOpen with a transpose before it."""
    builder.op("aten::miopen_convolution", at + 10, 200)
    builder.launch(at + 20, 5, kernel=(TRANSPOSE, at + 40, transpose_ns), name="hipExtModuleLaunchKernel")
    builder.launch(at + 60, 5, kernel=(MIOPEN, at + 50 + transpose_ns, convolution_ns), name="hipExtModuleLaunchKernel")
    builder.sync(at + 300, 9900, name="hipDeviceSynchronize")


@pytest.mark.parametrize(("transpose", "named"), [(2500, True), (400, False)])
def test_layouts_that_miopen_converts(transpose: int, *, named: bool) -> None:
    """On an AMD GPU a quarter of the time in transposes of images is named; 4 % are not."""
    found = causes(lambda builder, at, _: on_rocm(builder, at, 9600 - transpose, transpose), gpu="AMD Instinct MI300X")
    assert ("layout_conversion" in found) is named
    if named:
        assert found["layout_conversion"].saves_us == pytest.approx(2500, rel=0.05)
        assert "channels_last" in found["layout_conversion"].advice
