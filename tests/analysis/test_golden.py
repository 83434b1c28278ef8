"""The text views of five real traces, to the letter: what a reader who has read nothing else is shown."""

import re

import pytest

from tests.golden import HERE, TRACES, golden, rendered


@pytest.mark.parametrize("name", TRACES)
def test_the_text_view_of_a_real_trace(name, real_traces):
    """As in the golden file; where a change is meant, `python -m tests.golden --write` renews it."""
    assert rendered(name, real_traces) == golden(name).read_text(encoding="utf-8")


def test_every_golden_file_is_compared():
    """No file of a trace that is no longer rendered."""
    assert {path.stem for path in HERE.glob("*.txt")} == set(TRACES)


def test_no_golden_file_is_wider_than_a_page_or_names_a_machine():
    """80 columns, no absolute path, every section a beginner needs."""
    for name in TRACES:
        page = golden(name).read_text(encoding="utf-8")
        assert max(map(len, page.splitlines())) <= 80
        assert not re.search(r"(?<!\S)/\w", page)
        assert all(section in page for section in ("What to change", "What would help", "What costs time now", "Words"))
