"""Run folders with an attribution window: which trace is analysed, which one tells the lines, and without it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stallscope import api
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.health import text as health_text
from stallscope.analysis.report.style import Style
from tests.analysis.stages.where.test_join import Recorder, tables
from tests.analysis.test_summary import window

SHORT = ("w.1.pt.trace.json.gz", "w.2.pt.trace.json.gz")
FULL = ("w.3.pt.trace.json.gz", "w.4.pt.trace.json.gz")


def write(folder: Path, name: str, steps: int, *, marks: bool) -> None:
    """A trace of so many steps."""
    recorder = Recorder(marks=marks)
    for number in range(steps):
        recorder.step(200.0 * number)
    recorder.builder.write(folder, name)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two rounds: 1 and 2 steps timed, 1 and 3 marked; the marked trace is the newest file of each."""
    windows = []
    for (timing, marked), kind, steps in ((SHORT, "short", (1, 1)), (FULL, "full", (2, 3))):
        write(tmp_path, timing, steps[0], marks=False)
        write(tmp_path, marked, steps[1], marks=True)
        windows.append(window("timing", kind, steps=steps[0], duration_ns=1, trace=timing))
        windows.append(window("attribution", kind, steps=steps[1], duration_ns=1, trace=marked))
    manifest = tables(windows=windows, worker="w")
    (tmp_path / "stallscope.json").write_bytes(msgspec.json.encode(manifest))
    return tmp_path


def summary_of(path: Path) -> Summary:
    """The only worker's summary."""
    (found,) = api.load(path)
    return found.summary


def test_the_timing_span_is_analysed_and_the_attribution_span_of_its_round_joined(run):
    """The full round: two steps of 200 µs, not the three of 600 µs; lines from the newest file."""
    summary = summary_of(run)
    assert (Path(summary.trace.path).name, summary.steps.count, summary.steps.wall_us.mean) == (FULL[0], 2, 200.0)
    assert (Path(summary.attribution.path).name, summary.attribution.steps) == (FULL[1], 3)
    assert [site.call_site for site in summary.sync_sites] == ["train.py:6"]


def test_a_timing_trace_by_itself_is_joined_too(run):
    """Named as a file, the manifest beside it tells the other; the short round has its own."""
    summary = summary_of(run / SHORT[0])
    assert (Path(summary.attribution.path).name, summary.steps.count) == (SHORT[1], 1)


def test_an_attribution_trace_by_itself_is_what_was_asked_for(run):
    """Named as a file it is read as any trace, its marks in no figure, and joined to nothing."""
    summary = summary_of(run / FULL[1])
    assert (summary.attribution, summary.steps.wall_us.mean) == (None, 600.0)
    assert not any(row.name.startswith("stallscope.") for row in summary.operators)


@pytest.mark.parametrize("damage", ["gone", "no gzip", "no events"])
def test_without_its_attribution_trace_a_run_is_summarized_all_the_same(run, damage):
    """The summary of the timing trace as it is, and a notice with the reason; never an error."""
    path = run / FULL[1]
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"\x1f\x8b rubbish" if damage == "no gzip" else b'{"traceEvents": []}')
    summary = summary_of(run)
    assert (summary.attribution, summary.sync_sites[0].call_site) == (None, None)
    (issue,) = [issue for issue in summary.health.issues if issue.name == "attribution_missing"]
    assert (issue.severity, FULL[1] in issue.advice, summary.health.grade) == ("notice", True, "ok")


def test_a_folder_whose_timing_trace_is_gone_has_its_other_timing_trace_analysed(run):
    """The attribution span never stands in for a timing span, though it is newer."""
    (run / FULL[0]).unlink()
    assert Path(summary_of(run).trace.path).name == SHORT[0]


def test_a_foreign_folder_is_what_it_was(tmp_path):
    """Without a manifest the newest trace counts, and there is nothing to join."""
    write(tmp_path, "w.1.pt.trace.json", 1, marks=False)
    write(tmp_path, "w.2.pt.trace.json", 2, marks=False)
    summary = summary_of(tmp_path)
    assert (summary.steps.count, summary.attribution, summary.health.issues) == (2, None, [])


def test_health_says_how_much_of_the_step_has_lines(run):
    """All of it here; the numbers in the JSON, a table in the text."""
    (report,) = api.health(run)
    assert (report.attribution.events_share, report.attribution.waits_share) == (1.0, 1.0)
    page = health_text.page(report, Style())
    assert ["operators", "and", "calls", "100", "%"] in [line.split() for line in page.splitlines()]
    assert "(3 steps), by position in the step." in " ".join(page.split())
