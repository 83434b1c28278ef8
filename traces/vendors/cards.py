"""What a GPU can compute at most, as its vendor's data sheet says: dense, 10¹² operations a second.

A product of sparse matrices doubles many of the advertised figures; those here are the ones without. Of GeForce cards
the rates with sums in float32 count, as PyTorch asks for them. A card that is not in the table has no peak. Of cards
made of two devices (MI250) the figures are those of one, as PyTorch sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stallscope.traces.vendors.kernels import Type


@dataclass(frozen=True, slots=True)
class Card:
    """One model of GPU."""

    pattern: str  # of its name as traces give it
    source: str  # the vendor's paper that the figures are from
    tflops: dict[str, float]  # by type of number, as ``kernels.py`` calls it; ``f64_matrix``, ``f32_matrix`` apart

    def peak(self, of_type: Type, *, tensor_cores: bool | None) -> float | None:
        """The peak for a kernel of this type, 10¹² a second; None: the data sheet has none."""
        if tensor_cores and of_type in ("f64", "f32"):  # float32 made of TF32 where there are no units for it
            return self.tflops.get(f"{of_type}_matrix") or self.tflops.get("tf32" if of_type == "f32" else of_type)
        return self.tflops.get(of_type)


def _card(pattern: str, source: str, half: float, **others: float) -> Card:
    """A card whose rate for float16 and bfloat16 is the same."""
    return Card(pattern, source, {"f16": half, "bf16": half, **others})


_H100: Final = {"f64": 34.0, "f64_matrix": 67.0, "f32": 67.0, "tf32": 494.5, "fp8": 1979.0, "int8": 1979.0}
_NVL: Final = {"f64": 30.0, "f64_matrix": 60.0, "f32": 60.0, "tf32": 417.5, "fp8": 1670.5, "int8": 1670.5}
_MI300X: Final = {
    "f64": 81.7, "f64_matrix": 163.4, "f32": 163.4, "f32_matrix": 163.4, "tf32": 653.7, "fp8": 2614.9, "int8": 2614.9,
}  # fmt: skip
CARDS: Final = (
    _card(r"\bB200\b", "NVIDIA HGX B200 data sheet", 2250.0, f64=37.0, f32=75.0, tf32=1125.0, fp8=4500.0),
    _card(r"\bH200 NVL\b", "NVIDIA H200 data sheet", 835.5, **_NVL),
    _card(r"\bH200\b", "NVIDIA H200 data sheet", 989.5, **_H100),
    _card(r"\bH100 NVL\b", "NVIDIA H100 data sheet", 835.5, **_NVL),
    _card(r"\bH100 PCIe\b", "NVIDIA H100 data sheet", 756.0,
          f64=26.0, f64_matrix=51.0, f32=51.0, tf32=378.0, fp8=1513.0, int8=1513.0),
    _card(r"\bH100\b", "NVIDIA H100 data sheet", 989.5, **_H100),
    _card(r"\bA100\b", "NVIDIA A100 data sheet", 312.0,
          f64=9.7, f64_matrix=19.5, f32=19.5, tf32=156.0, int8=624.0),
    _card(r"\bA30\b", "NVIDIA A30 data sheet", 165.0, f64=5.2, f64_matrix=10.3, f32=10.3, tf32=82.0, int8=330.0),
    _card(r"\bA40\b", "NVIDIA A40 data sheet", 149.7, f32=37.4, tf32=74.8, int8=299.3),
    _card(r"\bA10\b", "NVIDIA A10 data sheet", 125.0, f32=31.2, tf32=62.5, int8=250.0),
    _card(r"\bL40S\b", "NVIDIA L40S data sheet", 362.0, f32=91.6, tf32=183.0, fp8=733.0, int8=733.0),
    _card(r"\bL40\b", "NVIDIA L40 data sheet", 181.0, f32=90.5, tf32=90.5, fp8=362.0, int8=362.0),
    _card(r"\bL4\b", "NVIDIA L4 data sheet", 121.0, f32=30.3, tf32=60.0, fp8=242.5, int8=242.5),
    Card(r"\bV100S", "NVIDIA V100 data sheet", {"f64": 8.2, "f32": 16.4, "f16": 130.0}),
    Card(r"\bV100-PCIE", "NVIDIA V100 data sheet", {"f64": 7.0, "f32": 14.0, "f16": 112.0}),
    Card(r"\bV100", "NVIDIA V100 data sheet", {"f64": 7.8, "f32": 15.7, "f16": 125.0}),
    Card(r"\bT4\b", "NVIDIA T4 data sheet", {"f32": 8.1, "f16": 65.0, "int8": 130.0}),
    _card(r"\bRTX 4090\b(?! [DL])", "NVIDIA Ada GPU architecture paper", 165.2, f32=82.6, tf32=82.6, fp8=330.3),
    _card(r"\bRTX 3090\b(?! (?:Ti|L))", "NVIDIA Ampere GA102 architecture paper", 71.0, f32=35.6, tf32=35.6),
    _card(r"\bMI325X\b", "AMD Instinct MI325X data sheet", 1307.4, **_MI300X),
    _card(r"\bMI300X\b", "AMD Instinct MI300X data sheet", 1307.4, **_MI300X),
    _card(r"\bMI300A\b", "AMD Instinct MI300A data sheet", 980.6,
          f64=61.3, f64_matrix=122.6, f32=122.6, f32_matrix=122.6, tf32=490.3, fp8=1961.2, int8=1961.2),
    _card(r"\bMI250X\b", "AMD Instinct MI250X data sheet", 191.5,
          f64=23.95, f64_matrix=47.85, f32=23.95, f32_matrix=47.85, int8=191.5),
    _card(r"\bMI250\b", "AMD Instinct MI250 data sheet", 181.05,
          f64=22.65, f64_matrix=45.25, f32=22.65, f32_matrix=45.25, int8=181.05),
    _card(r"\bMI210\b", "AMD Instinct MI210 data sheet", 181.0,
          f64=22.6, f64_matrix=45.3, f32=22.6, f32_matrix=45.3, int8=181.0),
)  # fmt: skip


def card_of(name: str) -> Card | None:
    """The card of this name; None: it is not in the table, or only a slice of one (MIG)."""
    if " MIG " in name:
        return None
    return next((card for card in CARDS if re.search(card.pattern, name)), None)
