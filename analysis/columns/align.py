"""Two sequences of names that are nearly the same → which item of one is which item of the other.

What two recordings of the same step have in common: long runs of equal names, with a call more here and there (an
allocation, a poll). Runs of 32 names, then of 8, 2 and 1, that occur equally often in corresponding stretches of both
are taken to be the same in their order; a longest increasing subsequence drops what crosses; the stretches between
the found items are compared anew. O(n log n) whatever the input; equal sequences map one to one.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

import numpy as np

from stallscope.traces.model.trace import Bools, Ints

RUNS: Final = (32, 8, 2, 1)  # lengths of the runs compared, in turn
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # odd: a polynomial hash modulo 2**64
Pairs = tuple[Ints, Ints]


def align(first: Ints, second: Ints) -> Pairs:
    """Positions (k,) in each of the two sequences of numbered names: equal names, both ascending."""
    if np.array_equal(first, second):
        same = np.arange(len(first), dtype=np.int64)
        return same, same
    head = _common(first, second)
    tail = _common(first[head:][::-1], second[head:][::-1])
    ends = len(first) - tail, len(second) - tail
    middle = _middle(first[head : ends[0]], second[head : ends[1]])
    edge, last = np.arange(head, dtype=np.int64), np.arange(tail, dtype=np.int64)
    return (
        np.concatenate((edge, middle[0] + head, last + ends[0])),
        np.concatenate((edge, middle[1] + head, last + ends[1])),
    )


def _common(first: Ints, second: Ints) -> int:
    """How many items at the head are equal."""
    size = min(len(first), len(second))
    differs = np.flatnonzero(first[:size] != second[:size])
    return int(differs[0]) if len(differs) else size


def _middle(first: Ints, second: Ints) -> Pairs:
    """The pairs of two sequences without a common head or tail."""
    found = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for run in RUNS:
        left, right = _runs(first, found[0], run), _runs(second, found[1], run)
        here, there = _counterparts(left, right)
        pairs = np.concatenate((found[0], here)), np.concatenate((found[1], there))
        order = np.argsort(pairs[0], kind="stable")
        found = pairs[0][order], pairs[1][order]
        kept = _increasing(found[1])
        found = found[0][kept], found[1][kept]
    return found


def _runs(names: Ints, known: Ints, run: int) -> Pairs:
    """(key, position) of every run of so many items that lies between two neighbouring ``known`` positions."""
    size = len(names) - run + 1
    if size <= 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    key = np.zeros(size, dtype=np.uint64)
    for offset in range(run):
        key = key * _FACTOR + names[offset : offset + size].astype(np.uint64) + np.uint64(1)
    stretch = np.searchsorted(known, np.arange(len(names)), side="right")
    is_known = np.zeros(len(names), dtype=np.int64)
    is_known[known] = 1
    taken = np.concatenate(([0], np.cumsum(is_known)))
    at = np.flatnonzero(taken[run:] == taken[:size])  # no known position in the run
    mixed = (key[at] ^ (stretch[at].astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93))).astype(np.int64)
    return mixed, at.astype(np.int64)


def _counterparts(left: Pairs, right: Pairs) -> Pairs:
    """Positions with equal keys, the n-th of one with the n-th of the other, where both have a key equally often."""
    keys, inverse = np.unique(np.concatenate((left[0], right[0])), return_inverse=True)
    here, there = inverse[: len(left[0])], inverse[len(left[0]) :]
    counts = np.bincount(here, minlength=len(keys)), np.bincount(there, minlength=len(keys))
    equal: Bools = counts[0] == counts[1]
    mine, yours = equal[here], equal[there]
    by_key = np.argsort(here[mine], kind="stable"), np.argsort(there[yours], kind="stable")
    return left[1][mine][by_key[0]], right[1][yours][by_key[1]]


def _increasing(values: Ints) -> Ints:
    """Positions of a longest strictly increasing subsequence, ascending."""
    if (values[1:] > values[:-1]).all():
        return np.arange(len(values), dtype=np.int64)
    tails: list[int] = []  # the smallest value that ends a subsequence of each length
    places: list[int] = []
    before = [-1] * len(values)
    for i, value in enumerate(values.tolist()):
        length = bisect_left(tails, value)
        before[i] = places[length - 1] if length else -1
        tails[length : length + 1] = [value]
        places[length : length + 1] = [i]
    found, at = [], places[-1]
    while at >= 0:
        found.append(at)
        at = before[at]
    return np.array(found[::-1], dtype=np.int64)
