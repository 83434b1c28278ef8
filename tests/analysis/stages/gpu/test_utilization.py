"""SM efficiency, occupancy and grid size, and device memory."""

import pytest

from stallscope.analysis.fill.memory import fill_memory
from stallscope.analysis.stages.gpu.utilization import Filling, find_filling
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.stages.where.steps import find_window
from tests.builders import TraceBuilder


def filling_of(builder):
    """The stage on a trace built here."""
    trace = builder.trace()
    return find_filling(trace, find_window(trace))


def test_efficiency_adds_running_kernels_up_to_one_and_averages_over_the_window():
    """0.4 for 20 µs alone, then 0.4 + 0.9 → 1 for 10 µs, then 0.9 for 10 µs, of 100 µs: 0.27."""
    builder = TraceBuilder().step(0, 100)
    builder.kernel(("a", 10, 30), **{"blocks per SM": 0.4})
    builder.kernel(("b", 30, 20), stream=8, **{"blocks per SM": 0.9})
    assert filling_of(builder).sm_efficiency == pytest.approx(0.4 * 0.2 + 0.1 + 0.9 * 0.1)


def test_occupancy_is_weighted_by_kernel_time_inside_the_window():
    """10 % for 30 µs and 50 % for 10 µs (and 50 more after the step, which do not count): 20 %."""
    builder = TraceBuilder().step(0, 100)
    builder.kernel(("a", 10, 30), **{"est. achieved occupancy %": 10})
    builder.kernel(("b", 90, 60), **{"est. achieved occupancy %": 50})
    assert filling_of(builder).occupancy_percent == pytest.approx(20.0)


def test_blocks_per_kernel_is_the_mean_grid():
    """Grids of 64 × 2 × 1 and 1 × 1 × 2 blocks: 65 on average."""
    builder = TraceBuilder().step(0, 100).kernel(("a", 10, 30)).kernel(("b", 50, 3), grid=[1, 1, 2])
    assert filling_of(builder).blocks_per_kernel == 65.0


def test_what_the_trace_does_not_tell_is_unknown():
    """No kernels: no efficiency, no occupancy, no blocks; never 0."""
    assert filling_of(TraceBuilder().step(0, 100).op("a", 1, 1)) == Filling(None, None, None)


def test_memory_peaks_are_the_highest_device_samples():
    """Samples of the host do not count; the device's size comes from the file."""
    builder = TraceBuilder().step(0, 100).memory(1, 500, 800).memory(2, 300, 900).memory(3, 9999, 9999, device=None)
    memory = fill_memory(analyse(builder.trace()).room, None)
    assert (memory.peak_allocated, memory.peak_reserved, memory.total) == (500, 900, 85018279936)
    assert (memory.alloc_retries, memory.ooms) == (None, None)
