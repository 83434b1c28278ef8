"""Budgets as people write them."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.analysis.check.budgets import Budget, Budgets, Time, parse_budgets
from stallscope.traces.model.errors import BadInput
from tests.examples import examples

WHOLE = """
[workload]
name = "iris"
parameters = { batch = 120 }
[per_step]
launches = 20
h2d_bytes = "12 MB"
operators = "420±5"
kernels = "+2 %"
allocations = { max = 0, unknown = "pass" }
waits = { max = 1, steps = "median" }
[[allow]]
line = "train.py:88"
call = ".item()"
every = 100
why = "log line"
"""


def _parsed(text: str) -> Budgets:
    return parse_budgets(tomllib.loads(text), "stallscope.toml")


def test_every_way_to_write_a_limit() -> None:
    """A number, a size, a range, a share of the baseline, and a table with what is to happen where it is unknown."""
    found = {each.name: each for each in _parsed(WHOLE).per_step}
    assert found["launches"] == Budget(name="launches", text="20", high=20.0)
    assert found["h2d_bytes"].high == 12e6
    assert (found["operators"].low, found["operators"].high) == (415, 425)
    assert (found["kernels"].high, found["kernels"].relative) == (None, 0.02)
    assert (found["allocations"].high, found["allocations"].unknown_passes) == (0.0, True)
    assert found["waits"].over == "median"


def test_what_holds_for_all_may_be_written_once() -> None:
    """``unknown`` and ``steps`` of [per_step] hold for each figure that does not say otherwise."""
    text = '[per_step]\nunknown = "pass"\nsteps = "median"\nwaits = 0\nreads = { max = 0, unknown = "fail" }'
    waits, reads = _parsed(text).per_step
    assert (waits.unknown_passes, waits.over) == (True, "median")
    assert (reads.unknown_passes, reads.over) == (False, "median")


def test_the_command_line_replaces_the_file() -> None:
    """``--max launches=3`` holds in place of the file's 20; the other budgets stay."""
    found = {each.name: each.high for each in _parsed(WHOLE).with_max({"launches": "3", "reads": "1"}).per_step}
    assert found["launches"] == 3
    assert found["reads"] == 1
    assert found["h2d_bytes"] == 12e6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[per_step]\nlaunchs = 3", "there is no figure 'launchs'; choose of: launches, "),
        ("[per_step]\nwaits = -1", "-1 is no limit"),
        ("[per_step]\nwaits = inf", "inf is no limit"),
        ("[per_step]\nwaits = nan", "nan is no limit"),
        ('[per_step]\nwaits = "1e999"', "'1e999' is no limit"),
        ("[per_step]\nwaits = true", "True is no limit"),
        ("[per_step]\nwaits = { max = 0, unknown = 3 }", 'unknown is "pass" or "fail"'),
        ("[per_step]\nwaits = { most = 0 }", "there is no 'most'"),
        ("[perstep]\nwaits = 0", "there is no 'perstep'; choose of: workload, per_step, allow, time"),
        ("per_step = 3", "per_step must be a table"),
        ("[workload]\nname = 3", "[workload]: expected name"),
        ('[[allow]]\nline = "train.py"\nwhy = "x"', "line must be a file and a line"),
        ('[[allow]]\nline = "train.py:8"', "say why this line may wait"),
        ('[[allow]]\nline = "train.py:8"\nwhy = "x"\nevery = 0', "every is a number of steps"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, said: str) -> None:
    """One sentence: the file, the table, what was expected."""
    with pytest.raises(BadInput, match=r"^stallscope\.toml") as raised:
        _parsed(text)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["12 MB", "+2 %"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["max", "unknown", "steps", "line", "why", "name", "waits"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
NAMES_OF_TABLES = st.sampled_from(["workload", "per_step", "allow", "time", "other"])


@examples(300)
@given(table=st.dictionaries(NAMES_OF_TABLES, VALUES, max_size=4))
def test_whatever_is_written_is_a_budget_or_one_sentence(table: dict) -> None:
    """Any table is understood or refused with a sentence; nothing else happens."""
    try:
        parse_budgets(table, "stallscope.toml")
    except BadInput as error:
        assert str(error).startswith("stallscope.toml")  # noqa: PT017 - not every table is refused


def test_a_limit_of_the_command_line_that_is_none() -> None:
    """It is named with its option."""
    with pytest.raises(BadInput, match="--max waits: 'few' is no limit"):
        Budgets().with_max({"waits": "few"})


def test_the_budget_of_time() -> None:
    """A share, how many runs, and what happens where it cannot be told."""
    found = _parsed('[time]\nstep = "5 %"\nruns = 3\ncannot_tell = "fail"').time
    assert found == Time(0.05, 3, cannot_tell_passes=False)
    assert _parsed('[time]\nstep = "5 %"').time == Time(0.05, 5, cannot_tell_passes=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[time]\nruns = 5", "step is the share"),
        ('[time]\nstep = "5 %"\nruns = 1', "runs is 2 or more"),
        ('[time]\nstep = "5 %"\ncannot_tell = "maybe"', 'cannot_tell is "pass" or "fail"'),
    ],
)
def test_a_budget_of_time_that_is_none(text: str, said: str) -> None:
    """It is refused with its place."""
    with pytest.raises(BadInput, match=r"^stallscope\.toml: \[time\]") as raised:
        _parsed(text)
    assert said in str(raised.value)
