"""Before against after: figures, verdicts, what limits them. Each test shows two sides, a question and its answer."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from stallscope.analysis.compare.compare import RunFigures, compare
from stallscope.analysis.compare.runs import drift, group_runs
from stallscope.analysis.contract.compare import Change, Comparison
from stallscope.analysis.report.compare import text
from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import Style
from tests.analysis.comparing import kernel, manifest_of, operator, run, runs, window


def notes(comparison: Comparison) -> set[str]:
    """The names of the notes."""
    return {note.name for note in comparison.notes}


# -- figures ----------------------------------------------------------------------------------------------------


def test_a_figure_is_before_after_difference_and_percent() -> None:
    """69 ms of dataloader before, 1.4 ms after: -67.6 ms, -98.0 %."""
    change = compare([run(dataloader_us=69_000.0)], [run(dataloader_us=1_400.0)]).per_step.dataloader_us
    assert (change.baseline, change.candidate, change.difference) == (69_000.0, 1_400.0, -67_600.0)
    assert change.percent == pytest.approx(-97.9710, abs=1e-4)


def test_unknown_on_either_side_stays_unknown() -> None:
    """A CPU run has no sync calls to count; its difference to a GPU run is null, not -1."""
    change = compare([run(vendor="cuda")], [run()]).per_step.sync_calls
    assert (change.baseline, change.candidate, change.difference, change.percent) == (1.0, None, None, None)


def test_a_percentage_of_nothing_is_unknown() -> None:
    """From 0 to 5 graph launches is +5, and no percentage."""
    before, after = run(vendor="cuda", graph_launches=0.0), run(vendor="cuda", graph_launches=5.0)
    change = compare([before], [after]).per_step.graph_launches
    assert change == Change(baseline=0.0, candidate=5.0, difference=5.0, percent=None, exact=True)


def test_counts_on_which_runs_agree_are_exact_and_others_are_not() -> None:
    """Three runs with 20 launches each: exact. One run with 21: a mean like any other. Times never are."""
    before = runs("a", 100.0, 101.0, 102.0, vendor="cuda", kernel_launches=20.0)
    after = [*runs("b", 90.0, 91.0, vendor="cuda"), *runs("c", 92.0, vendor="cuda", kernel_launches=21.0)]
    assert compare(before, before).per_step.kernel_launches.exact
    change = compare(before, after).per_step.kernel_launches
    assert not change.exact
    assert change.candidate == pytest.approx(20.3333, abs=1e-4)
    assert not compare(before, before).per_step.kernel_us.exact


def test_every_per_step_and_breakdown_figure_of_the_summary_is_compared() -> None:
    """No figure is forgotten: the contracts have the same names."""
    from stallscope.analysis.contract import compare as compare_contract
    from stallscope.analysis.contract import summary as contract

    for ours, theirs in (
        (compare_contract.PerStepChange, contract.PerStep),
        (compare_contract.BreakdownChange, contract.Breakdown),
    ):
        assert ours.__struct_fields__ == theirs.__struct_fields__


def test_total_per_step_counts_every_step_and_the_median_the_typical_one() -> None:
    """Steps of 100, 100 and 400 µs: total per step 200, median 100."""
    steps = compare([run(samples=[100.0, 100.0, 400.0])], [run(samples=[50.0, 50.0, 50.0])]).steps
    assert (steps.total_us.baseline, steps.total_us.difference) == (200.0, -150.0)
    assert (steps.wall_us.median.baseline, steps.wall_us.median.difference) == (100.0, -50.0)
    assert steps.unprofiled_us.baseline is None


def test_operators_come_by_the_size_of_their_change() -> None:
    """The largest change of host or device time comes first; what appeared or vanished is marked and counts from 0."""
    before = run(vendor="cuda", operators=[operator("same", 5, 1), operator("gone", 3, 0), operator("gpu", 1, 90)])
    after = run(vendor="cuda", operators=[operator("same", 5, 1), operator("new", 7, 2), operator("gpu", 1, 50)])
    rows = compare([before], [after]).operators
    assert [(row.name, row.status) for row in rows] == [
        ("gpu", "both"),
        ("new", "appeared"),
        ("gone", "vanished"),
        ("same", "both"),
    ]
    assert rows[0].device_us_per_step.difference == -40.0
    assert (rows[1].host_self_us_per_step.baseline, rows[1].host_self_us_per_step.difference) == (0.0, 7.0)
    assert rows[2].calls_per_step.difference == -1.0


def test_kernels_are_compared_by_name_and_null_on_a_side_without_any() -> None:
    """A fused kernel appears where two vanish; against a CPU run the list is null."""
    before = run(vendor="cuda", kernel_rows=[kernel("add", 4.0), kernel("mul", 3.0)])
    after = run(vendor="cuda", kernel_rows=[kernel("fused", 5.0)])
    rows = compare([before], [after]).kernels
    assert rows is not None
    assert [(row.name, row.status, row.us_per_step.difference) for row in rows] == [
        ("fused", "appeared", 5.0),
        ("add", "vanished", -4.0),
        ("mul", "vanished", -3.0),
    ]
    assert compare([before], [run()]).kernels is None


def test_ranks_of_one_run_are_one_run() -> None:
    """Two ranks of 100 and 140 µs are one run of 120 µs, and never two repeats."""
    ranks = [run("job", world_size=2, rank=rank, step=us, path=f"{rank}.json") for rank, us in ((0, 100.0), (1, 140.0))]
    assert [len(one.ranks) for one in group_runs(ranks)] == [2]
    comparison = compare(ranks, ranks)
    assert comparison.statistics.baseline_runs == 1
    assert comparison.statistics.step_us.baseline == 120.0
    assert comparison.statistics.interval_us is None


def test_repeats_of_a_run_with_ranks_are_runs() -> None:
    """Ranks 0, 1, 0, 1 under one name are two runs; traces that tell no rank are a run each."""
    ranks = [run("job", world_size=2, rank=rank) for rank in (0, 1, 0, 1)]
    assert [len(one.ranks) for one in group_runs(ranks)] == [2, 2]
    assert [len(one.ranks) for one in group_runs([run("job"), run("job")])] == [1, 1]


def test_a_figure_that_one_run_of_a_side_does_not_know_is_unknown() -> None:
    """The mean of 5 and nothing is nothing, not 5."""
    change = compare([run("a", dataloader_us=5.0), run("b")], [run("c", dataloader_us=1.0)]).per_step.dataloader_us
    assert (change.baseline, change.difference) == (None, None)


def test_sides_of_one_name_are_told_apart_by_their_folders() -> None:
    """Both runs are called iris: they appear as before/iris and after/iris."""
    comparison = compare([run("iris", path="runs/before/iris/a.json")], [run("iris", path="runs/after/iris/a.json")])
    assert (comparison.baseline.name, comparison.candidate.name) == ("before/iris", "after/iris")


# -- verdicts ---------------------------------------------------------------------------------------------------


def test_several_runs_far_apart_are_faster_with_an_interval() -> None:
    """Three runs near 205 µs, three near 169: faster, the interval on one side of 0."""
    comparison = compare(runs("a", 205.0, 206.0, 204.0), runs("b", 169.0, 168.0, 170.0))
    interval = comparison.statistics.interval_us
    assert comparison.verdict.kind == "faster"
    assert interval is not None
    assert -40 < interval.low < -36.0 < interval.high < -33
    assert comparison.statistics.step_us.percent == pytest.approx(-17.561, abs=1e-3)
    assert "95 % interval" in comparison.verdict.text


def test_the_other_way_round_is_slower() -> None:
    """The candidate takes longer: slower."""
    assert compare(runs("a", 169.0, 168.0, 170.0), runs("b", 205.0, 206.0, 204.0)).verdict.kind == "slower"


def test_several_runs_that_overlap_cannot_be_told_apart() -> None:
    """Runs scatter more than the sides differ: cannot tell."""
    comparison = compare(runs("a", 100.0, 110.0, 105.0), runs("b", 103.0, 99.0, 108.0))
    assert comparison.verdict.kind == "cannot tell"
    assert comparison.verdict.text.startswith("Cannot tell whether this is faster")


def test_two_runs_a_side_that_scatter_are_not_called_different() -> None:
    """A percentile bootstrap would call 100 and 110 against 95 and 99 different; with two runs nobody can."""
    assert compare(runs("a", 100.0, 110.0), runs("b", 95.0, 99.0)).verdict.kind == "cannot tell"


def test_two_calm_runs_a_side_can_be_told_apart() -> None:
    """Half the time, each run within 1 %: two runs a side are enough for that."""
    assert compare(runs("a", 100.0, 101.0), runs("b", 50.0, 50.5)).verdict.kind == "faster"


def test_steps_are_never_taken_for_runs() -> None:
    """One run each, a thousand calm steps each: no interval, whatever the steps say."""
    comparison = compare([run(samples=[100.0] * 1000)], [run(samples=[101.0] * 1000)])
    assert comparison.statistics.interval_us is None
    assert comparison.statistics.level is None
    assert "one run each; noise floor = drift between windows" in comparison.verdict.text
    assert "significant" not in comparison.verdict.text


def test_one_run_each_below_the_drift_between_windows_cannot_be_told() -> None:
    """Windows at 100 and 110 µs: a difference of 5 % is below the drift of 9.5 %."""
    drifting = manifest_of("train.py", windows=[window(110.0, round_="short"), window(100.0)])
    comparison = compare(
        [run("a", drifting, unprofiled=100.0)],
        [run("b", manifest_of("train.py", windows=[window(95.0), window(95.0)]), unprofiled=95.0)],
    )
    assert comparison.statistics.noise_source == "windows"
    assert comparison.statistics.noise_floor_percent == pytest.approx(9.5238, abs=1e-4)
    assert comparison.verdict.kind == "cannot tell"


def test_one_run_each_above_the_drift_differs_but_wants_a_repeat() -> None:
    """The same windows, and half the step time: differs, repeat to be sure. A profiled window is no measure."""
    profiled = window(500.0, kind="timing")
    drifting = manifest_of("train.py", windows=[window(110.0, round_="short"), profiled, window(100.0)])
    comparison = compare(
        [run("a", drifting, unprofiled=100.0)],
        [run("b", manifest_of("train.py", windows=[window(50.0), window(50.0)]), unprofiled=50.0)],
    )
    assert comparison.verdict.kind == "differs"
    assert "Repeat to be sure" in comparison.verdict.text


def test_without_windows_the_drift_is_seen_between_halves() -> None:
    """Medians of the first and second half, 100 and 120 µs: a drift of 18.2 %. Three steps say nothing."""
    share, source = drift(group_runs([run(samples=[100.0, 100.0, 120.0, 120.0])])[0])
    assert (share, source) == (pytest.approx(0.181818, abs=1e-6), "halves")
    assert drift(group_runs([run(samples=[100.0, 100.0, 120.0])])[0]) == (None, "unknown")


def test_an_unknown_noise_floor_is_no_floor() -> None:
    """Two steps a run: half the time, and still nobody can tell."""
    comparison = compare([run(samples=[100.0, 100.0])], [run(samples=[50.0, 50.0])])
    assert comparison.verdict.kind == "cannot tell"
    assert comparison.statistics.noise_floor_percent is None
    calm = compare([run(samples=[100.0] * 9)], [run(samples=[50.0, 50.0])])
    assert calm.verdict.kind == "cannot tell"


def test_one_run_against_several_uses_the_spread_between_runs() -> None:
    """The side with three runs scatters by 20 %: that, not the calm inside the runs, is the floor."""
    comparison = compare(runs("a", 100.0, 110.0, 90.0), runs("b", 92.0))
    assert comparison.statistics.noise_source == "runs"
    assert comparison.statistics.noise_floor_percent == pytest.approx(20.0)
    assert comparison.verdict.kind == "cannot tell"


def test_what_cannot_have_changed_is_no_change() -> None:
    """Steps of 100 µs on both sides, halves alike: no change. Five calm runs a side too: the interval is narrow."""
    one = compare([run(samples=[100.0] * 10)], [run(samples=[100.0] * 10)]).verdict
    assert (one.kind, one.text.split(":")[0]) == ("no change", "No change")
    calm = compare(runs("a", 100.0, 100.1, 100.2, 99.9, 100.0), runs("b", 100.1, 100.0, 100.2, 99.9, 100.0)).verdict
    assert calm.kind == "no change"


def test_where_the_host_runs_ahead_the_step_is_compared_and_the_host_called_so() -> None:
    """The same 20 ms of GPU work a step, asked for in 8 ms and in 2 ms: no change; the table names the CPU's part."""
    before, after = (run(vendor="cuda", samples=[host] * 10, step_us=20_000.0) for host in (8_000.0, 2_000.0))
    comparison = compare([before], [after])
    assert comparison.verdict.kind == "no change"
    assert comparison.steps.step_us.difference == comparison.statistics.step_us.difference == 0.0
    page = text.render(comparison, Style(width=80))
    assert re.search(r"under it +20\.0 ms +20\.0 ms +0\n", page)
    assert re.search(r"on the CPU, median +8\.00 ms +2\.00 ms", page)


