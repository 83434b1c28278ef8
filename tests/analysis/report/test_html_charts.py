"""The charts of the pages as values: what is drawn where, which steps stand out, which change has which interval."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest

from stallscope.analysis.compare.compare import compare
from stallscope.analysis.contract.compare import Change, Comparison, Interval
from stallscope.analysis.report.html.changes import change_bars, interval
from stallscope.analysis.report.html.memory import memory_series
from stallscope.analysis.report.html.page import page, prose
from stallscope.analysis.report.html.series import placed, step_series
from stallscope.analysis.stages.gpu.memory import MemoryOverTime
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.views.step_times import StepTimes, find_step_times
from stallscope.analysis.views.timeline import KINDS
from tests.analysis.comparing import run, runs, summary
from tests.builders import TraceBuilder


def steps(*us: float) -> StepTimes:
    """Steps of these lengths against their median."""
    ns = (np.array(us) * 1000).astype(np.int64)
    return StepTimes(np.arange(1, len(us) + 1), ns, float(np.median(ns)))


def columns(html: str) -> list[tuple[str, str]]:
    """(colour, what it says) of each column."""
    return re.findall(r'<rect class="f-([\w-]+)"[^>]*><title>([^<]*)</title>', html)


# -- the time of each step --------------------------------------------------------------------------------------


def test_steps_more_than_a_fifth_off_the_median_stand_out():
    """Of 100, 119, 121, 80 and 79 µs the third and the last do: in the SVG, in the script's data and in words."""
    (series,) = step_series(summary(), steps(100, 119, 121, 80, 79))
    assert [kind for kind, _ in columns(series.plain)] == ["working", "working", "wait", "working", "wait"]
    assert columns(series.plain)[2] == ("wait", "step 3: 121 µs")
    assert series.data == {
        "kind": "steps",
        "x": [1, 2, 3, 4, 5],
        "y": [100_000, 119_000, 121_000, 80_000, 79_000],
        "median": 100_000,
        "far": [2, 4],
        "chosen": True,
    }
    assert "median 100 µs, longest 121 µs. 2 stand out: more than a fifth off the median." in series.key


def test_of_thousands_of_steps_none_is_left_out():
    """4001 steps, one of them long: the script has each, the SVG a column for 11 steps, and the long one is seen."""
    us = [100.0] * 4001
    us[2500] = 900.0
    (series,) = step_series(summary(), steps(*us))
    drawn = columns(series.plain)
    assert (len(series.data["y"]), len(drawn)) == (4001, 364)
    assert [said for kind, said in drawn if kind == "wait"] == ["steps 2498 to 2508: at most 900 µs"]
    assert "Each column is the longest of 11 steps." in series.plain


def test_steps_without_the_profiler_have_a_chart_of_their_own():
    """A run that timed 8 steps without the profiler: they are drawn, and no step of theirs can be chosen."""
    trace, without = step_series(summary(unprofiled=80.0), steps(100, 100))
    assert (trace.data["chosen"], without.data["chosen"]) == (True, False)
    assert without.heading == "Time of each step without the profiler"
    assert without.data["y"] == [80_000] * 8
    (gpu,) = step_series(summary(unprofiled=80.0, vendor="cuda"), None)
    assert ("runs ahead" in without.key, "runs ahead" in gpu.key) == (False, True)


def test_a_trace_without_steps_has_no_series():
    """Nothing to put beside each other."""
    builder = TraceBuilder().op("aten::mm", 0, 10).launch(2, 5, kernel=("gemm", 10, 30))
    assert find_step_times(analyse(builder.trace()).window, 40.0) is None
    assert list(step_series(summary(), None)) == []


def test_a_step_that_was_cut_short_is_no_outlier_and_keeps_its_number():
    """Five whole steps and a sixth of 5 µs without work, which the recorder cut: five values, numbered 1 to 5."""
    builder = TraceBuilder()
    for start in range(0, 500, 100):
        builder.step(start, 100).op("aten::mm", start + 5, 20).op("aten::add", start + 40, 20)
    builder.step(500, 5)
    times = find_step_times(analyse(builder.trace()).window, 100.0)
    assert times is not None
    assert (times.numbers.tolist(), times.outliers()) == ([1, 2, 3, 4, 5], ())


