"""Budgets held against traces of which every count is known."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from stallscope.analysis.check.budgets import parse_budgets
from stallscope.analysis.check.check import check, measure
from stallscope.analysis.check.workload import not_the_workload
from stallscope.analysis.contract.check import Check
from stallscope.analysis.stages.stages import analyse
from tests.analysis.comparing import manifest_of
from tests.builders import TraceBuilder

READ = "Memcpy DtoH (Device -> Pageable)"
UPLOAD = "Memcpy HtoD (Pageable -> Device)"


def _loop(steps: int = 4, reads_in: tuple[int, ...] = ()) -> TraceBuilder:
    """Steps of 100 µs with two kernels; ``reads_in``: those in which one value is read back, as torch does it."""
    builder = TraceBuilder()
    for number in range(steps):
        at = 100 * number
        builder.step(at, 100).op("aten::mm", at + 1, 10).launch(at + 2, 3, kernel=("gemm", at + 6, 10))
        builder.op("aten::add", at + 12, 6).launch(at + 13, 3, kernel=("add", at + 17, 5))
        if number in reads_in:
            builder.op("aten::item", at + 30, 30).op("aten::_local_scalar_dense", at + 31, 28)
            builder.memcpy(at + 32, 10, copy=(READ, at + 34, 4)).sync(at + 45, 5, name="cudaStreamSynchronize")
    return builder


def _checked(builder: TraceBuilder, per_step: dict, **tables: object) -> Check:
    budgets = parse_budgets({"per_step": per_step, **tables}, "stallscope.toml")
    return check([measure("trace.json", analyse(builder.trace()), None, budgets)], budgets)


def _values(found: Check) -> dict[str, float | None]:
    return {row.name: row.value_high for row in found.rows}


def test_a_read_is_one_wait() -> None:
    """The copy and the Synchronize call of one .item() are one wait, and one read."""
    found = _checked(_loop(reads_in=(0, 1, 2, 3)), {"waits": 1, "reads": 1, "sync_calls": 1, "launches": 2})
    assert _values(found) == {"launches": 2, "waits": 1, "reads": 1, "sync_calls": 1}
    assert (found.outcome, found.text) == ("pass", "4 budgets kept.")


def test_one_more_read_in_one_step_fails() -> None:
    """The largest step decides, so a read in one step of four is found."""
    found = _checked(_loop(reads_in=(2,)), {"waits": 0, "launches": 2})
    assert found.outcome == "fail"
    assert {row.name: row.status for row in found.rows} == {"launches": "ok", "waits": "exceeded"}
    assert "aten::item" in found.rows[1].text


def test_the_median_step_may_be_asked_for() -> None:
    """A read in one step of four is none in the median step."""
    found = _checked(_loop(reads_in=(2,)), {"waits": {"max": 0, "steps": "median"}})
    assert (found.outcome, found.rows[0].over) == ("pass", "median")


def test_a_pinned_figure_may_not_fall_either() -> None:
    """2 launches where 3 are expected are as wrong as 4."""
    assert _checked(_loop(), {"launches": "3±0"}).outcome == "fail"
    assert _checked(_loop(), {"launches": "3±1"}).outcome == "pass"


def test_copies_bytes_allocations_and_captures() -> None:
    """Each is counted in its step; copies in the step of the call that started them."""
    builder = _loop(2)
    builder.op("aten::copy_", 120, 20).memcpy(121, 4, copy=(UPLOAD, 205, 9), nbytes=4096)
    builder.call("cudaMalloc", 150, 5).call("cudaGraphInstantiate", 160, 5)
    limits = {"pageable_copies": 0, "h2d_bytes": "4 kB", "allocations": 0, "graph_captures": 0}
    found = _checked(builder, limits)
    assert _values(found) == {"pageable_copies": 1, "h2d_bytes": 4096, "allocations": 1, "graph_captures": 1}
    assert {row.status for row in found.rows} == {"exceeded"}


def test_an_upload_that_returns_late_is_no_wait() -> None:
    """A pageable copy to the GPU returns early or late by chance: no exact count may depend on it."""
    late = _loop(2).op("aten::copy_", 120, 60).memcpy(121, 40, copy=(UPLOAD, 125, 20), nbytes=4096)
    assert _values(_checked(late, {"waits": 0, "pageable_copies": 1})) == {"waits": 0, "pageable_copies": 1}


def test_an_unknown_figure_fails_unless_the_budget_says_otherwise() -> None:
    """A run without a GPU knows of no launch: null is not 0."""
    builder = TraceBuilder(gpu=None)
    for at in (0, 100, 200):
        builder.step(at, 100).op("aten::mm", at + 1, 50)
    failed = _checked(builder, {"graph_launches": 2, "operators": 1})
    assert (failed.outcome, failed.rows[1].status, failed.rows[1].value_high) == ("fail", "unknown", None)
    assert 'unknown = "pass"' in failed.rows[1].text
    passed = _checked(builder, {"graph_launches": {"max": 2, "unknown": "pass"}, "operators": 1})
    assert (passed.outcome, passed.rows[1].status) == ("pass", "unknown_allowed")


def test_what_lost_records_is_never_passed() -> None:
    """Launches without kernels at the end of the file: not comparable, whatever the budgets say."""
    builder = _loop()
    for at in range(4):
        builder.launch(390 + at, 1)
    found = _checked(builder, {"waits": 0})
    assert found.outcome == "not_comparable"
    assert "gpu_records_lost" in found.text


def test_a_trace_without_steps_cannot_be_counted_per_step() -> None:
    """It is not one step: not comparable."""
    found = _checked(TraceBuilder().launch(0, 5, kernel=("k", 6, 10)), {"launches": 5})
    assert (found.outcome, "no steps are marked" in found.text) == ("not_comparable", True)


@pytest.mark.parametrize(("command", "is_other"), [("--batch 64", True), ("--batch=120", False), ("", False)])
def test_another_workload_is_not_comparable(command: str, is_other: bool) -> None:
    """The command line gives a parameter another value than the budget is for; what it does not give is not judged."""
    budgets = parse_budgets({"workload": {"name": "iris", "parameters": {"batch": 120}}}, "stallscope.toml")
    found = list(not_the_workload(budgets.workload, manifest_of("train.py", *command.split())))
    assert bool(found) == is_other


def test_an_exception_that_cannot_be_made_is_said() -> None:
    """A trace without lines has no line to allow; one whose line was not met may have moved."""
    rule = {"line": "train.py:8", "why": "log"}
    found = _checked(_loop(reads_in=(1,)), {"waits": 1}, allow=[rule])
    assert any("No line is known" in note for note in found.notes)
    assert [each.calls for each in found.allowed] == [0]


def test_of_repeated_runs_the_worst_counts() -> None:
    """A read in one of two runs fails; runs on two GPUs are no repeats."""
    budgets = parse_budgets({"per_step": {"waits": 0}}, "stallscope.toml")
    runs = [measure(name, analyse(_loop(reads_in=at).trace()), None, budgets) for name, at in (("a", ()), ("b", (1,)))]
    assert check(runs, budgets).outcome == "fail"
    assert check(runs[:1] * 2, budgets).outcome == "pass"
    other = replace(runs[0], key=msgspec.structs.replace(runs[0].key, device="NVIDIA T4"))
    assert check([runs[0], other], budgets).outcome == "not_comparable"