def test_unprofiled_times_are_the_truth_where_both_sides_have_them() -> None:
    """Level under the profiler, apart without it; where one side lacks that, the traces decide."""
    before = [run("a", unprofiled=100.0, step=150.0)]
    assert compare(before, [run("b", unprofiled=80.0, step=150.0)]).statistics.measure == "unprofiled_mean"
    profiled = compare(before, [run("b", step=150.0)])
    assert profiled.statistics.measure == "profiled_median"
    assert profiled.statistics.step_us.difference == 0.0
    assert "profiled_times" in notes(profiled)


def test_no_verdict_without_steps_or_on_a_refused_trace() -> None:
    """Nothing to compare: withheld, with the reason."""
    for damage in ({"samples": [], "count": 0}, {"grade": "refused"}):
        comparison = compare([run("a")], [run("broken", **damage)])
        assert comparison.verdict.kind == "withheld"
        assert "broken" in comparison.verdict.text


def test_a_marked_step_is_not_compared_with_a_whole_trace() -> None:
    """ProfilerStep on one side, whole trace on the other: withheld. Whole traces on both: a note."""
    whole = run("whole", source="whole_trace", samples=[5000.0])
    assert compare([run()], [whole]).verdict.kind == "withheld"
    assert "whole_traces" in notes(compare([whole], [whole]))


