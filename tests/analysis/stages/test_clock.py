"""The clocks of CPU and GPU: where they are apart the device's rows are moved, and it is said."""

from __future__ import annotations

import numpy as np

from stallscope.analysis.stages.clock import find_offsets
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from stallscope.traces.model.trace import Trace
from tests.builders import TraceBuilder

STEPS = 6
STEP_US = 1000


def _training(late_us: float, drift_us: float = 0.0, *, waits: bool = True) -> Trace:
    """Six steps of two kernels, 900 of 1000 µs, and a wait; the device's clock is late, and later in each step."""
    builder = TraceBuilder()
    for step in range(STEPS):
        at, by = 5000 + STEP_US * step, late_us + drift_us * step
        builder.step(at, STEP_US).op("aten::mm", at + 10, 80)
        builder.launch(at + 20, 5, kernel=("gemm", at + 27 + by, 450))
        builder.launch(at + 60, 5, kernel=("gemm", at + 478 + by, 450))
        if waits:
            builder.sync(at + 100, 834)
    return builder.trace()


def test_late_clock_is_set_right() -> None:
    """A device clock that is 300 µs late is named, and its rows are moved to within 10 µs of where they belong."""
    stages, true = analyse(_training(300)), analyse(_training(0))
    (clock,) = stages.clocks
    assert clock.shift_ns is not None
    assert abs(clock.shift_ns + 300_000) < 10_000
    starts = [each.trace.events.ts_ns[each.trace.work.row] for each in (stages, true)]
    assert np.abs(starts[0] - starts[1]).max() < 10_000


def test_answer_of_a_late_clock() -> None:
    """With the rows moved the verdict is that of the same training with clocks that agree, and health says why."""
    late, true = summarize(_training(300)), summarize(_training(0))
    (issue,) = [issue for issue in late.health.issues if issue.name == "clock_offset"]
    assert "late" in issue.advice
    assert late.verdict.kind == true.verdict.kind == "compute-bound"
    assert not [issue for issue in true.health.issues if issue.name == "clock_offset"]


def test_early_clock_is_set_right() -> None:
    """Kernels that start before their launch by more than clocks differ are moved too."""
    (clock,) = find_offsets(_training(-300))
    assert clock.shift_ns is not None
    assert abs(clock.shift_ns - 300_000) < 10_000
    assert "early" in clock.issue().advice


def test_drift_is_not_moved() -> None:
    """A clock that is early in some steps and late in others is named; no one shift would be right."""
    stages = analyse(_training(-400, drift_us=160))
    (clock,) = stages.clocks
    assert clock.shift_ns is None
    assert "in places" in clock.issue().advice


def test_nothing_tells_of_a_late_clock_without_waits() -> None:
    """Without a wait late rows may as well be queued work: nothing is said and nothing moved."""
    assert find_offsets(_training(300, waits=False)) == ()


def test_moved_rows_keep_their_work() -> None:
    """After the move each row of work still is the event that it was, in the order of time."""
    moved, true = analyse(_training(300)).trace, _training(0)
    assert [moved.name_of(row) for row in moved.work.row.tolist()] == ["gemm"] * 2 * STEPS
    assert (np.diff(moved.events.ts_ns) >= 0).all()
    paired = moved.events.correlation.values[moved.work.row]
    assert paired.tolist() == true.events.correlation.values[true.work.row].tolist()
