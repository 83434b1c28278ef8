"""Nesting against a stack, range by range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.analysis.columns import nesting

END = 30
ranges = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(0, END), st.integers(0, END), st.integers(0, 2), st.booleans()
    ),  # thread, start, length, name, whether it can hold others
    max_size=14,
).map(lambda rows: sorted(rows, key=lambda row: (row[0], row[1], -row[2])))


def columns(rows):
    """Threads, starts, ends, names and openers as arrays."""
    thread, start, length, name, opens = zip(*rows, strict=True) if rows else ((),) * 5
    starts = np.array(start, np.int64)
    ends = starts + np.array(length, np.int64)
    return np.array(thread, np.int32), starts, ends, np.array(name, np.int32), np.array(opens, np.bool_)


def by_stack(rows):
    """The innermost open range at each start, by a stack a thread."""
    found = []
    for i, (thread, start, *_) in enumerate(rows):
        open_ = [j for j in range(i) if rows[j][0] == thread and rows[j][4] and rows[j][1] + rows[j][2] > start]
        found.append(open_[-1] if open_ else -1)
    return found


@pytest.mark.parametrize("jumps", [0, 1, 40])
@given(rows=ranges)
def test_the_parent_is_the_latest_open_range(jumps, rows):
    """Any ranges on two threads, found by jumping alone, by the tree alone and by both."""
    threads, starts, ends, _, opens = columns(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nesting, "MOST_JUMPS", jumps)
        assert nesting.parents(threads, starts, ends, opens).tolist() == by_stack(rows)


@given(ranges, st.integers(0, END), st.integers(0, END))
def test_an_instant_belongs_to_the_innermost_range(rows, start, end):
    """Self times inside a window: each instant counted for the latest range that is open at it."""
    start, end = min(start, end), max(start, end)
    rows = [(*row[:4], True) for row in rows]
    threads, starts, ends, _, opens = columns(rows)
    expected = [0] * len(rows)
    for thread in (0, 1):
        for instant in range(start, end):
            open_ = [i for i, r in enumerate(rows) if r[0] == thread and r[1] <= instant < r[1] + r[2]]
            if open_:
                expected[open_[-1]] += 1
    found = nesting.forest(starts, ends, nesting.parents(threads, starts, ends, opens))
    assert found.self_ns(lambda ts: np.clip(ts, start, end)).tolist() == expected


@given(ranges)
def test_outermost_of_a_name_and_the_last_range_inside(rows):
    """By walking up from each range: no range around it has its name; ``last`` is the last that walks up to it."""
    rows = [(*row[:4], True) for row in rows]
    threads, starts, ends, names, opens = columns(rows)
    parent = nesting.parents(threads, starts, ends, opens).tolist()
    around = []
    for i in range(len(rows)):
        chain, at = [], parent[i]
        while at >= 0:
            chain.append(at)
            at = parent[at]
        around.append(chain)
    found = nesting.forest(starts, ends, np.array(parent, np.int64))
    assert found.outermost(names).tolist() == [
        rows[i][3] not in {rows[j][3] for j in around[i]} for i in range(len(rows))
    ]
    assert found.last.tolist() == [max([i, *(k for k in range(len(rows)) if i in around[k])]) for i in range(len(rows))]


def test_ranges_beside_a_deep_pile_lie_in_none():
    """100 000 ranges inside each other, then 100 000 beside them: every one of these lies in none."""
    size = 100_000
    starts = np.arange(2 * size, dtype=np.int64)
    starts[size:] += 2 * size
    ends = np.concatenate((3 * size - starts[:size], starts[size:] + 1))
    found = nesting.parents(np.zeros(2 * size, np.int32), starts, ends, np.ones(2 * size, np.bool_))
    assert found[: size + 1].tolist() == [*range(-1, size - 1), -1]
    assert found[size:].max() == -1
