"""Modes and habits that hold the host up: each named where the trace shows it, and not in a healthy one like it."""

import pytest

from stallscope.analysis.causes import starting
from stallscope.analysis.summary import summarize
from tests.analysis.test_summary import manifest_of
from tests.builders import TraceBuilder


def causes(builder, manifest=None):
    """Causes by name."""
    return {cause.name: cause for cause in summarize(builder.trace(), manifest).causes}


def loop(work, *, steps=5, length=10_000, gpu="NVIDIA H100 80GB HBM3"):
    """A loop of steps of 10 ms; ``work`` puts into the builder what step n, which begins at a time, holds."""
    builder = TraceBuilder(gpu=gpu)
    for number in range(steps):
        builder.step(number * length, length)
        work(builder, number * length, number)
    return builder


def training(builder, at, _number):
    """Ten operators that each start a kernel of 200 µs, and a wait at the end."""
    for place in range(10):
        start = at + 50 + 60 * place
        builder.op("aten::mm", start, 40).launch(start + 20, 5, kernel=("gemm", at + 100 + 205 * place, 200))
    builder.sync(at + 800, 1400)


# --- the model on the CPU ---------------------------------------------------------------------------


def on_cpu(builder, at, number):
    """Two convolutions of 3 ms each, which start nothing."""
    builder.op("aten::mkldnn_convolution", at + 100, 3000).op("aten::mkldnn_convolution", at + 3200, 3000)
    if number == 0:
        builder.launch(at + 7000, 5, kernel=("fill", at + 7010, 2))


def test_a_model_that_computes_on_the_cpu_beside_a_gpu():
    """60 % of each step in convolutions that start no kernel; the machine has an H100."""
    found = causes(loop(on_cpu))
    assert next(iter(found)) == "model_on_cpu"
    assert "nothing of it ran on your NVIDIA H100" in found["model_on_cpu"].evidence
    assert 'model.to("cuda")' in found["model_on_cpu"].advice
    assert "cuda_graph" in found["model_on_cpu"].bars


def test_a_part_of_the_model_on_the_cpu():
    """The GPU works 2 ms a step, a convolution of 3 ms runs on the CPU."""

    def work(builder, at, number):
        training(builder, at, number)
        builder.op("aten::mkldnn_convolution", at + 3000, 3000)

    assert "partly_on_cpu" in causes(loop(work))


def test_a_part_on_the_cpu_holds_the_copies_beside_it():
    """What comes down before the convolution, and waits for the GPU, is not blamed again as a read."""

    def work(builder, at, _number):
        builder.op("aten::mm", at + 50, 40).launch(at + 60, 5, kernel=("gemm", at + 100, 2000))
        builder.op("aten::to", at + 200, 1960)
        builder.memcpy(at + 210, 1900, copy=("Memcpy DtoH (Device -> Pageable)", at + 2102, 4))
        builder.op("aten::mkldnn_convolution", at + 2500, 3000)
        builder.op("aten::mm", at + 6000, 40).launch(at + 6010, 5, kernel=("gemm", at + 6020, 2000)).sync(
            at + 7000, 1030
        )

    found = causes(loop(work))
    assert next(iter(found)) == "partly_on_cpu"
    assert "wait_to_host" not in found


def test_operators_around_a_slow_launch_are_no_model_on_the_cpu():
    """A convolution of 3 ms of its own, in whose inner operator a kernel is started."""

    def work(builder, at, _number):
        builder.op("aten::_convolution", at + 100, 6000).op("aten::cudnn_convolution", at + 3000, 200)
        builder.launch(at + 3100, 5, kernel=("gemm", at + 3110, 5000))

    assert not {"model_on_cpu", "partly_on_cpu"} & set(causes(loop(work)))


def test_a_machine_without_a_gpu_has_no_model_on_the_cpu_to_speak_of():
    """The same without a GPU in file and manifest."""

    def work(builder, at, _number):
        builder.op("aten::mkldnn_convolution", at + 100, 6000)

    assert "model_on_cpu" not in causes(loop(work, gpu=None))


# --- compiling --------------------------------------------------------------------------------------


def compiling(*steps):
    """A loop in which code is compiled for 3 ms in these steps."""

    def work(builder, at, number):
        training(builder, at, number)
        if number in steps:
            builder.op("_compile.compile_inner (dynamo_timed)", at + 3000, 3000)

    return causes(loop(work))


def test_compiling_in_most_steps_is_recompiling():
    """In four of five steps; its own fix is to find the reason, and no compile or graph is offered."""
    found = compiling(0, 1, 2, 4)["recompiling"]
    assert found.evidence.startswith("In 4 of 5 steps code is compiled")
    assert "TORCH_LOGS=recompiles" in found.advice
    assert found.bars == ["compile_reduce_overhead", "cuda_graph"]


def test_compiling_once_is_not():
    """In the first step alone."""
    assert "recompiling" not in compiling(0)


# --- launches that block ----------------------------------------------------------------------------


def launches(took):
    """Thirty kernels of 200 µs; each launch takes so long, and the kernel starts 5 µs after it began."""

    def work(builder, at, _number):
        for place in range(30):
            start = at + 50 + 250 * place
            builder.op("aten::mm", start, took + 10).launch(start + 5, took, kernel=("gemm", start + 10, 200))

    return causes(loop(work))


