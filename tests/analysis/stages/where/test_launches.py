"""Launches: what counts as one, and how calls are paired with device work."""

import pytest

from stallscope.analysis.stages.where.launches import find_launches, launch_issues
from stallscope.analysis.stages.where.steps import find_window
from tests.builders import TraceBuilder


def launches_of(builder):
    """The stage on a trace built here."""
    trace = builder.trace()
    return trace, find_launches(trace, find_window(trace))


@pytest.mark.parametrize(
    "name",
    ["cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx", "cudaLaunchCooperativeKernel", "hipLaunchKernel",
     "hipExtModuleLaunchKernel", "hipLaunchCooperativeKernel"],
)  # fmt: skip
def test_every_call_that_starts_a_kernel_is_a_launch(name):
    """Runtime, driver, cooperative and ROCm spellings count one launch each."""
    _, found = launches_of(TraceBuilder().step(0, 100).launch(10, 5, kernel=("k", 20, 10), name=name))
    assert (found.kernel_launches, found.graph_launches) == (1, 0)


def test_graph_launch_is_one_launch_however_many_kernels():
    """One cudaGraphLaunch with three kernels: one graph launch, all three paired with it."""
    kernels = [("a", 20, 5), ("b", 25, 5), ("c", 30, 5)]
    _, found = launches_of(TraceBuilder().step(0, 100).graph_launch(10, 5, kernels))
    assert (found.kernel_launches, found.graph_launches, found.total) == (0, 1, 1)
    assert len(set(found.work_call.tolist())) == 1
    assert found.queue_delay_ns.tolist() == [5_000]


def test_launch_counts_in_the_step_in_which_it_starts():
    """A launch before the window does not count, one that starts inside does, though its kernel runs after the end."""
    builder = TraceBuilder().step(100, 100)
    builder.launch(90, 20, kernel=("k", 120, 5)).launch(195, 10, kernel=("k", 300, 5))
    _, found = launches_of(builder)
    assert found.kernel_launches == 1


def test_queue_delay_may_be_negative():
    """A kernel that starts 3 µs before its launch call returns has a queue delay of −3 µs."""
    _, found = launches_of(TraceBuilder().step(0, 100).launch(10, 8, kernel=("k", 15, 5)))
    assert found.queue_delay_ns.tolist() == [-3_000]


def test_kernel_launched_before_the_recording_has_no_call():
    """A kernel whose correlation no call carries is paired with nothing."""
    _, found = launches_of(TraceBuilder().step(0, 100).call("cudaEventQuery", 1, 1).kernel(("k", 15, 5)))
    assert found.work_call.tolist() == [-1]


def test_launches_without_any_device_row_withhold_the_gpu():
    """Two launches and no kernels in the whole file: data was lost, and that is said with its count."""
    trace, found = launches_of(TraceBuilder().step(0, 100).launch(10, 5).launch(20, 5))
    assert (found.known, found.recorded, found.kernel_launches) == (True, False, 2)
    assert [(i.name, str(i.severity), i.count) for i in launch_issues(trace, found)] == [
        ("no_gpu_records", "data_loss", 2)
    ]