def test_the_outliers_to_be_shown_are_few_and_the_farthest():
    """Six stand out, four are named, in order: those of 500, 400, 300 and 10 µs."""
    assert steps(*[100.0] * 20, 130, 300, 10, 500, 140, 400).outliers() == (22, 23, 24, 26)


def test_a_series_stands_where_the_script_finds_it():
    """By its number; its plot can be reached by keys, and what it says is announced."""
    (series,) = step_series(summary(), steps(100, 110))
    html = placed(3, series)
    assert 'id="series-3"' in html
    assert '<div class="plot" tabindex="0" role="application"' in html
    assert 'aria-describedby="read-3"' in html
    assert '<div class="read" id="read-3" aria-live="polite">' in html


# -- memory -----------------------------------------------------------------------------------------------------


def over_time(what: str, *samples: tuple[int, int], device: int = 0) -> MemoryOverTime:
    """Samples as (ns, bytes)."""
    times, sizes = (np.array(column, dtype=np.int64) for column in zip(*samples, strict=True))
    return MemoryOverTime(device, what, times, sizes)


def test_memory_of_lines_that_change_at_different_times():
    """Each line has a value wherever one of them changes, and none before its first sample."""
    reserved, allocated = over_time("reserved", (10, 8), (30, 9)), over_time("allocated", (20, 3), (30, 1))
    (series,) = memory_series([reserved, allocated])
    assert series.data["x"] == [0, 10, 20]
    assert [line["y"] for line in series.data["lines"]] == [[8, 8, 9], [None, 3, 1]]


def test_a_peak_among_many_samples_is_not_lost():
    """Of 100 000 samples at most 3 000 are kept, the highest of each stretch among them."""
    sizes = [1000] * 100_000
    sizes[77_777] = 5000
    (series,) = memory_series([over_time("allocated", *enumerate(sizes))])
    assert len(series.data["x"]) == 3000
    assert max(series.data["lines"][0]["y"]) == 5000


def test_two_gpus_have_a_chart_each():
    """Each under its own number."""
    found = memory_series([over_time("allocated", (0, 5), device=device) for device in (0, 1)])
    assert [series.heading for series in found] == ["GPU memory, GPU 0", "GPU memory, GPU 1"]


# -- a comparison -----------------------------------------------------------------------------------------------


def change(difference: float, bounds: tuple[float, float] | None = None) -> Change:
    """From 100 µs."""
    held = {} if bounds is None else {"interval": Interval(low=bounds[0], high=bounds[1])}
    return Change(baseline=100.0, candidate=100 + difference, difference=difference, percent=difference, **held)


def test_bars_of_what_changed():
    """To the left what takes less, to the right what takes more, in one scale; what did not change has no row."""
    html = change_bars([("kernels", change(-50)), ("copies", change(25)), ("Python", change(0))])
    assert re.findall(r"<span>([^<]+)</span>", html) == ["kernels: -50.0 µs", "copies: +25.0 µs"]
    assert re.findall(r'<rect class="f-(working|wait)" x="([\d.]+)" y="\d+\.00" width="([\d.]+)"', html) == [
        ("working", "0.00", "310.00"),
        ("wait", "310.00", "155.00"),
    ]
    assert "they need two runs or more on each side" in html
    assert change_bars([("Python", change(0))]) == ""


def test_bars_with_intervals():
    """A change whose interval holds 0 is grey; each interval is a line from bound to bound, and stands in words."""
    html = change_bars([("kernels", change(-50, (-60, -40))), ("copies", change(5, (-15, 25)))])
    assert "<span>kernels: -50.0 µs (-60.0 µs to -40.0 µs)</span>" in html
    assert [kind for kind, _ in columns(html)] == ["working", "rest"]
    assert re.findall(r'<rect class="f-ink" x="([\d.]+)" y="10" width="([\d.]+)"', html) == [
        ("0.00", "103.33"),
        ("232.50", "206.67"),
    ]