def test_launches_that_return_after_their_kernel_block():
    """Each of 150 launches outlasts its kernel of 200 µs."""
    found = launches(215)["launch_blocking"]
    assert found.evidence == "100 % of 150 launches return only when their kernel has ended."
    assert "CUDA_LAUNCH_BLOCKING" in found.advice


def test_launches_that_return_at_once_do_not():
    """5 µs each."""
    assert "launch_blocking" not in launches(5)


def test_the_environment_says_so_too():
    """A run without a GPU whose manifest has the variable: said, at no cost."""
    finding = {"name": "launch_blocking", "text": "CUDA_LAUNCH_BLOCKING is set: each launch waits."}
    builder = TraceBuilder(gpu=None).step(0, 1000).op("aten::mm", 100, 800)
    found = causes(builder, manifest_of(findings=[finding]))
    assert found["launch_blocking"].evidence == "CUDA_LAUNCH_BLOCKING is set in this run's environment."


# --- checks of gradients ----------------------------------------------------------------------------


def backward(*, checked):
    """Ten nodes of the backward pass, on a thread of its own, each with a kernel and perhaps a check for nan."""

    def work(builder, at, _number):
        for place in range(10):
            start = at + 100 + 900 * place
            builder.op("autograd::engine::evaluate_function: MulBackward0", start, 100, tid=77)
            builder.launch(start + 20, 5, kernel=("mul", start + 30, 20), tid=77)
            if checked:
                builder.op("aten::isnan", start + 150, 100, tid=77).op("aten::item", start + 300, 400, tid=77)
                builder.launch(start + 160, 5, kernel=("isnan", start + 170, 20), tid=77)
                builder.sync(start + 310, 380, name="cudaStreamSynchronize", tid=77)

    return causes(loop(work))


def test_a_check_after_each_node_is_anomaly_mode():
    """Ten checks and reads a step: no read is advised to be made seldom."""
    found = backward(checked=True)
    assert next(iter(found)) == "anomaly_mode"
    assert "set_detect_anomaly(False)" in found["anomaly_mode"].advice
    assert "record_every" in found["anomaly_mode"].bars


def test_a_backward_pass_without_checks_is_not():
    """The same without isnan."""
    assert "anomaly_mode" not in backward(checked=False)


# --- graphs -----------------------------------------------------------------------------------------


def test_a_graph_that_is_made_in_each_step():
    """CudaGraphInstantiate for 3 ms in all five steps, then a replay."""

    def work(builder, at, _number):
        builder.call("cudaGraphInstantiate", at + 100, 3000)
        builder.graph_launch(at + 3200, 10, [("a", at + 3220, 100)])

    assert "cudagraph_mark_step_begin" in causes(loop(work))["graph_instantiated"].advice


def test_a_graph_that_is_made_once_is_not():
    """In the first step alone; later ones replay it."""

    def work(builder, at, number):
        if number == 0:
            builder.call("cudaGraphInstantiate", at + 100, 3000)
        builder.graph_launch(at + 3200, 10, [("a", at + 3220, 100)])

    assert "graph_instantiated" not in causes(loop(work))


def capture():
    """Forty launches between begin and end of a capture, which start nothing, then one replay."""
    builder = TraceBuilder().step(0, 10_000).call("cudaStreamBeginCapture", 100, 10)
    for place in range(40):
        builder.op("aten::add", 200 + 100 * place, 60).launch(220 + 100 * place, 10)
    builder.call("cudaStreamEndCapture", 5000, 50).call("cudaGraphInstantiate", 5100, 3000)
    return builder.graph_launch(9000, 10, [("add", 9020, 100)]).call("cudaStreamSynchronize", 9100, 30)


def test_a_capture_is_no_step():
    """Set-up, and no graph is offered for it."""
    found = causes(capture())
    assert "graph_capture" in found
    assert "cuda_graph" in found["graph_capture"].bars


def test_a_capture_bars_every_forecast():
    """Whatever is changed, a capture takes place once: nothing is said to be saved of it."""
    made = summarize(capture().trace()).what_if
    assert made
    assert [each.fix for each in made if each.step_us is not None] == []
    assert set(starting.BARS) <= set(causes(capture())["graph_capture"].bars)


# --- one process for several GPUs -------------------------------------------------------------------


@pytest.mark.parametrize("devices", [1, 2])
def test_data_parallel_feeds_several_gpus_from_one_process(devices):
    """Broadcast and Gather in each step: with two GPUs a cause, with one a name."""

    def work(builder, at, _number):
        builder.op("Broadcast", at + 100, 2000).op("Scatter", at + 2200, 500).op("Gather", at + 6000, 500)
        for device in range(devices):
            start = at + 3000 + 100 * device
            builder.launch(start, 5, kernel=("gemm", start + 10, 2000), device=device)

    found = causes(loop(work))
    assert ("data_parallel" in found) is (devices > 1)
    if devices > 1:
        assert "DistributedDataParallel" in found["data_parallel"].advice


# --- nothing of these -------------------------------------------------------------------------------


def test_a_healthy_loop_has_none_of_them():
    """Ten kernels a step, one wait."""
    modes = {"model_on_cpu", "partly_on_cpu", "recompiling", "launch_blocking", "anomaly_mode", "graph_capture"}
    assert not (modes | {"graph_instantiated", "data_parallel", "wddm_batching"}) & set(causes(loop(training)))
