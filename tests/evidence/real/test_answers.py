"""The judged answers are those that are given today."""

import pytest

from tests.evidence.real.answers import Judged, judged
from tests.lanes import one_of_a_kind
from tests.real import IN_SHORT, real

JUDGED = judged()


def test_every_trace_is_judged_once_and_in_known_words():
    """No trace twice; yes, partly or no, with a reason."""
    assert len({one.file for one in JUDGED}) == len(JUDGED)
    assert {one.agree for one in JUDGED} <= {"yes", "partly", "no"}
    assert all(one.why for one in JUDGED)


@pytest.mark.parametrize("one", one_of_a_kind(JUDGED, *(each for each in JUDGED if each.file in IN_SHORT)), ids=str)
def test_the_answer_is_still_the_one_that_was_judged(one: Judged, real_traces):
    """A changed verdict or first cause must be judged anew."""
    summary = real(real_traces / f"{one.file}.json.gz").summary
    assert (summary.verdict.kind, summary.causes[0].name if summary.causes else "") == (one.verdict, one.cause)
