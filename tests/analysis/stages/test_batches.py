"""Launches that a driver holds back and sends together."""

from __future__ import annotations

import pytest

from stallscope.analysis.stages.batches import held_ns
from stallscope.analysis.summary import summarize
from stallscope.traces.model.trace import Trace
from tests.builders import TraceBuilder

GEFORCE = "NVIDIA GeForce GTX 1050 Ti"


def _training(gpu: str, held_us: float) -> Trace:
    """Eight steps of ten kernels, launched every 20 µs, which all start so long after the first launch."""
    builder = TraceBuilder(gpu=gpu)
    for step in range(8):
        at = 1000 * step
        builder.step(at, 1000)
        for i in range(10):
            start = at + 10 + (held_us + 12 * i if held_us else 20 * i + 8)
            builder.launch(at + 10 + 20 * i, 5, kernel=("gemm", start, 10))
        builder.sync(at + 300, 300)
    return builder.trace()


def test_bunches_are_named() -> None:
    """Kernels that start 400 µs after their launches, together, on a consumer card."""
    causes = summarize(_training(GEFORCE, 400)).causes
    assert "wddm_batching" in [cause.name for cause in causes]


@pytest.mark.parametrize(("gpu", "held_us"), [(GEFORCE, 0), ("NVIDIA H100 80GB HBM3", 400)])
def test_no_bunches(gpu: str, held_us: float) -> None:
    """Kernels that start as they are launched, or on a card without such a driver, are no bunches."""
    assert held_ns(_training(gpu, held_us)) is None


def test_a_kernel_without_its_duration_holds_nothing_back() -> None:
    """Kernels of 180 µs back to back, of which each tenth lacks its duration: what looks idle there was its work."""
    builder = TraceBuilder(gpu=GEFORCE)
    for step in range(8):
        builder.step(2000 * step, 2000)
        for i in range(10):
            start = 2000 * step + 10 + 185 * i
            builder.launch(2000 * step + 10 + 20 * i, 5, kernel=("gemm", start + 8, 180 if i != 4 else 0))
    assert held_ns(builder.trace()) is None
