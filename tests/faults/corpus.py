"""Every case, by row of the catalogue."""

from __future__ import annotations

from tests.faults import container, events, hostile, runs, text
from tests.faults.case import Case

# Rows of the catalogue and how many there are: A the container, B the text, C the events, D steps and ranks, E size,
# F hostile content.
ROWS = {"A": 11, "B": 16, "C": 20, "D": 7, "E": 5, "F": 9}
ELSEWHERE = frozenset({"A11", "D7", "E3"})  # tests of their own: they need more than a file


def all_cases() -> list[Case]:
    """The corpus."""
    return [*container.cases(), *text.cases(), *events.cases(), *runs.cases(), *hostile.cases()]
