"""The reader and the figures against the brute-force reference, on every real trace, to the nanosecond."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stallscope.analysis.contract.summary import Steps
from stallscope.analysis.summary import summarize
from stallscope.traces.model.trace import Trace
from tests.real import name_of, real, real_parameters
from tests.reference import Reference, figures_of, load, nested_launches, rows_of

COUNTS = ("kernel_launches", "graph_launches", "kernels", "memcpys", "memsets", "sync_calls")
TIMES = ("sync_call", "gpu_busy", "gpu_idle", "kernel", "memcpy", "memset")
ALL = {*COUNTS, *TIMES}
OF_THE_DEVICE = {"kernels", "memcpys", "memsets", "gpu_busy", "gpu_idle", "kernel", "memcpy", "memset"}

# Which figures are withheld (null) in which file; in every file not named here, none is.
WITHHELD = {
    "cpu/rank-34": ALL,  # no device
    "cpu/rank_non_gpu": ALL,  # no device
    "mtia/inference_rank_0": ALL,  # calls without CUDA names, device rows without a meaning known here
    "a100/cupti_counters": OF_THE_DEVICE,  # 77 launches and not one kernel: the device was not recorded
}


@dataclass
class Both:
    """One real trace: as the package reads it, and as plain json does."""

    name: str
    path: Path
    document: dict[str, Any]
    trace: Trace


@pytest.fixture(
    scope="module",
    params=real_parameters(),
)
def both(request) -> Both:
    """Each real trace in turn, read once for all tests of this file."""
    path = request.param
    return Both(name_of(path), path, load(path), real(path).trace)


def expected_of(both: Both, steps: Steps) -> Reference:
    """The reference's figures: its own window where ProfilerStep or nothing marks one, else the one that is told.

    Where the host runs ahead those of the device are counted over the window of the device.
    """
    own = steps.source in ("profiler_step", "whole_trace")
    told = None if own else ((steps.window_start_ns, steps.window_end_ns), steps.count)
    ahead = steps.device_window_us is not None
    device = (steps.device_window_start_ns, steps.device_window_end_ns) if ahead else None
    return figures_of(both.document, told, device)


def test_figures(both: Both):
    """Every figure, times the number of steps, is the reference's total; the withheld ones are null and named above.

    A device that the host runs ahead of is looked at from the end of the first step to that of the last.
    """
    summary = summarize(both.trace, None)
    expected = expected_of(both, summary.steps)
    assert expected.steps == summary.steps.count
    ahead = summary.steps.device_window_us is not None
    device_steps = max(1, expected.steps - 1) if ahead else expected.steps
    withheld = WITHHELD.get(both.name, set())

    found = {key: getattr(summary.per_step, key) for key in COUNTS}
    found |= {key: getattr(summary.per_step, f"{key}_us") for key in TIMES}
    assert withheld == {key for key, value in found.items() if value is None}
    for key in ALL - withheld:
        steps = device_steps if key in OF_THE_DEVICE else expected.steps
        assert getattr(expected, key) == total(found[key], steps, 1000 if key in TIMES else 1), key


def total(per_step: float, steps: int, unit: int) -> int:
    """The window's total of a per-step figure: a count, or ns of a figure in µs."""
    return round(per_step * steps * unit)


def test_window(both: Both):
    """The window is the reference's, and as long as it is told to be; that of the device as well."""
    steps = summarize(both.trace, None).steps
    expected = expected_of(both, steps)
    assert expected.window == (steps.window_start_ns, steps.window_end_ns)
    assert expected.window[1] - expected.window[0] == round(steps.window_us * 1000)
    length = steps.window_us if steps.device_window_us is None else steps.device_window_us
    assert expected.device_window[1] - expected.device_window[0] == round(length * 1000)


def test_columns(both: Both):
    """Counts and sums of every column are those of plain json: nothing lost, nothing twice, nothing rounded."""
    rows = rows_of(both.document)
    events = both.trace.events
    assert len(both.document["traceEvents"]) == both.trace.event_count
    assert len(rows) == len(events)
    assert sum(row.start for row in rows) == exact_sum(events.ts_ns)
    assert sum(row.end for row in rows) == exact_sum(events.end_ns)
    assert sum(len(row.name) for row in rows) == sum(len(both.trace.strings[i]) for i in events.name.tolist())
    told = [int(row.args["correlation"]) for row in rows if "correlation" in row.args]
    assert len(told) == int(events.correlation.known.sum())
    assert sum(told) == exact_sum(events.correlation.values)


def test_device_columns(both: Both):
    """Devices, streams, bytes and grids of kernels, copies and sets are those of plain json."""
    work = both.trace.work
    rows = [
        row for row in rows_of(both.document) if row.cat.lower().removeprefix("gpu_") in {"kernel", "memcpy", "memset"}
    ]
    assert len(rows) == len(work)
    assert sum(int(row.args["device"]) for row in rows) == exact_sum(work.device)
    assert sum(int(row.args["stream"]) for row in rows) == exact_sum(work.stream)
    assert sum(int(row.args.get("bytes", 0)) for row in rows) == exact_sum(work.bytes.values)
    grids = [row.args["grid"] for row in rows if "grid" in row.args]
    assert len(grids) == int(work.blocks.known.sum())
    assert sum(int(x) * int(y) * int(z) for x, y, z in grids) == exact_sum(work.blocks.values)
    occupancies = [float(row.args[key]) for row in rows if (key := "est. achieved occupancy %") in row.args]
    assert pytest.approx(sum(occupancies)) == np.nansum(work.occupancy_percent)


def exact_sum(column: np.ndarray) -> int:
    """The sum of an integer column, beyond 64 bits if need be."""
    return sum(column.tolist())


def test_no_real_trace_nests_a_driver_launch_in_a_runtime_launch(both: Both):
    """The counting rule for a launch recorded twice (runtime over driver) is not touched by any real file."""
    assert nested_launches(both.document) == 0
