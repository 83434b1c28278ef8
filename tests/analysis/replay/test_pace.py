"""What keeps its pace whatever the host does: batches of the DataLoader's workers, work that was launched before."""

from __future__ import annotations

import pytest

from stallscope.analysis.replay.counterfactual import Replayed, find_replayed
from stallscope.analysis.stages.stages import analyse
from tests.builders import TraceBuilder

WORKERS = "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__"
MAIN_PROCESS = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"


def replayed(build: TraceBuilder) -> Replayed:
    """The replay of a trace that can be replayed."""
    found = find_replayed(analyse(build.trace()))
    assert found is not None
    return found


def loading(fetch: str) -> TraceBuilder:
    """Five steps: a fetch of 4 to 6 ms, then 1 ms of the host's work with one kernel."""
    build, at = TraceBuilder(), 0.0
    for duration in (4000.0, 5000.0, 6000.0, 5000.0, 5000.0):
        build.step(at, duration + 1000).annotation(fetch, at, duration)
        build.launch(at + duration + 500, 10, kernel=("gemm", at + duration + 520, 50))
        at += duration + 1000
    return build


def test_batches_come_at_the_pace_of_the_workers():
    """Workers are behind: a host that costs nothing only waits longer (but for the first fetch of a run)."""
    savings = replayed(loading(WORKERS)).savings
    assert savings["host"] == pytest.approx(1 / 30, abs=0.01)
    assert savings["input"] > 0.7


def test_workers_that_hand_over_at_one_time_keep_their_pace_too():
    """Four batches at once, then a wait of 12 ms: a host that costs nothing only waits longer."""
    build, at = TraceBuilder(), 0.0
    for fetch in (100.0, 12_000.0, 100.0, 100.0) * 5:
        build.step(at, fetch + 1000).annotation(WORKERS, at, fetch)
        build.launch(at + fetch + 500, 10, kernel=("gemm", at + fetch + 520, 50))
        at += fetch + 1000
    savings = replayed(build).savings
    assert savings["host"] < 0.06  # the 4 ms of a host of 16: but for the first wait of a run
    assert savings["input"] > 0.7


def test_batches_that_lie_ready_hold_nobody():
    """Workers are ahead, and taking a batch over takes 0.9 to 1.1 ms: a host that costs nothing saves what it took."""
    build, at = TraceBuilder(), 0.0
    for fetch in (1000.0, 900.0, 1100.0, 1000.0, 1000.0):
        build.step(at, fetch + 1000).annotation(WORKERS, at, fetch)
        build.launch(at + fetch + 500, 10, kernel=("gemm", at + fetch + 520, 50))
        at += fetch + 1000
    assert replayed(build).savings["host"] > 0.4


def test_a_training_process_that_loads_by_itself_is_held_by_nobody():
    """Loading in the training process: its own work, free, saves what it took."""
    assert replayed(loading(MAIN_PROCESS)).savings["host"] == pytest.approx(1 / 6, abs=0.02)


def queued() -> TraceBuilder:
    """Ten kernels of 400 µs launched before the first of three steps of 1 ms, which launch one of 1 ms each."""
    build = TraceBuilder()
    for number in range(10):
        build.launch(9.0 * number, 5, kernel=("gemm", 100 + 400.0 * number, 400))
    for number in range(3):
        start = 1000.0 * (number + 1)
        build.step(start, 1000).launch(start + 100, 5, kernel=("gemm", 4100 + 1000.0 * number, 1000))
    return build


def test_work_launched_before_the_window_is_a_queue():
    """Nothing starts late for no reason, the replay takes the time it took, and the GPU's work is what holds it."""
    found = replayed(queued())
    assert (found.trust.late_share, found.trust.identity_error) == (0.0, pytest.approx(0.0, abs=0.01))
    assert found.savings["compute"] >= 0.0
    assert found.graph.carried.sum() == 8  # two of the ten were done


def test_work_without_a_launch_keeps_its_place_on_its_stream():
    """Every second kernel has no launch and follows the one before it: freeing the GPU's work still saves."""
    build = TraceBuilder()
    for number in range(4):
        start = 2000.0 * number
        build.step(start, 2000).launch(start + 10, 5, kernel=("gemm", start + 20, 900))
        build.kernel(("relu", start + 921, 900)).sync(start + 100, 1735)
    assert replayed(build).savings["compute"] > 0.4