def repeated(*kernels: tuple[float, float]) -> Comparison:
    """Runs with these kernel times: (before, after) of each pair."""
    sides = [[run(name, breakdown={"kernel": us, "other": 50.0}) for us in times] for name, times in zip(
        ("before", "after"), zip(*kernels, strict=True), strict=True)]  # fmt: skip
    return compare(*sides)


def test_each_part_of_a_repeated_step_has_its_interval():
    """Kernels 20 µs shorter in each of three runs: an interval around -20; what never varies has one of no width."""
    found = repeated((50.0, 30.0), (51.0, 31.0), (49.0, 29.0)).breakdown_us
    held = found.kernel.interval
    assert isinstance(held, Interval)
    assert found.kernel.difference == pytest.approx(-20.0)
    assert -25 < held.low < -20 < held.high < -15
    assert found.other.interval == Interval(low=0.0, high=0.0)


def test_one_run_a_side_has_no_interval():
    """It says nothing of how runs differ; nor is a figure given that a run does not know."""
    once = repeated((50.0, 30.0)).breakdown_us
    assert not isinstance(once.kernel.interval, Interval)
    assert not isinstance(repeated((50.0, 30.0), (51.0, 31.0)).breakdown_us.memcpy.interval, Interval)


def test_the_interval_of_the_step_time():
    """Three runs 20 % faster: the stretch lies left of 0, in the colour of what is faster; the grey is explained."""
    faster = compare(runs("a", 100.0, 101.0, 99.0), runs("b", 80.0, 81.0, 79.0)).statistics
    html = interval(faster)
    assert "-20.0 %, 95 % interval" in html
    (stretch,) = re.findall(r'<rect class="f-working" x="([\d.]+)" y="28.00" width="([\d.]+)"', html)
    assert float(stretch[0]) + float(stretch[1]) < 500
    assert "Grey: what differs without any change, 2.5 % (seen between runs of one side)." in html


def test_where_the_noise_is_not_known_nothing_is_said_to_be_grey():
    """One step a side: no stretch of noise, and the reason."""
    html = interval(compare([run("a", samples=[100.0])], [run("b", samples=[80.0])]).statistics)
    assert "not known: too few steps" in html
    assert "Grey" not in html
    assert "-20.0 %, one run a side" in html


# -- code in advice ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Load ahead: DataLoader(..., num_workers=4).", ["DataLoader(..., num_workers=4)"]),
        ('with torch.autocast("cuda"): around it', ["with torch.autocast(&quot;cuda&quot;):"]),
        ("keep (total += loss.detach()) and call .item() less", ["total += loss.detach()", ".item()"]),
        ("index those (x[i : i + n]) instead", ["x[i : i + n]"]),
        ("torch.stack(kept).tolist() once", ["torch.stack(kept).tolist()"]),
        ("The operators are small (3 µs each): more", []),
        ("alert(1) javascript:alert(1) os.system('rm') f(x) a[0]", []),
        ("torch.load(<img src=x>)", []),
    ],
)
def test_code_in_a_sentence(text: str, code: list[str]):
    """What our advice calls is marked as code, what a trace may name is not, and no word is lost."""
    html = prose(text)
    assert re.findall(r"<code[^>]*>(.*?)</code>", html) == code
    assert unescape(re.sub("</?code[^>]*>", "", html)) == text


# -- colours ----------------------------------------------------------------------------------------------------


def test_all_that_is_drawn_has_a_colour():
    """Each kind of range and cause of idle time has a variable for the script and a class for what is drawn here."""
    style = page("", "").partition("<style>")[2]
    assert [kind for kind in KINDS if f"--{kind}: #" not in style or f".f-{kind} {{ fill" not in style] == []