def test_exact_counts_are_told_whatever_the_clock_says() -> None:
    """The syncs fell from 1 to 0 per step; that is certain even where the time is not."""
    noisy = [100.0] * 5 + [110.0] * 5
    before, after = (run(vendor="cuda", sync_calls=calls, samples=noisy) for calls in (1.0, 0.0))
    comparison = compare([before], [after])
    assert comparison.verdict.kind == "cannot tell"
    assert "Counted per step, exactly: synchronizing calls 1 → 0." in comparison.verdict.text
    mixed = [run("b", vendor="cuda", sync_calls=0.0), run("c", vendor="cuda", sync_calls=1.0)]
    assert "exactly" not in compare([run(vendor="cuda")], mixed).verdict.text


def test_reads_of_one_value_are_counted_on_a_cpu_run_too() -> None:
    """A CPU run never waits for a device, but `.item()` went from every step to every 100th."""
    before, after = (run(operators=[operator("aten::item", 1.0, calls=calls)]) for calls in (1.0, 0.01))
    assert "Counted per step, exactly: calls of aten::item 1 → 0.01." in compare([before], [after]).verdict.text


def test_reads_that_no_recorded_step_held_are_told_by_the_argument() -> None:
    """Read in each step, then by --every 100 in none of the recorded ones: 1 → 0.01; without arguments 1 → 0."""
    item = [operator("aten::item", 1.0)]
    before, after = manifest_of("train.py", "--every", "1"), manifest_of("train.py", "--every", "100")
    text = compare([run(manifest=before, operators=item)], [run(manifest=after)]).verdict.text
    assert "Reads of a value (aten::item) 1 → 0.01 a step, by --every 100: none fell into the recorded steps." in text
    text = compare([run(manifest=after)], [run(manifest=before, operators=item)]).verdict.text
    assert "Reads of a value (aten::item) 0.01 → 1 a step, by --every 100: none fell into the recorded steps." in text
    assert "calls of aten::item 1 → 0." in compare([run(operators=item)], [run()]).verdict.text


