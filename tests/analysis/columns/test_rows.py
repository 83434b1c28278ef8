"""Sets of rows by tables: the same as NumPy's own, which sorts or hashes all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.analysis.columns.rows import both, distinct, numbered, without

ROWS = st.lists(st.integers(0, 300), max_size=60).map(lambda rows: np.array(rows, np.int64))
NONE = np.array([], np.int64)


@given(ROWS, ROWS)
def test_tables_say_what_sorting_says(some, others):
    """Distinct rows, rows of either of two sets, and rows of one but not of the other."""
    np.testing.assert_array_equal(distinct(some), np.unique(some))
    np.testing.assert_array_equal(both(some, others), np.union1d(some, others))
    np.testing.assert_array_equal(without(np.unique(some), others), np.setdiff1d(some, others))


@pytest.mark.parametrize("keys", [[], [7], [5, -2, 5, 3], [2**62, -(2**62), 2**62, 0]])
def test_keys_are_numbered_whether_they_lie_close_or_far_apart(keys):
    """A table where it stays small, a sort where keys lie too far apart; below 0 too."""
    found, which = numbered(np.array(keys, np.int64))
    expected, inverse = np.unique(np.array(keys, np.int64), return_inverse=True)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(which, inverse)


def test_of_nothing_there_is_nothing():
    """Empty sets stay empty and lose nothing."""
    assert not len(distinct(NONE))
    assert not len(both(NONE, NONE))
    np.testing.assert_array_equal(without(np.array([3, 4]), NONE), [3, 4])
