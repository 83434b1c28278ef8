"""A run held against the figures that were kept of another one."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from stallscope.analysis.check.baseline import Against, entry_of, find_entry, parse_baseline, updated
from stallscope.analysis.check.budgets import Budgets, parse_budgets
from stallscope.analysis.check.check import Measured, check, measure
from stallscope.analysis.contract.check import BaselineFile, Check
from stallscope.analysis.stages.stages import analyse
from stallscope.traces.model.errors import BadInput
from tests.builders import TraceBuilder


def _run(kernels: int, gpu: str | None = "NVIDIA L4", waits_in: int | None = None) -> Measured:
    """Three steps; ``waits_in``: the one that waits for the GPU as well."""
    builder = TraceBuilder(gpu=gpu)
    for at in (0, 1000, 2000):
        builder.step(at, 1000)
        if waits_in is not None and at == 1000 * waits_in:
            builder.sync(at + 900, 5, name="cudaStreamSynchronize")
        for number in range(kernels):
            builder.op("aten::add", at + 9 * number, 6).launch(
                at + 9 * number + 1, 3, kernel=("add", at + 9 * number + 5, 2)
            )
    return measure("trace.json", analyse(builder.trace()), None, Budgets())


def _against(kernels: int) -> Against:
    run = _run(kernels)
    file, _ = updated(BaselineFile(), entry_of(run.counted, run.key))
    return find_entry(file, _run(kernels).key, "baseline.json")


def _check(run: Measured, against: Against, **per_step: object) -> Check:
    return check([run], parse_budgets({"per_step": per_step}, "stallscope.toml"), against)


def test_the_same_run_passes_and_one_more_launch_fails() -> None:
    """Counts are exact: no more than the baseline's, whatever figures the budgets leave out."""
    assert _check(_run(2), _against(2)).outcome == "pass"
    found = _check(_run(3), _against(2))
    assert found.outcome == "fail"
    assert {row.name for row in found.rows if row.status == "exceeded"} == {"launches", "operators", "kernels"}
    assert _check(_run(1), _against(2)).outcome == "pass"


def test_what_happens_now_and_then_is_no_change() -> None:
    """Against a baseline the median step counts, so that no recording fails by what falls into it; a budget sees it."""
    rarely = _run(2, waits_in=1)
    assert _check(rarely, _against(2)).outcome == "pass"
    found = _check(rarely, _against(2), waits=0)
    assert [row.name for row in found.rows if row.status == "exceeded"] == ["waits"]


def test_a_share_on_top_of_the_baseline() -> None:
    """10 launches may become 11 where 10 % more are allowed, not 12."""
    budgets = {"launches": "+10 %", "operators": "+10 %"}
    assert _check(_run(11), _against(10), kernels=99, **budgets).outcome == "pass"
    assert _check(_run(12), _against(10), kernels=99, **budgets).outcome == "fail"


def test_another_device_is_not_comparable() -> None:
    """Of another GPU there is no baseline; the sentence says which there are."""
    run = _run(2, gpu="NVIDIA T4")
    found = check([run], Budgets(), replace(_against(2), entry=None))
    assert found.outcome == "not_comparable"
    assert "no baseline for any workload on NVIDIA T4 (it has: any workload on NVIDIA L4)" in found.text


def test_an_update_says_what_changed_and_keeps_the_others() -> None:
    """The entry of this key is rewritten, that of another GPU stays."""
    one, other = _run(2), _run(5, gpu="NVIDIA T4")
    file, _ = updated(BaselineFile(), entry_of(one.counted, one.key))
    file, _ = updated(file, entry_of(other.counted, other.key))
    more = _run(3)
    file, changes = updated(file, entry_of(more.counted, more.key))
    assert {(each.name, each.before, each.after) for each in changes} >= {("launches", 2, 3), ("operators", 2, 3)}
    assert [each.figures["launches"].max for each in file.entries] == [(3, 3), (5, 5)]
    assert parse_baseline(msgspec.json.encode(file), "baseline.json") == file


def test_a_budget_that_needs_a_figure_which_the_baseline_lacks() -> None:
    """It is unknown, which fails: nothing passes because nothing is known."""
    against = _against(2)
    assert against.entry is not None
    bare = replace(against, entry=msgspec.structs.replace(against.entry, figures={}))
    found = _check(_run(2), bare, launches="+2 %")
    assert (found.outcome, found.rows[0].status) == ("fail", "unknown")


def test_what_is_no_baseline() -> None:
    """One sentence that says how to write one."""
    with pytest.raises(BadInput, match=r"^b\.json: is no baseline .* write one with --against b\.json --update$"):
        parse_baseline(b"{", "b.json")
