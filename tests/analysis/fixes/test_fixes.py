"""What each fix leaves where it is, and when it says that it would not help, or make the step longer."""

from __future__ import annotations

import pytest

from stallscope.analysis.contract.forecast import WhatIf
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.forecast.asked import Asked
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder

WORKERS = "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__"
GEMM = "ampere_sgemm_128x64_nn"
ADD = "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul> >"
SUM = "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::func_wrapper_t<float> > >"
NORM = "void cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, int, 512, true, 1, true>"
STEPS = 5


def forecast(build: TraceBuilder, fix: str, number: float | None = None) -> WhatIf:
    """The forecast of one fix of a built trace."""
    (found,) = summarize(build.trace(), asked=Asked(fixes=(Wanted(fix, number),))).what_if or []
    return found


def saved_us(build: TraceBuilder, fix: str, step_us: float, number: float | None = None) -> float:
    """What it saves of a step, µs."""
    found = forecast(build, fix, number)
    assert found.saving_share is not None, found.why
    return found.saving_share * step_us


def launching(build: TraceBuilder, at: float, number: int = 10, name: str = GEMM, us: float = 5.0) -> float:
    """So many operators of 40 µs, each of which launches a kernel; when the last has ended."""
    for _ in range(number):
        build.op("aten::mm", at, 38).launch(at + 20, 5, kernel=(name, at + 30, us))
        at += 40
    return at


# --- graphs and compilers ---------------------------------------------------------------------------


@pytest.mark.parametrize("fix", ["cuda_graph", "compile_reduce_overhead"])
@pytest.mark.parametrize("operator", [None, "aten::sort"], ids=["Python", "on the CPU"])
def test_what_a_graph_does_not_hold_stays(fix, operator):
    """2 ms of the script's Python, or of an operator on the CPU, before 0.4 ms of launching: at most that is saved."""
    build, at = TraceBuilder(), 0.0
    for _ in range(STEPS):
        build.step(at, 2400)
        if operator:
            build.op(operator, at + 5, 1990)
        launching(build, at + 2000)
        at += 2400
    assert 0 < saved_us(build, fix, 2400) < 420


@pytest.mark.parametrize("fix", ["cuda_graph", "compile_reduce_overhead"])
def test_few_launches_are_not_worth_a_graph(fix):
    """Two launches in a step of 16 µs: a graph launch costs more than it replaces, and that is said first."""
    build, at = TraceBuilder(), 0.0
    for _ in range(STEPS):
        build.step(at, 16)
        build.launch(at + 1, 5, kernel=(GEMM, at + 8, 3)).launch(at + 8, 5, kernel=(GEMM, at + 15, 3))
        at += 16
    found = forecast(build, fix)
    assert found.saving_share is not None
    assert found.saving_share < -0.01
    assert found.why.startswith("it makes the step ")
    assert found.with_those_before_us is None


def test_shapes_that_change_are_no_graph():
    """The same kernels in each step, over grids of other sizes: only one step of five launches the same."""
    build, at = TraceBuilder(), 0.0
    for step in range(STEPS):
        build.step(at, 400)
        for number in range(4):
            begin = at + 80 * number
            build.launch(begin, 5).kernel((GEMM, begin + 10, 5), paired=True, grid=[8 + step, 1, 1])
        at += 400
    found = forecast(build, "cuda_graph")
    assert not found.applies
    assert "only 1 of 5 steps" in found.why


@pytest.mark.parametrize("fix", ["cuda_graph", "compile_reduce_overhead"])
def test_what_is_compiled_anew_in_each_step_bars_graphs(fix):
    """A frame of Dynamo's that is compiled in each step: no forecast, and the reason."""
    build, at = TraceBuilder(), 0.0
    for _ in range(STEPS):
        build.step(at, 10_000).op("_compile.compile_inner", at + 10, 8000)
        launching(build, at + 8500)
        at += 10_000
    found = forecast(build, fix)
    assert not found.applies
    assert "something else comes first" in found.why


