"""Aligning two recordings of one step: equal names in order, nothing crossed, almost nothing missed."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stallscope.analysis.columns.align import align
from tests.examples import examples

names = st.lists(st.integers(0, 5), max_size=60)


def pairs(first: list[int], second: list[int]) -> list[tuple[int, int]]:
    """The aligned positions."""
    found = align(np.array(first, np.int64), np.array(second, np.int64))
    return list(zip(found[0].tolist(), found[1].tolist(), strict=True))


def longest_common(first: list[int], second: list[int]) -> int:
    """Length of a longest common subsequence, the slow way."""
    row = [0] * (len(second) + 1)
    for a in first:
        before = row[:]
        for j, b in enumerate(second, 1):
            row[j] = before[j - 1] + 1 if a == b else max(before[j], row[j - 1])
    return row[-1]


def test_a_call_more_and_a_call_less():
    """An allocation (9) in one, a missing operator (4) in the other: the rest corresponds."""
    assert pairs([1, 2, 3, 4, 5, 6], [1, 2, 9, 3, 5, 6]) == [(0, 0), (1, 1), (2, 3), (4, 4), (5, 5)]


@given(names)
def test_equal_sequences_map_one_to_one(sequence):
    """Position i to position i."""
    assert pairs(sequence, sequence) == [(i, i) for i in range(len(sequence))]


@given(names, names)
def test_pairs_are_equal_names_and_ascend_on_both_sides(first, second):
    """For any two sequences; never more pairs than a longest common subsequence has."""
    found = pairs(first, second)
    assert all(first[i] == second[j] for i, j in found)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(found))
    assert len(found) <= longest_common(first, second)


@examples(40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_layers_alike_with_polls_strewn_in_are_found_again(seed, polls):
    """12 equal layers of 40 calls, up to 12 polls of another name in one of the two: every call finds its own."""
    random = np.random.default_rng(seed)
    step = [*range(100, 120), *list(range(40)) * 12, *range(200, 220)]
    other = list(step)
    for at in sorted(random.integers(0, len(step), polls).tolist(), reverse=True):
        other.insert(at, 999)
    kept = [j for j, name in enumerate(other) if name != 999]
    found = pairs(step, other)
    right = sum((i, j) in set(found) for i, j in enumerate(kept))
    assert right >= 0.95 * len(step)
