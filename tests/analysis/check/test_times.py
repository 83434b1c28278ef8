"""The budget of the step's time: repeated runs against repeated runs, or nothing is told."""

from __future__ import annotations

import pytest

from stallscope.analysis.check.baseline import Against
from stallscope.analysis.check.budgets import Time
from stallscope.analysis.check.times import Times, time_row
from stallscope.analysis.contract.check import BaselineEntry, CheckKey

KEY = CheckKey(workload=None, device="cpu", torch="2.13")
BEFORE = [1000.0, 1004.0, 996.0, 1002.0, 998.0]


def _against(step_us: list[float], machine: str = "A CPU") -> Against:
    return Against("baseline.json", BaselineEntry(key=KEY, figures={}, step_us=step_us, machine=machine))


@pytest.mark.parametrize(
    ("factor", "status"), [(1.0, "ok"), (1.03, "ok"), (1.05, "unknown"), (1.1, "exceeded"), (0.8, "ok")]
)
def test_the_interval_decides(factor: float, status: str) -> None:
    """Of runs that differ by half a percent: 3 % more is within 5 %, 10 % is not, 5 % cannot be told."""
    times = Times(tuple(factor * us for us in BEFORE), "A CPU")
    row = time_row(Time(0.05, cannot_tell_passes=False), times, _against(BEFORE))
    assert row.status == status
    assert row.value_low is not None
    assert row.value_high is not None
    assert row.value_low < 100 * (factor - 1) < row.value_high


@pytest.mark.parametrize(
    ("times", "against", "said"),
    [
        (Times((1000.0,), "A CPU"), _against(BEFORE), "one run says nothing of how runs differ"),
        (Times((1000.0, None), "A CPU"), _against(BEFORE), "a run has no step without the profiler"),
        (Times((1000.0, 1001.0), "A CPU"), _against([1000.0]), "the baseline holds the time of no repeated runs"),
        (Times((1000.0, 1001.0), "A CPU"), _against(BEFORE, "Another"), "of another machine"),
        (Times((1000.0, 1001.0), None), _against(BEFORE), "of another machine"),
        (Times((1000.0, 1001.0), "A CPU"), None, "there is no baseline with times"),
    ],
)
def test_what_cannot_be_told_is_said_and_passes_only_where_asked(
    times: Times, against: Against | None, said: str
) -> None:
    """``cannot_tell = "pass"`` lets it pass; ``"fail"`` does not."""
    row = time_row(Time(0.05), times, against)
    assert (row.status, row.value_high) == ("unknown_allowed", None)
    assert said in row.text
    assert time_row(Time(0.05, cannot_tell_passes=False), times, against).status == "unknown"
