"""Counts by step: on real traces they add up to the totals that the stages have."""

from __future__ import annotations

import pytest

from stallscope.analysis.check.counts import Counts, _steps, find_counts
from stallscope.analysis.stages.stages import Stages, analyse
from stallscope.traces.model.fields import Category
from tests.builders import TraceBuilder
from tests.real import real, small_real_traces


def _counted(path) -> tuple[Stages, Counts]:
    stages = real(path).stages
    if not stages.launches.known:
        pytest.skip("no calls of a known device")
    if not _steps(stages, None).all():
        pytest.skip("a step was cut short")
    return stages, find_counts(stages, None)


@small_real_traces
def test_steps_add_up_to_the_window(path) -> None:
    """Launches, Synchronize calls and operators of all steps are those of the window."""
    stages, counts = _counted(path)
    events = stages.trace.events
    operators = events.ts_ns[events.rows(Category.CPU_OP)]
    assert counts.by_step["launches"].sum() == stages.launches.total
    assert counts.by_step["kernel_launches"].sum() == stages.launches.kernel_launches
    assert counts.by_step["sync_calls"].sum() == stages.syncs.calls
    assert counts.by_step["operators"].sum() == stages.window.holds(operators).sum()


@small_real_traces
def test_waits_are_no_more_than_calls_and_no_fewer_than_reads(path) -> None:
    """A wait is made of at least one Synchronize call or blocking copy; each read is a wait of a step that counts."""
    stages, counts = _counted(path)
    waits = counts.waits or ()
    blocking = sum(site.calls for site in stages.syncs.sites if not site.by_profiler)
    assert sum(wait.is_read for wait in waits) <= len(waits) <= blocking
    assert {wait.step for wait in waits} <= set(range(counts.steps))


@pytest.mark.parametrize("copies", [1, 3])
def test_device_work_belongs_to_the_step_of_its_call(copies: int) -> None:
    """Copies that run in the second step, called in the first, are the first's."""
    builder = TraceBuilder().step(0, 100).step(100, 100).launch(5, 2, kernel=("k", 10, 5))
    for number in range(copies):
        row = ("Memcpy HtoD (Pinned -> Device)", 120 + 10 * number, 5)
        builder.memcpy(20 + 10 * number, 2, copy=row, nbytes=1000)
    builder.launch(150, 2, kernel=("k", 160, 5))
    found = find_counts(_stages(builder), None)
    assert found.by_step["h2d_bytes"].tolist() == [1000 * copies, 0]
    assert found.by_step["memcpys"].tolist() == [copies, 0]
    assert found.by_step["kernels"].tolist() == [1, 1]


def _stages(builder: TraceBuilder) -> Stages:
    """The stages of a trace that a test built."""
    return analyse(builder.trace())