def backward_on_its_own_thread() -> TraceBuilder:
    """Six iterations without marked steps: a backward pass, on a thread of its own, launches most; a read waits."""
    build = TraceBuilder()
    for number in range(6):
        at = 1000.0 * number
        for place in range(3):
            build.op("aten::linear", at + 20 * place, 18)
            build.launch(at + 20 * place + 5, 5, kernel=("gemm", at + 20 + 90 * place, 85))
        for place in range(7):
            begin = at + 80 + 20 * place
            build.op("autograd::engine::evaluate_function: AddmmBackward0", begin, 18, tid=77)
            build.launch(begin + 5, 5, kernel=("gemm", at + 290 + 90 * place, 85), tid=77)
        build.annotation("Optimizer.step#SGD.step", at + 225, 10)
        build.op("aten::item", at + 240, 695).memcpy(
            at + 245, 685, copy=("Memcpy DtoH (Device -> Pageable)", at + 925, 2)
        )
    return build


def test_the_loops_thread_is_not_that_of_the_backward_pass():
    """Its own work, free, leaves what the loop's thread does by itself, some 300 µs of 1 ms: the GPU is the limit."""
    found = replayed(backward_on_its_own_thread())
    assert found.part.window.source == "optimizer"
    assert found.savings["compute"] > 0.5


def test_the_profilers_own_wait_holds_nobody_after_the_work():
    """No marked steps; one kernel, then 5 ms of the host, then the profiler synchronizes: the host is the limit."""
    build = TraceBuilder().op("aten::mm", 0, 40).launch(10, 5, kernel=("gemm", 20, 50))
    build.op("aten::index", 100, 4900).sync(5000, 10)
    assert replayed(build).savings["host"] > 0.9


def test_collectives_that_spin_are_no_work_of_the_gpus_own():
    """The GPU is busy for 930 of 1000 µs, 830 of them in collectives: its own work, free, saves a tenth."""
    build = TraceBuilder()
    for number in range(4):
        at = 1000.0 * number
        build.step(at, 1000).launch(at + 10, 5, kernel=("gemm", at + 20, 100))
        build.launch(at + 20, 5, kernel=("ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevComm*)", at + 121, 830))
        build.sync(at + 40, 917)
    savings = replayed(build).savings
    assert savings["communication"] > 0.7
    assert savings["compute"] < 0.15


def test_memory_that_is_freed_and_asked_for_again_is_one_class():
    """In each of four steps of 4 ms a free that waits for the GPU, and then an allocation: both are waits."""
    build = TraceBuilder()
    for at in range(0, 16_000, 4000):
        build.step(at, 4000).op("aten::mm", at + 10, 40).launch(at + 20, 5, kernel=("gemm", at + 30, 1000))
        build.call("cudaFree", at + 100, 1400).op("aten::empty", at + 1600, 1100).call("cudaMalloc", at + 1650, 1000)
    savings = replayed(build).savings
    assert savings["sync"] == pytest.approx(2400 / 4000, abs=0.02)
    assert savings["host"] == pytest.approx(1600 / 4000, abs=0.03)


def test_a_copy_that_ends_with_its_call_starts_before_that():
    """`.item()` on ROCm: one call copies and waits, no other copies; the replay takes the time that it took."""
    build = TraceBuilder()
    for number, call in enumerate((4, 9, 6, 12, 5)):  # a kernel starts 5 µs after the end of its call
        at = 2000 * number
        build.step(at, 2000).op("aten::mm", at + 10, 40).launch(at + 20, call, kernel=("gemm", at + 25 + call, 1500))
        build.op("aten::item", at + 100, 1500).op("aten::_local_scalar_dense", at + 101, 1498)
        copy = ("Memcpy DtoD (Device -> Device)", at + 1540, 2)
        build.memcpy(at + 110, 1450, copy=copy, name="hipMemcpyWithStream")
    found = replayed(build)
    assert found.trust.identity_error == pytest.approx(0.0, abs=0.01)
    assert found.savings["sync"] > 0.1
