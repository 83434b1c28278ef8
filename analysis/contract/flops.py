"""The JSON's ``flops``: how much arithmetic a step asks for, and the share of the card's peak."""

from __future__ import annotations

import msgspec


class Flops(msgspec.Struct, frozen=True, kw_only=True):
    """Products, convolutions and attention, where the shapes of their inputs were recorded.

    The shares are null where the card is in no table, a type of number is not known, or too few of the shapes are.
    """

    per_step: float  # floating-point operations; a multiplication and an addition are two
    by_type: dict[str, float]  # of these, by the type of number: "bf16", "tf32", …
    known_share: float  # of the time of all kernels that do such work: those whose shapes are known
    kernel_us_per_step: float  # sum of the kernels that were counted
    tflops: float  # 10¹² of these operations a second, over the step
    peak_share: float | None  # of what the cards that worked could do in a step
    kernel_peak_share: float | None  # of what they could do while the kernels that were counted ran
    card: str | None  # as the trace names it
    peak_source: str | None  # the vendor's paper that the peak is from: without sparsity
