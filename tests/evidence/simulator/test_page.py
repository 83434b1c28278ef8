"""The page on how often the answer is right is made of what is kept, and counts it rightly."""

from tests.evidence.real.answers import Judged, judged
from tests.evidence.simulator.causes import Answer, Scored
from tests.evidence.simulator.page import PAGE, page
from tests.evidence.simulator.tally import Tallies, load, tally

RIGHT = Scored("a", "python", ("host-bound",), ("python",), ("wait_item",), Answer("host-bound", ("python", "ema")))
WRONG = Scored("b", "python", ("host-bound",), ("python",), ("ema",), Answer("sync-bound", ("ema", "python")))
WELL = Scored("c", "healthy", None, ("launching",), (), Answer("balanced", ()))


def test_the_page_is_that_of_the_kept_counts():
    """Made again it is the same text."""
    assert page(load("held-out"), judged()) == PAGE.read_text(encoding="utf-8")


def test_traces_are_counted_by_fault():
    """One right and one wrong trace of a fault: half of both; the cause that cannot be is counted."""
    row = tally("python", [RIGHT, WRONG, WELL])
    assert (row.traces, row.first_right, row.judged, row.verdict_right, row.impossible) == (2, 1, 2, 1, 1)
    assert (row.said_first, row.wrong_verdicts) == ({"python": 1, "ema": 1}, {"sync-bound": 1})


def test_a_healthy_trace_without_a_cause_is_right():
    """It has no true verdict to be held against here, and says so with a dash."""
    row = tally("healthy", [WELL])
    assert (row.first_right, row.judged) == (1, 0)
    text = page(Tallies(command="x", rows=[row]), [Judged(file="f", verdict="v", cause="", agree="no", why="w")])
    assert "| `healthy` | 1 | 1 | - | (none) 1 |  |" in text
    assert "| f | v | `-` | no: w |" in text