@pytest.mark.parametrize(("name", "merges"), [(ADD, True), (SUM, True), (NORM, False), (GEMM, False)])
def test_a_compiler_merges_pointwise_kernels_and_reductions(name, merges):
    """Steps of ten kernels of 100 µs, one after another: a compiler makes them fewer and shorter, or does not."""
    build, at = TraceBuilder(), 0.0
    for _ in range(STEPS):
        build.step(at, 1010)
        for number in range(10):
            build.launch(at + 10 * number, 5, kernel=(name, at + 10 + 100 * number, 99))
        build.sync(at + 120, 888)
        at += 1010
    saved = saved_us(build, "compile_reduce_overhead", 1010)
    assert saved > 200 if merges else saved < 50


# --- what limits the step elsewhere -----------------------------------------------------------------


@pytest.mark.parametrize("fix", ["cuda_graph", "compile_reduce_overhead", "fewer_launches"])
def test_while_workers_are_behind_the_wait_grows_by_what_is_saved(fix):
    """Fetches of 3 to 5 ms from workers, then 0.4 ms of launching: whatever is saved is waited for."""
    build, at = TraceBuilder(), 0.0
    for fetch in (4000.0, 3000.0, 5000.0, 4000.0, 4000.0):
        build.step(at, fetch + 400).annotation(WORKERS, at, fetch)
        build.python("nn.Module: Block_0", at + fetch, 400)
        launching(build, at + fetch)
        at += fetch + 400
    found = forecast(build, fix)
    assert not found.applies or found.saving_share < 0.03


NCCL = "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevComm*, unsigned long, ncclWork*)"


def exchanging(*exchanges: float) -> TraceBuilder:
    """Steps of 0.4 ms of launching and then a collective of so many µs, which the host waits for."""
    build, at = TraceBuilder(), 0.0
    for exchange in exchanges:
        build.step(at, 450 + exchange)
        end = launching(build, at)
        build.launch(end, 5, kernel=(NCCL, end + 10, exchange), stream=20)
        build.sync(end + 10, exchange + 6)
        at += 450 + exchange
    return build


def test_while_another_rank_is_late_the_wait_grows_by_what_is_saved():
    """Collectives of 2 ms, one of 0.1: the others wait 1.9 ms for a rank; a graph saves only where this one is late."""
    late = forecast(exchanging(*[2000] * 7, 100, *[2000] * 7), "cuda_graph")
    assert late.saving_share is not None
    assert late.saving_share * 2323 < 60
    alike = forecast(exchanging(*[2000] * 15), "cuda_graph")
    assert alike.saving_share is not None
    assert alike.saving_share * 2450 > 300


# --- reads ------------------------------------------------------------------------------------------


def reading(*, inside: str | None = None, outer: str | None = None, before: str | None = None) -> TraceBuilder:
    """Steps that launch ten kernels and read a value: in a range, under an operator, or after another operator."""
    build, at = TraceBuilder(), 0.0
    for _ in range(STEPS):
        build.step(at, 600)
        end = launching(build, at)
        if inside:
            build.annotation(inside, end, 100)
        if before:
            build.op(before, end, 4)
        if outer:
            build.op(outer, end + 8, 60)
        build.op("aten::item", end + 10, 55)
        build.memcpy(end + 15, 10, copy=("Memcpy DtoH (Device -> Pageable)", end + 22, 2), nbytes=4)
        build.sync(end + 26, 35)
        at += 600
    return build


@pytest.mark.parametrize("fix", ["record_every", "deferred_read"])
def test_a_loss_that_is_read_may_be_read_less_often(fix):
    """One `.item()` a step on the main thread: taken out, its cost goes."""
    assert saved_us(reading(), fix, 600, 100.0 if fix == "record_every" else None) > 20


@pytest.mark.parametrize("fix", ["record_every", "deferred_read"])
@pytest.mark.parametrize(
    "where",
    [
        {"inside": "Optimizer.step#Adam.step"},
        {"inside": "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"},
        {"outer": "aten::is_nonzero"},
        {"before": "aten::_amp_foreach_non_finite_check_and_unscale_"},
    ],
    ids=["optimizer", "loader", "if", "GradScaler"],
)
def test_a_read_that_is_needed_at_once_stays(fix, where):
    """Reads of an optimizer, a loader, a test in `if`, GradScaler: no forecast, and the reason."""
    found = forecast(reading(**where), fix, 100.0 if fix == "record_every" else None)
    assert not found.applies
    assert "needed at once" in found.why or "something else comes first" in found.why