def test_an_interval_without_a_ratio_is_told_in_time() -> None:
    """Runs that scatter more than they last: the interval reaches below nothing, so percent would mean nothing."""
    text = compare(runs("a", 1e3, 2e5, 1e3), runs("b", 2e3, 1e5, 1e3)).verdict.text
    assert re.search(r"95 % interval of the change: -\d+ ms to \+\d+ ms, which holds 0", text)


def test_an_empty_side_is_refused() -> None:
    """There is no comparison with nothing."""
    with pytest.raises(ValueError, match="at least one run"):
        compare([], [run()])


def test_the_sentence_names_the_argument_that_was_changed() -> None:
    """One argument differs: it is the subject. Several or none: the runs' names are."""
    old = [run("a", manifest_of("t.py", "--record-every", "1"))]

    def sentence(*command: str) -> str:
        return compare(old, [run("b", manifest_of(*command))]).verdict.text

    assert "with --record-every 100 (was 1) a step takes" in sentence("t.py", "--record-every", "100")
    assert "without --record-every 1 a step takes" in sentence("t.py")
    assert "with --amp (was not given) a step takes" in sentence("t.py", "--record-every", "1", "--amp")
    assert "in b, against a, a step takes" in sentence("t.py", "--record-every", "100", "--amp")


# -- JSON and real traces ---------------------------------------------------------------------------------------


