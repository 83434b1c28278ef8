"""The one home of interval arithmetic: sets of half-open intervals of integer nanoseconds.

``Intervals`` holds starts and ends as two int64 columns. A set is *normal* when its intervals are non-empty,
ascending and apart (no two touch). ``union`` makes any set normal; every other function takes and gives normal sets.
All run in O(n log n) in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.traces.model.trace import Bools, Ints


@dataclass(frozen=True, slots=True)
class Intervals:
    """n half-open intervals ``[starts[i], ends[i])`` in integer ns."""

    starts: Ints  # (n,)
    ends: Ints  # (n,)

    def __len__(self) -> int:
        return len(self.starts)


def empty() -> Intervals:
    """The set without an interval."""
    return Intervals(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def span(start: int, end: int) -> Intervals:
    """One interval, or the empty set where ``end <= start``."""
    if end <= start:
        return empty()
    return Intervals(np.array([start], dtype=np.int64), np.array([end], dtype=np.int64))


def union(starts: Ints, ends: Ints) -> Intervals:
    """The normal set covering the same instants; the input may overlap, be unsorted and hold empty intervals."""
    real = ends > starts
    starts, ends = starts[real], ends[real]
    if not len(starts):
        return empty()
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    opens = np.concatenate(([True], starts[1:] > reach[:-1]))
    closes = np.concatenate((opens[1:], [True]))
    return Intervals(starts[opens], reach[closes])


def join(*sets: Intervals) -> Intervals:
    """The union of several sets."""
    return union(np.concatenate([s.starts for s in sets]), np.concatenate([s.ends for s in sets]))


def total(intervals: Intervals) -> int:
    """Sum of lengths in ns."""
    return int((intervals.ends - intervals.starts).sum())


def covers(intervals: Intervals, points: Ints) -> Bools:
    """Which of ``points`` lie inside the normal set, shape of ``points``."""
    if not len(intervals):
        return np.zeros(len(points), dtype=np.bool_)
    before = np.searchsorted(intervals.starts, points, side="right") - 1
    return (before >= 0) & (points < intervals.ends[np.maximum(before, 0)])


def covered_before(intervals: Intervals, points: Ints) -> Ints:
    """How much of the normal set lies before each of ``points``, ns, shape of ``points``.

    What it holds of [a, b) is the difference of the two: the measure of many stretches at once.
    """
    if not len(intervals):
        return np.zeros(len(points), dtype=np.int64)
    whole = np.concatenate(([0], np.cumsum(intervals.ends - intervals.starts)))
    before = np.searchsorted(intervals.starts, points, side="right")  # intervals that have begun
    last = np.maximum(before - 1, 0)
    beyond = np.where(before > 0, np.maximum(intervals.ends[last] - points, 0), 0)
    found: Ints = whole[before] - beyond
    return found


def intersect(a: Intervals, b: Intervals) -> Intervals:
    """The instants that lie in both sets."""
    first = np.searchsorted(b.ends, a.starts, side="right")
    counts = np.searchsorted(b.starts, a.ends, side="left") - first
    counts = np.maximum(counts, 0)
    of_a = np.repeat(np.arange(len(a)), counts)
    of_b = np.arange(len(of_a)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    return Intervals(np.maximum(a.starts[of_a], b.starts[of_b]), np.minimum(a.ends[of_a], b.ends[of_b]))


def subtract(a: Intervals, b: Intervals) -> Intervals:
    """The instants of ``a`` that do not lie in ``b``."""
    ever = np.iinfo(np.int64)
    outside = Intervals(np.concatenate(([ever.min], b.ends)), np.concatenate((b.starts, [ever.max])))
    return intersect(a, outside)


def clip(intervals: Intervals, start: int, end: int) -> Intervals:
    """The part of the set inside ``[start, end)``."""
    starts, ends = np.maximum(intervals.starts, start), np.minimum(intervals.ends, end)
    real = ends > starts
    return Intervals(starts[real], ends[real])


def gaps(intervals: Intervals, start: int, end: int) -> Intervals:
    """The part of ``[start, end)`` that the set leaves free."""
    return subtract(span(start, end), intervals)
