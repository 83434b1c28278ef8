"""The summary on one screen: the answer first, then what to change, and where the rest is."""

import msgspec
import pytest

from stallscope.analysis.report.brief_page import page
from stallscope.analysis.report.full_page import sections
from stallscope.analysis.report.sections import SECTIONS
from stallscope.analysis.report.style import Style
from stallscope.analysis.report.summary import text
from stallscope.analysis.report.table import of_counted
from stallscope.analysis.summary import summarize
from tests.analysis.synthetic import three_steps
from tests.real import every_real_trace, real

SCREEN = 40  # lines


def shown():
    """A summary of three steps."""
    return summarize(three_steps().trace())


def test_the_answer_comes_before_the_figures_and_where_the_rest_is_comes_last():
    """Which GPU and steps, the headline, the bars, what to change, what it is not, the trace, more."""
    lines = page(shown(), Style()).splitlines()
    assert lines[:2] == ["Stallscope summary", "GPU         NVIDIA H100 80GB HBM3"]
    assert lines[2].startswith("Steps       3 steps of 1.00 ms")
    order = ["The GPU waits for the CPU's own work (host-bound)", "One step, 1.00 ms", "What to change"]
    assert [lines.index(line) for line in order] == sorted(lines.index(line) for line in order)
    assert any(line.startswith("Not the cause: ") for line in lines)
    assert "Trace: ok" in lines
    assert "More: stallscope summary -v" in page(shown(), Style())


@every_real_trace
def test_it_fits_a_screen(path):
    """No line is wider than 80 columns, no page longer than a screen, and no table is in it."""
    lines = page(real(path).summary, Style()).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= SCREEN
    assert not any(line.startswith("Top ") for line in lines)


def test_parts_can_be_asked_for_by_name():
    """Launches and waits stand below the screen; of what there is nothing to tell it is said."""
    summary = shown()
    told = text.page(summary, Style(), ["launches", "waits"])
    assert told.startswith(page(summary, Style()))
    assert "Launches and waits per step" in told
    assert "modules: nothing to show" in text.page(summary, Style(), ["modules"])


def test_the_names_are_those_of_the_whole_page():
    """Each name that help lists is a part, each part but the tables without rows is listed."""
    there = sections(of_counted(shown()), Style())
    assert set(there) <= set(SECTIONS)
    assert set(SECTIONS) - set(there) <= {"launches", "idle", "waits", "copies", "modules", "places", "kernels", "gpus"}


@pytest.mark.parametrize("path", ["a b.json", "it's.json"])
def test_the_command_can_be_pasted(path):
    """A path with a blank or a quote is quoted as a shell wants it."""
    summary = shown()
    named = msgspec.structs.replace(summary, trace=msgspec.structs.replace(summary.trace, path=path))
    told = " ".join(page(named, Style()).split())
    assert {"a b.json": "summary -v 'a b.json' (", "it's.json": "summary -v 'it'\"'\"'s.json' ("}[path] in told
