"""Launches that a run without a GPU would make on one: a range that holds what GPUs do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stallscope.analysis.check.budgets import parse_budgets
from stallscope.analysis.check.check import check, measure
from stallscope.analysis.check.counts import _steps, _Tally
from stallscope.analysis.check.launches import LaunchRange, predict_launches
from stallscope.analysis.contract.check import Check
from stallscope.analysis.stages.stages import Stages, analyse
from tests.builders import TraceBuilder
from tests.real import real, small_real_traces

COLD = ("resnet50_autograd_api",)  # its first step tries the algorithms of cuDNN


def _loop() -> TraceBuilder:
    """Two steps without a GPU: one product in a linear layer, views, a loop of the optimizer, data from a loader."""
    builder = TraceBuilder(gpu=None)
    for at in (0, 1000):
        builder.step(at, 1000).dataloader(at + 1, 50).op("aten::stack", at + 5, 20).op("aten::cat", at + 6, 10)
        builder.op("aten::linear", at + 100, 50).op("aten::t", at + 101, 5).op("aten::addmm", at + 110, 30)
        builder.op("aten::copy_", at + 115, 5)
        builder.annotation("Optimizer.step#SGD.step", at + 500, 200)
        for start in range(at + 510, at + 690, 30):
            builder.op("aten::add_", start, 10)
    return builder


def _checked(builder: TraceBuilder, limit: int) -> Check:
    budgets = parse_budgets({"per_step": {"launches": limit}}, "stallscope.toml")
    return check([measure("trace.json", analyse(builder.trace()), None, budgets)], budgets)


def test_the_range_of_a_loop() -> None:
    """A product is 1 to 3 kernels, what lies in it is not counted again; six tensors of an optimizer are 1 to 8."""
    (row,) = _checked(_loop(), 11).rows
    assert (row.value_low, row.value_high, row.predicted) == (2, 11, True)


@pytest.mark.parametrize(("limit", "status"), [(11, "ok"), (10, "unknown"), (2, "unknown"), (1, "exceeded")])
def test_it_passes_or_fails_only_outside_the_range(limit: int, status: str) -> None:
    """Between its ends nothing is decided, and what is not known fails."""
    found = _checked(_loop(), limit)
    assert found.rows[0].status == status
    assert found.outcome == ("pass" if status == "ok" else "fail")


def test_an_operator_that_is_not_known_has_no_upper_end() -> None:
    """The row names it: the budget can be exceeded, not kept."""
    builder = _loop().op("mine::fused", 800, 10)
    (row,) = _checked(builder, 100).rows
    assert (row.value_low, row.value_high, row.status) == (2, None, "unknown")
    assert "mine::fused" in row.text


def test_dropout_is_one_kernel_in_training_and_none_in_evaluation() -> None:
    """On a CPU it is several operators, on a GPU one."""
    for operators, kernels in ((("aten::bernoulli_", "aten::div_"), 1), ((), 0)):
        builder = TraceBuilder(gpu=None).step(0, 100).op("aten::dropout", 10, 50)
        for number, name in enumerate(operators):
            builder.op(name, 12 + 10 * number, 5)
        (row,) = _checked(builder, 100).rows
        assert (row.value_low, row.value_high) == (kernels, kernels)


def _range(stages: Stages) -> tuple[LaunchRange, np.ndarray]:
    """The range of each step, and the launches that operators made in it."""
    chosen = _steps(stages, None)
    tally, events = _Tally(stages, chosen), stages.trace.events
    calls = stages.launches.calls
    made = tally.of(events.ts_ns[calls[stages.operators.parent[calls] >= 0]])
    return predict_launches(stages, tally.step(events.ts_ns[stages.operators.rows]), int(chosen.sum())), made


@small_real_traces
def test_the_range_holds_what_real_gpus_did(path) -> None:
    """By its operators alone every step of a real trace starts as many kernels as its range allows."""
    stages = real(path).stages
    if not stages.launches.total or any(name in str(path) for name in COLD):
        pytest.skip("no launches, or the first calls of a process")
    found, made = _range(stages)
    assert (found.low <= made).all()
    assert (made <= found.high).all()
    assert all(math.isfinite(high) for high in found.high) or found.unknown
