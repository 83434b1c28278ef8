"""The scorer counts what was said against what is true."""

from __future__ import annotations

from tests.evidence.simulator.causes import Answer, Scored, said, score, table
from tests.evidence.simulator.faults.case import case


def scored(fault: str, first: tuple[str, ...], verdict: str, *causes: str) -> Scored:
    """A compute-bound trace of ``fault``, and an answer."""
    return Scored("t", fault, ("compute-bound",), first, ("slow_link",), Answer(verdict, causes))


def test_rates_and_the_row_of_a_fault() -> None:
    """Of two reads one is taken for launching, with a wrong verdict; a healthy trace is given an impossible cause."""
    text = table(
        [
            scored("wait_item", ("wait_item",), "compute-bound", "wait_item", "launching"),
            scored("wait_item", ("wait_item",), "balanced", "launching"),
            scored("healthy", ("pointwise",), "compute-bound"),
            scored("healthy", ("pointwise",), "compute-bound", "slow_link"),
        ],
        one_by_one=True,
    )
    assert "first cause right, of faults:   50.0 % (1 of 2)" in text
    assert "verdict right, of faults:       50.0 % (1 of 2)" in text
    assert "false cause first, of healthy:  50.0 % (1 of 2)" in text
    assert "impossible causes named:        25.0 % (1 of 4)" in text
    assert "wait_item                   2      1      1/2  wait_item 1, launching 1 (balanced 1)" in text
    assert "wrong: 2" in text


def test_a_summary_without_causes_is_scored_by_its_verdict() -> None:
    """Only verdicts count then, and the table says so."""
    answer = said({"verdict": {"kind": "compute-bound"}})
    assert answer == Answer("compute-bound", None)
    text = table([Scored("t", "wait_item", ("compute-bound",), ("wait_item",), (), answer)], one_by_one=False)
    assert "The summary has no `causes` yet: only verdicts are counted." in text
    assert "first cause right, of faults:   -" in text
    assert "verdict right, of faults:       100.0 % (1 of 1)" in text


def test_a_summary_with_causes_is_read_in_their_order() -> None:
    """The names, first to last."""
    told = {"verdict": {"kind": "balanced"}, "causes": [{"name": "python"}, {"name": "wait_item"}]}
    assert said(told) == Answer("balanced", ("python", "wait_item"))


def test_a_generated_trace_is_scored() -> None:
    """The summary of a real file, beside the truth of its case."""
    one = score(case("development", 1))
    assert (one.fault, one.first) == ("python", ("python",))
    assert one.answer.verdict
    assert one.verdict_right in (True, False)
