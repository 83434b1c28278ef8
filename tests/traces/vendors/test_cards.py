"""The table of cards: names as traces give them, and what is not in it."""

import pytest

from stallscope.traces.vendors.cards import CARDS, card_of


@pytest.mark.parametrize(
    ("name", "half"),
    [
        ("NVIDIA H100 80GB HBM3", 989.5),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.5),
        ("NVIDIA B200", 2250.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A100-PCIE-40GB", 312.0),
        ("NVIDIA A10", 125.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.0),
        ("Tesla V100-SXM2-16GB", 125.0),
        ("Tesla V100-PCIE-32GB", 112.0),
        ("Tesla T4", 65.0),
        ("NVIDIA GeForce RTX 3090", 71.0),
        ("AMD Instinct MI300X VF", 1307.4),
        ("AMD Instinct MI250X / MI250", 191.5),
        ("AMD Instinct MI210", 181.0),
    ],
)
def test_cards_by_their_names(name, half):
    """10¹² operations a second in float16, without sparsity."""
    assert card_of(name).peak("f16", tensor_cores=True) == half


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A100-SXM4-40GB MIG 3g.20gb",  # a slice of a card
        "NVIDIA A10G",
        "NVIDIA GH200 480GB",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 3060",
        "AMD Radeon Graphics",
        "",
    ],
)
def test_other_cards_have_no_peak(name):
    """A name that only resembles one in the table is not taken for it."""
    assert card_of(name) is None


def test_tensor_cores_have_a_peak_of_their_own_for_double_precision():
    """A100: 9.7 without, 19.5 with; float32 on tensor cores is made of TF32; a V100 has no bfloat16."""
    a100, v100 = card_of("NVIDIA A100-SXM4-40GB"), card_of("Tesla V100-SXM2-16GB")
    assert [a100.peak("f64", tensor_cores=each) for each in (False, True)] == [9.7, 19.5]
    assert [a100.peak("f32", tensor_cores=each) for each in (False, True)] == [19.5, 156.0]
    assert v100.peak("bf16", tensor_cores=True) is None


def test_every_card_names_its_source():
    """A vendor's paper."""
    assert all(card.source.split()[0] in ("NVIDIA", "AMD") and card.tflops["f16"] for card in CARDS)
