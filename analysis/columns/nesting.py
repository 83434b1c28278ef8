"""Which range lies in which: the nesting of timed ranges, thread by thread, for millions of them at once.

Ranges of one thread are given in order of start, longest first. The *parent* of a range is the innermost one that is
open when it starts: the latest earlier one that ends after that start. Where ranges overlap without nesting (other
tools, rounding to µs) the later start is the inner one until it ends. An instant belongs to the innermost range.

All is pointer jumping on numpy columns: O(n log n) for any input, no recursion and no loop over ranges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stallscope.traces.model.trace import Bools, Ints

Names = NDArray[np.int32] | Ints

MOST_JUMPS = 40  # more than the logarithm of any number of siblings and the depth of most programs
NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Forest:
    """n ranges grouped by thread; ``parent`` and ``last`` are places among them."""

    starts: Ints  # (n,)
    ends: Ints  # (n,)
    parent: Ints  # (n,) the innermost range around each; -1: none
    last: Ints  # (n,) the last range inside each, itself if there is none
    reach: Ints  # (n,) the latest end of a range and those inside it

    def self_ns(self, place: Callable[[Ints], Ints]) -> Ints:
        """Time of each range that belongs to no range within it, shape (n,); ``place``: instants → time that counts."""
        until, begin = place(self.ends), place(self.starts)
        free = until - begin
        inner = np.flatnonzero(self.parent >= 0)
        outer = self.parent[inner]
        taken = np.minimum(place(self.reach[inner]), until[outer])
        np.subtract.at(free, outer, taken - begin[inner])
        return free

    def outermost(self, names: Names) -> Bools:
        """Which ranges lie in no other of the same name, shape (n,)."""
        order = np.argsort(names, kind="stable")
        name, size = names[order].astype(np.int64), len(order)
        # The farthest place that an earlier range of the name spans; each name counts above the one before it.
        spanned = np.maximum.accumulate(self.last[order] + name * (size + 1))
        inside = np.zeros(size, dtype=np.bool_)
        inside[order[1:]] = (name[1:] == name[:-1]) & (spanned[:-1] >= order[1:] + name[1:] * (size + 1))
        return ~inside


def forest(starts: Ints, ends: Ints, parent: Ints) -> Forest:
    """The ranges with what each spans; ``parent`` is what ``parents`` found among them."""
    last, reach = np.arange(len(parent), dtype=np.int64), ends.copy()
    inner, above = np.flatnonzero(parent >= 0), parent
    while len(inner):  # each round looks twice as deep
        outer = above[inner]
        deeper, farther = last[inner], reach[inner]
        np.maximum.at(last, outer, deeper)
        np.maximum.at(reach, outer, farther)
        above = np.where(above >= 0, above[above], -1)
        inner = inner[above[inner] >= 0]
    return Forest(starts, ends, parent, last, reach)


def parents(threads: Names, starts: Ints, ends: Ints, opens: Bools) -> Ints:
    """For each row the place of the innermost open range, -1 for none, shape (n,).

    Rows are grouped by thread and in order of start within each. Only rows that ``opens`` marks are ranges that
    can hold others.
    """
    size = len(starts)
    places = np.arange(size, dtype=np.int64)
    before = np.concatenate(([-1], np.maximum.accumulate(np.where(opens, places, -1))[:-1]))[:size]
    thread_start = np.flatnonzero(np.concatenate(([True], threads[1:] != threads[:-1]))[:size])
    own = np.repeat(thread_start, np.diff(np.append(thread_start, size)))  # where each row's thread begins
    found = np.where(before >= own, before, -1)
    # Whatever lies between a range and its candidate has ended; if the candidate has too, jump to its candidate.
    left = np.flatnonzero(found >= 0)
    left = left[ends[found[left]] <= starts[left]]
    for _ in range(MOST_JUMPS):
        if not len(left):
            return found
        found[left] = found[found[left]]
        left = left[found[left] >= 0]
        left = left[ends[found[left]] <= starts[left]]
    latest = _latest_open(np.where(opens, ends, NEVER), found[left], starts[left])
    found[left] = np.where(latest >= own[left], latest, -1)
    return found


def without_rounding(starts: Ints, ends: Ints, parent: Ints, slack_ns: int) -> Ints:
    """The ends, (n,), those of ranges that end a little after the next one began put at its start.

    Times written as doubles are rounded: of two ranges in a row the first then seems to end within the second. The
    second is no part of it if it starts ``slack_ns`` before its end at most, and ends further beyond it than that.
    """
    inner = np.flatnonzero(parent >= 0)
    outer = parent[inner]
    next_to = (starts[inner] >= ends[outer] - slack_ns) & (ends[inner] > ends[outer] + slack_ns)
    next_to &= starts[inner] > starts[outer]
    if not next_to.any():
        return ends
    found = ends.copy()
    np.minimum.at(found, outer[next_to], starts[inner[next_to]])
    return found


def _latest_open(ends: Ints, latest: Ints, at: Ints) -> Ints:
    """For each of ``at`` the largest place, ``latest`` at most, whose end lies after it; -1: none.

    Up and down a tree of maxima: two steps a level, whatever the input. The rare rows that jumping leaves come here:
    those after a pile of ranges deeper than ``MOST_JUMPS``.
    """
    size = 1 << max(1, len(ends) - 1).bit_length()
    tree = np.full(2 * size, NEVER)
    tree[size : size + len(ends)] = ends
    for level in reversed(range(size.bit_length() - 1)):
        first = 1 << level
        tree[first : 2 * first] = np.maximum(tree[2 * first : 4 * first : 2], tree[2 * first + 1 : 4 * first : 2])
    node = latest + size
    climbing = tree[node] <= at
    for _ in range(size.bit_length()):
        hit = climbing & (node % 2 == 1) & (node > 1) & (tree[node - 1] > at)
        node = np.where(hit, node - 1, np.where(climbing, node >> 1, node))
        climbing &= ~hit
    for _ in range(size.bit_length()):
        inner = np.flatnonzero((node >= 1) & (node < size))
        right = 2 * node[inner] + 1
        node[inner] = np.where(tree[right] > at[inner], right, right - 1)
    return np.where(node >= size, node - size, -1)