def test_the_json_has_the_paths_of_the_summary() -> None:
    """steps.wall_us.median and per_step.kernel_launches are where the summary has them, each as a change."""
    found = msgspec.json.decode(document(compare([run(vendor="cuda")], [run(vendor="cuda", kernel_launches=5.0)])))
    assert found["schema"] == "stallscope.compare/1"
    assert found["steps"]["wall_us"]["median"]["baseline"] == 100.0
    assert found["per_step"]["kernel_launches"] == {
        "baseline": 20.0,
        "candidate": 5.0,
        "difference": -15.0,
        "percent": -75.0,
        "exact": True,
    }


def figures_of(path: Path, name: str) -> RunFigures:
    """One real trace, read and summarized."""
    from stallscope.analysis.summary import summarize
    from stallscope.traces.read.read import read

    return RunFigures(summary=summarize(read(path), None), manifest=None, name=name)


def real_pair(folder: Path, before: str, after: str) -> Comparison:
    """Two real traces compared."""
    return compare([figures_of(next(folder.glob(before)), "before")], [figures_of(next(folder.glob(after)), "after")])


def test_resnet50_with_and_without_dataloader_workers(real_traces: Path) -> None:
    """Four workers: the median step falls from 176 to 127 ms, the dataloader from 69 to 1.4 ms a step."""
    folder = "kineto-2021/resnet50_num_workers_{}/*.json.gz"
    comparison = real_pair(real_traces, folder.format(0), folder.format(4))
    median, loader = comparison.steps.wall_us.median, comparison.per_step.dataloader_us
    assert (median.baseline, median.candidate) == (pytest.approx(176_000, abs=500), pytest.approx(127_000, abs=500))
    assert (loader.baseline, loader.candidate) == (pytest.approx(69_000, abs=500), pytest.approx(1_400, abs=50))
    assert comparison.verdict.kind == "differs"


def test_the_tiny_pair(real_traces: Path) -> None:
    """Two steps of 111 ms, 2.5 kernels each; three operators appear; too few steps to say more."""
    comparison = real_pair(real_traces, "pairs/base.json.gz", "pairs/test.json.gz")
    assert comparison.per_step.kernels == Change(baseline=2.5, candidate=2.5, difference=0.0, percent=0.0, exact=True)
    appeared = {row.name for row in comparison.operators if row.status == "appeared"}
    assert appeared == {"All2All_Pooled_Req", "AddmmBackward0", "CatBackward0"}
    assert comparison.verdict.kind == "cannot tell"
