"""Which tests are handed out together to a process of the tests."""

import pytest

from tests.lanes import one_of_a_kind
from tests.real import name_of, real_trace_paths


def test_what_shares_a_fixture_stays_together_and_other_slow_tests_go_alone():
    """A file with a fixture of the module is one unit; so is one of quick tests; each hazard is one of its own."""
    sharing = pytest.importorskip("tests.sharing", exc_type=ImportError)
    ranks, idle, hazards = (
        f"tests/{path}::test_x[1]"
        for path in ("profiling/run/test_ranks.py", "analysis/stages/test_idle.py", "profiling/run/test_hazards.py")
    )
    assert sharing.unit_of(ranks) == "tests/profiling/run/test_ranks.py"
    assert sharing.unit_of(idle) == "tests/analysis/stages/test_idle.py"
    assert sharing.unit_of(hazards) == hazards


def test_the_tests_of_a_real_trace_stay_together():
    """Whatever file they are in: each process reads it once."""
    sharing = pytest.importorskip("tests.sharing", exc_type=ImportError)
    for name in map(name_of, real_trace_paths()):
        assert sharing.unit_of(f"tests/analysis/test_summary.py::test_x[{name}]") == name


def test_one_of_a_kind_leaves_the_others_to_the_lane_of_everything():
    """Of three cases one is named: the other two carry the mark."""
    first, *others = one_of_a_kind("abc", "a")
    assert first == "a"
    assert [(each.values, [mark.name for mark in each.marks]) for each in others] == [
        (("b",), ["full"]),
        (("c",), ["full"]),
    ]
