"""The critical path: what the end of the last step hangs on, without gap or overlap."""

from __future__ import annotations

from stallscope.analysis.replay.critical_path import Stretch, find_critical_path, tiles
from stallscope.analysis.stages.stages import analyse
from tests.builders import TraceBuilder
from tests.real import real, small_real_traces

KERNEL, LAUNCH = "GPU: k", "CPU: cudaLaunchKernel"


def path_of(builder: TraceBuilder) -> list[tuple[float, float, str]]:
    """(start, end, name) of the path's stretches, µs."""
    found = find_critical_path(analyse(builder.trace()))
    assert tiles(found)
    return [(each.start_ns / 1000, each.end_ns / 1000, each.name) for each in found]


def test_a_wait_for_the_gpu_leads_to_the_kernel_waited_for():
    """A kernel from 10 to 40 is waited for until 45; what the step ends with is the CPU's, not the last kernel's."""
    builder = TraceBuilder().step(0, 110).launch(2, 5, kernel=("k", 10, 30)).op("aten::item", 18, 30).sync(20, 25)
    builder.launch(80, 5, kernel=("k", 90, 10))
    assert path_of(builder) == [
        (0.0, 2.0, "CPU: Python and operators"),
        (2.0, 10.0, "a launch on its way to the GPU"),
        (10.0, 40.0, KERNEL),
        (40.0, 45.0, "the CPU returns from waiting for the GPU"),
        (45.0, 80.0, "CPU: Python and operators"),
        (80.0, 85.0, LAUNCH),
        (85.0, 110.0, "CPU: Python and operators"),
    ]


def test_a_queue_of_long_kernels():
    """Four kernels of 99 µs, launched within 42 µs: the path goes through them, and over the CPU only to the first."""
    builder = TraceBuilder().step(0, 420)
    for number in range(4):
        builder.launch(2 + 10 * number, 5, kernel=("k", 10 + 100 * number, 99))
    builder.sync(50, 364)
    assert path_of(builder)[:6] == [
        (0.0, 2.0, "CPU: Python and operators"),
        (2.0, 10.0, "a launch on its way to the GPU"),
        (10.0, 109.0, KERNEL),
        (109.0, 110.0, "between two pieces of GPU work"),
        (110.0, 209.0, KERNEL),
        (209.0, 210.0, "between two pieces of GPU work"),
    ]


def test_without_device_work_there_is_no_path():
    """A run on the CPU gives no graph."""
    assert path_of(TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 10, 80)) == []


def test_a_gap_is_noticed():
    """The law can fail: a stretch that begins after the one before it has ended."""
    first, second = Stretch(0, 5, 0, None, "a", -1), Stretch(6, 9, 1, None, "b", -1)
    assert not tiles((first, second))
    assert not tiles((first, Stretch(4, 9, 1, None, "b", -1)))


@small_real_traces
def test_real_traces(path):
    """The path tiles its time, does not begin before the window, and ends with the last step or after it."""
    stages = real(path).stages
    found = find_critical_path(stages)
    assert tiles(found)
    if found:
        assert stages.window.start <= found[0].start_ns
        assert found[-1].end_ns >= stages.window.end
