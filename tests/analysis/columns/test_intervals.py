"""Interval arithmetic against a bitmap: one bit per nanosecond."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals

END = 40
pairs = st.lists(st.tuples(st.integers(0, END), st.integers(0, END)).map(sorted), max_size=8)


def columns(found):
    """Starts and ends of a list of pairs."""
    return np.array([a for a, _ in found], dtype=np.int64), np.array([b for _, b in found], dtype=np.int64)


def bits(found):
    """The instants 0..39 covered by pairs or by Intervals."""
    if isinstance(found, Intervals):
        found = zip(found.starts.tolist(), found.ends.tolist(), strict=True)
    return {instant for start, end in found for instant in range(start, end)}


def is_normal(found):
    """Non-empty, ascending, and no two touch."""
    return bool((found.ends > found.starts).all() and (found.starts[1:] > found.ends[:-1]).all())


@given(pairs)
def test_union_covers_the_same_instants_and_is_normal(a):
    """Overlapping, touching, empty and unsorted intervals become ascending ones that stand apart."""
    made = intervals.union(*columns(a))
    assert bits(made) == bits(a)
    assert is_normal(made)
    assert intervals.total(made) == len(bits(a))


@given(pairs, pairs)
def test_set_operations_agree_with_the_bitmap(a, b):
    """Intersection, subtraction and joining of any two sets are those of the sets of their instants."""
    left, right = intervals.union(*columns(a)), intervals.union(*columns(b))
    for made, expected in (
        (intervals.intersect(left, right), bits(a) & bits(b)),
        (intervals.subtract(left, right), bits(a) - bits(b)),
        (intervals.join(left, right), bits(a) | bits(b)),
    ):
        assert bits(made) == expected
        assert is_normal(made)


@given(pairs, st.integers(0, END), st.integers(0, END))
def test_clip_and_gaps_divide_the_window(a, start, end):
    """What a set holds of a window and what it leaves free together make the window; neither overlaps."""
    made = intervals.union(*columns(a))
    inside, free = intervals.clip(made, start, end), intervals.gaps(made, start, end)
    assert bits(inside) == bits(a) & set(range(start, end))
    assert bits(free) == set(range(start, end)) - bits(a)


@given(pairs, st.lists(st.integers(-2, END + 2)))
def test_covers_is_half_open(a, points):
    """A start lies inside its interval, an end does not."""
    made = intervals.union(*columns(a))
    assert intervals.covers(made, np.array(points, dtype=np.int64)).tolist() == [p in bits(a) for p in points]


@given(pairs, st.lists(st.integers(-2, END + 2)))
def test_covered_before_counts_the_instants_before_a_point(a, points):
    """The measure of a set below each point is the number of its instants below it."""
    made = intervals.union(*columns(a))
    found = intervals.covered_before(made, np.array(points, dtype=np.int64)).tolist()
    assert found == [sum(instant < p for instant in bits(a)) for p in points]


def test_an_interval_of_the_real_world_keeps_its_nanoseconds():
    """Wall-clock nanoseconds above 2^53 are not rounded."""
    start = 1_712_195_495_519_689_047
    assert intervals.total(intervals.span(start, start + 1)) == 1
    assert len(intervals.span(5, 5)) == 0
