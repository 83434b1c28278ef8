"""Arithmetic by the shapes of the inputs: products, convolutions, attention; what cannot be told is not counted."""

import pytest

from stallscope.analysis.report import header
from stallscope.analysis.stages.gpu.flops import flops_of
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from stallscope.traces.model.fields import WITH_SHAPES
from tests.builders import TraceBuilder
from tests.real import real

BF16 = "nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NNT"
CONV = ["", "", "", "[2, 2]", "[3, 3]", "[1, 1]", "False", "[0, 0]", "1"]
STEM = [[8, 3, 224, 224], [64, 3, 7, 7], [], [], [], [], [], [], []]
GRADIENTS = ["", "", "", "[0]", "[2, 2]", "[3, 3]", "[1, 1]", "False", "[0, 0]", "1", "[False, True, False]"]
HEADS = [[2, 12, 100, 64]] * 3
ATTENTION = "aten::_scaled_dot_product_flash_attention"


@pytest.mark.parametrize(
    ("name", "sizes", "values", "operations"),
    [
        ("aten::mm", [[5, 7], [7, 11]], [], 2 * 5 * 7 * 11),
        ("aten::addmm", [[11], [5, 7], [7, 11], [], []], [], 2 * 5 * 7 * 11),
        ("aten::bmm", [[3, 5, 7], [3, 7, 11]], [], 2 * 3 * 5 * 7 * 11),
        ("aten::mv", [[5, 7], [7]], [], 2 * 5 * 7),
        ("aten::convolution", STEM, CONV, 2 * 8 * 112 * 112 * 64 * 3 * 7 * 7),
        ("aten::convolution_backward", [[8, 64, 112, 112], *STEM[:2]], GRADIENTS, 2 * 8 * 112 * 112 * 64 * 3 * 7 * 7),
        (ATTENTION, HEADS, ["", "", "", "0.", "False"], 2 * 2 * 2 * 12 * 100 * 100 * 64),
        (ATTENTION, HEADS, ["", "", "", "0.", "True"], 2 * 2 * 12 * 100 * 100 * 64),
        (f"{ATTENTION}_backward", [HEADS[0], *HEADS], [""] * 14, 5 * 2 * 2 * 12 * 100 * 100 * 64),
    ],
)
def test_operations_by_operator(name, sizes, values, operations):
    """Two for each multiplication and addition; half for causal attention, its backward pass makes five products."""
    assert flops_of(name, sizes, values) == operations


def test_a_transposed_convolution_multiplies_each_input():
    """2 × 4 × 4 inputs of 6 channels, each by 5 output channels of 3 × 3."""
    values = ["", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "True", "[0, 0]", "1"]
    assert flops_of("aten::convolution", [[2, 6, 4, 4], [6, 5, 3, 3]], values) == 2 * 2 * 6 * 16 * 5 * 9


@pytest.mark.parametrize(
    ("sizes", "values"),
    [([], []), ([[5, 7]], []), ([[5, 7], [8, 11]], []), (["x", None], []), ([[[1], [2]], 3], []), ([[], []], [])],
)
def test_what_cannot_be_told_is_none(sizes, values):
    """Shapes that are absent, do not fit, or are nonsense give no figure, and no error, for any operator."""
    assert {flops_of(name, sizes, values) for name in WITH_SHAPES} == {None}


def products(kernel: str = BF16, *, shapes: bool = True, gpu: str = "NVIDIA H100 80GB HBM3") -> TraceBuilder:
    """Two steps of 1 ms, in each a product of 2.2 · 10¹¹ operations in 400 µs, and one of the backward pass."""
    builder = TraceBuilder(gpu=gpu)
    told = {"Input Dims": [[4096, 4096], [4096, 6554]], "Input type": ["c10::BFloat16", "c10::BFloat16"]}
    for number in range(2):
        at = 1000 * number
        builder.step(at, 1000)
        for place, (outer, thread) in enumerate((("aten::linear", 4242), ("MmBackward0", 77))):
            begin = at + 100 + 50 * place
            builder.op(outer, begin, 40, tid=thread).op(
                "aten::mm", begin + 5, 30, tid=thread, **(told if shapes else {})
            )
            builder.launch(begin + 10, 5, kernel=(kernel, at + 150 + 400 * place, 400), tid=thread)
    return builder


def test_the_share_of_the_cards_peak():
    """4.4 · 10¹¹ operations a step of 1 ms on an H100 (989.5 · 10¹² a second in bfloat16): 44 %, 56 % in their time."""
    summary = summarize(products().trace())
    operations = 2 * 2 * 4096 * 4096 * 6554
    assert summary.flops.per_step == operations
    assert summary.flops.by_type == {"bf16": operations}
    assert (summary.flops.known_share, summary.flops.kernel_us_per_step) == (1.0, 800.0)
    assert summary.flops.peak_share == pytest.approx(operations / 989.5e12 / 1e-3)
    assert summary.flops.kernel_peak_share == pytest.approx(operations / 989.5e12 / 0.8e-3)
    assert any(
        line.startswith("Products, convolutions, attention: 440 GFLOP a step") and "44 % of what the GPU" in line
        for line in header.extras(summary)
    )


def test_the_type_of_a_kernel_whose_name_says_nothing_is_that_of_its_inputs():
    """A Triton kernel inside aten::mm of bfloat16."""
    assert set(summarize(products("triton_mm").trace()).flops.by_type) == {"bf16"}


def test_without_shapes_there_is_none():
    """null, and no line."""
    summary = summarize(products(shapes=False).trace())
    assert summary.flops is None
    assert not any("Products" in line for line in header.extras(summary))


def test_a_card_that_is_in_no_table_has_no_peak():
    """The operations are told, the shares are null."""
    flops = summarize(products(gpu="NVIDIA RTX 9999 Turbo").trace()).flops
    assert (flops.peak_share, flops.kernel_peak_share, flops.peak_source) == (None, None, None)
    assert flops.per_step > 0


def test_work_whose_shapes_are_unknown_withholds_the_shares():
    """As long a product again without shapes: half is known, which is too little for a share of the peak."""
    builder = products()
    for number in range(2):
        builder.op("my::matmul", 1000 * number + 300, 20)
        builder.launch(1000 * number + 305, 5, kernel=(BF16, 1000 * number + 150, 800), stream=8)
    flops = summarize(builder.trace()).flops
    assert flops.known_share == pytest.approx(0.5)
    assert flops.peak_share is None


def test_shapes_are_taken_from_the_attribution_where_the_timing_has_none():
    """The timing trace is recorded without shapes: the operations a step are those of the other recording."""
    plain, told = products(shapes=False).trace(), products().trace()
    assert analyse(plain, None, None).flops is None
    assert analyse(plain, None, told).flops == analyse(told).flops


def test_the_arithmetic_of_a_vision_transformer(real_traces):
    """ViT-B/16 on four images: 35.1 · 10⁹ operations each, as published (17.6 · 10⁹ multiplications and additions)."""
    for path in ("h100/vit_nsfw.json.gz", "amd/mi300_vit_nsfw.json.gz"):
        assert real(real_traces / path).summary.flops.per_step == pytest.approx(4 * 35.1e9, rel=0.01)


def test_nothing_computes_more_than_the_card_can(real_traces):
    """Of every real trace with shapes the kernels stay below the peak of their card."""
    for path in ("a100/diff_control_a100", "h100/owlv2_large", "wild/a100_part_b512", "wild/t4_fp32", "wild/t4_amp"):
        flops = real(real_traces / f"{path}.json.gz").summary.flops
        assert 0 < flops.peak_share <= flops.kernel_peak_share < 1
