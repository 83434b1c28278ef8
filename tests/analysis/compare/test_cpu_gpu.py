"""A CPU run against a GPU run of one script: which is faster, and why."""

from __future__ import annotations

from stallscope.analysis.compare.compare import compare
from tests.analysis.comparing import operator, run

ON_CPU = run("cpu", step=70.0, operators=[operator("aten::mm", 20.0), operator("aten::relu", 5.0)])
ON_GPU_OPERATORS = [
    operator("aten::mm", 40.0, 2.0),
    operator("aten::relu", 30.0, 1.5),
    operator("aten::copy_", 9.0, 1.0),
]
ON_GPU = run("gpu", vendor="cuda", step=290.0, gpu_busy_us=24.0, operators=ON_GPU_OPERATORS)


def test_a_small_model_is_faster_on_the_cpu_and_the_launches_are_why() -> None:
    """70 µs against 290, the GPU working 24 of them: too small for the GPU."""
    comparison = compare([ON_CPU], [ON_GPU])
    both = comparison.cpu_against_gpu
    assert both is not None
    assert (comparison.kind, both.cpu_side, both.faster) == ("cpu_gpu", "baseline", "cpu")
    assert "too small for the GPU" in both.why
    assert "20 kernels" in both.why
    assert [(row.name, row.cpu_us, row.gpu_host_us, row.gpu_device_us, row.faster) for row in both.operators] == [
        ("aten::mm", 20.0, 40.0, 2.0, "cpu"),
        ("aten::relu", 5.0, 30.0, 1.5, "cpu"),
        ("aten::copy_", 0.0, 9.0, 1.0, None),
    ]


def test_an_operator_only_the_gpu_has_no_device_time_on_the_cpu() -> None:
    """aten::copy_ appears with the GPU: its device time before is unknown, for a CPU run has no device."""
    row = next(row for row in compare([ON_CPU], [ON_GPU]).operators if row.name == "aten::copy_")
    assert row.status == "appeared"
    assert (row.host_self_us_per_step.baseline, row.host_self_us_per_step.difference) == (0.0, 9.0)
    assert (row.device_us_per_step.baseline, row.device_us_per_step.difference) == (None, None)


def test_the_sides_may_be_given_the_other_way_round() -> None:
    """GPU first: the same winner."""
    both = compare([ON_GPU], [ON_CPU]).cpu_against_gpu
    assert both is not None
    assert (both.cpu_side, both.faster) == ("candidate", "cpu")


def test_a_large_model_is_faster_on_the_gpu() -> None:
    """5 000 µs against 290: the GPU wins, for its work replaces the operators' time."""
    slow = run("cpu", step=5000.0, operators=[operator("aten::mm", 4900.0)])
    both = compare([slow], [ON_GPU]).cpu_against_gpu
    assert both is not None
    assert both.faster == "gpu"
    assert "4.90 ms" in both.why


def test_a_busy_gpu_that_loses_is_not_blamed_on_launches() -> None:
    """The GPU works 280 of 290 µs and still loses: its kernels are slower."""
    busy = run("gpu", vendor="cuda", step=290.0, gpu_busy_us=280.0, operators=ON_GPU_OPERATORS)
    both = compare([ON_CPU], [busy]).cpu_against_gpu
    assert both is not None
    assert "kernels themselves are slower" in both.why


def test_withheld_gpu_figures_give_no_reason() -> None:
    """Which side wins is known; why is not invented."""
    blind = run("gpu", vendor="cuda", step=290.0, gpu_busy_us=None, kernel_rows=None, operators=ON_GPU_OPERATORS)
    both = compare([ON_CPU], [blind]).cpu_against_gpu
    assert both is not None
    assert both.faster == "cpu"
    assert "the reason is too" in both.why


def test_a_trace_of_an_idle_gpu_is_a_cpu_run() -> None:
    """The script chose the CPU on a machine with a GPU: nothing ran there, so it is a CPU run."""
    idle = run("idle", vendor="cuda", kernel_launches=0.0, kernels=0.0, memcpys=0.0)
    assert compare([run()], [idle]).kind == "cpu"


def test_a_cpu_run_and_a_gpu_run_are_not_merely_different_devices() -> None:
    """That they differ is the question there, not a limit of the answer."""
    found = {note.name for note in compare([run()], [run(vendor="cuda")]).notes}
    assert "different_devices" not in found
