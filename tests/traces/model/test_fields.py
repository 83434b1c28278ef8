"""Which names are steps and marks."""

from __future__ import annotations

import pytest

from stallscope.traces.model import fields


def test_step_numbers():
    """Only ``ProfilerStep#N`` is a step."""
    assert fields.step_number("ProfilerStep#12") == 12
    assert fields.step_number("ProfilerStep*") is None
    assert fields.step_number("my ProfilerStep#12") is None


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("stallscope.site#0", 0),
        ("stallscope.site#417", 417),
        ("stallscope.site#", None),
        ("stallscope.site#-1", None),
        ("stallscope.site#1_0", None),
        ("stallscope.module#4", None),
        ("aten::mm", None),
    ],
)
def test_the_number_of_a_mark(name, number):
    """What follows the prefix, where it is a plain number."""
    assert fields.mark_number(name, fields.SITE_MARK) == number
