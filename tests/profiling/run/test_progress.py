"""The live line: on a terminal only, rarely, and gone in the end."""

import io

import pytest

from stallscope.profiling.record.plan import Phase
from stallscope.profiling.run import progress
from stallscope.profiling.run.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """Say so."""
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that starts at one second and goes on when told."""
    now = [1_000_000_000]
    monkeypatch.setattr(progress.time, "perf_counter_ns", lambda: now[0])
    return now


def test_the_line_is_drawn_rarely_and_cleared(clock):
    """Phase, step and step time; a second call at the same instant draws nothing; done clears the line."""
    stream = Terminal()
    line = Progress(stream, wanted=True)
    line.report(Phase.SKIP, 2, 0)
    line.report(Phase.SKIP, 3, 0)
    assert stream.getvalue() == "\rstallscope: waiting, step 2\r"
    clock[0] += progress.EVERY_NS
    line.report(Phase.RECORDING, 12, 1_500_000)
    assert stream.getvalue().endswith("\rstallscope: recording, step 12, 1.50 ms\r")
    line.report(Phase.DONE, 0, 0)
    assert stream.getvalue().endswith("\r" + " " * len("stallscope: recording, step 12, 1.50 ms") + "\r")
    written = stream.getvalue()
    line.clear()
    assert stream.getvalue() == written


@pytest.mark.usefixtures("clock")
def test_no_line_without_a_terminal():
    """A pipe, an absent stderr, or not wanted: nothing is written."""
    pipe, terminal = io.StringIO(), Terminal()
    for line in (Progress(pipe, wanted=True), Progress(None, wanted=True), Progress(terminal, wanted=False)):
        line.report(Phase.RECORDING, 1, 1)
        line.clear()
    assert pipe.getvalue() == terminal.getvalue() == ""
