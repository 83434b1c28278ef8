"""The live line: on a terminal only, rarely, and gone in the end."""

import io

from stallscope.profiling.record.plan import Phase
from stallscope.profiling.run.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """Say so."""
        return True


def test_the_line_is_drawn_and_cleared():
    """Phase, step and step time; done clears the line."""
    stream = Terminal()
    line = Progress(stream, wanted=True)
    line.report(Phase.SKIP, 2, 0)
    assert stream.getvalue() == "\rstallscope: waiting, step 2\r"
    line.report(Phase.RECORDING, 12, 1_500_000)
    assert stream.getvalue().endswith("\rstallscope: recording, step 12, 1.50 ms\r")
    line.report(Phase.DONE, 0, 0)
    assert stream.getvalue().endswith("\r" + " " * len("stallscope: recording, step 12, 1.50 ms") + "\r")
    written = stream.getvalue()
    line.clear()
    assert stream.getvalue() == written


def test_no_line_without_a_terminal():
    """A pipe, an absent stderr, or not wanted: nothing is written."""
    pipe, terminal = io.StringIO(), Terminal()
    for line in (Progress(pipe, wanted=True), Progress(None, wanted=True), Progress(terminal, wanted=False)):
        line.report(Phase.RECORDING, 1, 1)
        line.clear()
    assert pipe.getvalue() == terminal.getvalue() == ""
