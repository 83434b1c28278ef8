"""Chosen ranges of a trace (module calls, Python frames): which is innermost at a row; sums by what lies in what.

Ranges may also be carried over from another recording of the same steps (``join.py``); these are no rows of the trace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stallscope.analysis.columns.nesting import Forest, forest, parents
from stallscope.traces.model.trace import Bools, Ints, Trace

CARRIED = -1  # event row of a range that is no row of the trace


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges as trees, thread by thread; positions are indices into the columns, each of shape (r,).

    They are in order by thread, each thread in order of time.
    """

    rows: Ints  # event rows, or ``CARRIED``
    labels: Ints  # what they are called: the index of a row's name; of carried ones, a number of the caller's
    threads: Ints
    forest: Forest
    outermost: Bools  # in no other range of the same label

    @property
    def parent(self) -> Ints:
        """Position of the range around each, -1: none, shape (r,)."""
        return self.forest.parent

    @property
    def starts(self) -> Ints:
        """Start of each, ns."""
        return self.forest.starts

    @property
    def ends(self) -> Ints:
        """End of each, ns."""
        return self.forest.ends

    def at(self, trace: Trace, rows: Ints) -> Ints:
        """Position of the innermost range open on its thread when each event row starts; -1: none, or row -1."""
        found = np.full(len(rows), -1, dtype=np.int64)
        asked = np.flatnonzero(rows >= 0)
        chosen, events = rows[asked], trace.events
        found[asked] = self._around(
            events.thread[chosen].astype(np.int64), events.ts_ns[chosen], events.end_ns[chosen], chosen
        )
        return found

    def on_thread(self, trace: Trace, thread: int, rows: Ints) -> Ints:
        """The same of the ranges of another thread, ``thread``."""
        starts = trace.events.ts_ns[rows]
        return self._around(np.full(len(rows), thread, dtype=np.int64), starts, starts, np.full(len(rows), NEXT))

    def around(self, others: Ranges) -> Ints:
        """Position of the innermost range that holds each of ``others`` from its start to its end; -1: none."""
        found = self._around(others.threads, others.starts, others.ends, np.full(len(others.rows), NEXT))
        while (wider := (found >= 0) & (np.append(self.ends, NEXT)[found] < others.ends)).any():
            found = np.where(wider, np.append(self.parent, -1)[found], found)
        return found

    def _around(self, threads: Ints, starts: Ints, ends: Ints, rows: Ints) -> Ints:
        size = len(self.rows)
        thread, start = np.concatenate((self.threads, threads)), np.concatenate((self.starts, starts))
        end, row = np.concatenate((self.ends, ends)), np.concatenate((self.rows, rows))
        if (self.rows == CARRIED).any():  # these open before a row that starts with them
            is_row = np.arange(len(row)) >= size
            order = np.lexsort((np.where(is_row, row, np.arange(len(row))), is_row, start, thread))
        else:  # rows are in order of time as they are
            order = np.lexsort((row, start, thread))
        inner = parents(thread[order], start[order], end[order], order < size)
        around = np.empty(len(order), dtype=np.int64)
        around[order] = np.where(inner >= 0, order[inner], -1) if len(inner) else inner
        return around[size:]


NEXT = np.iinfo(np.int64).max  # of a moment that is no row: after every row that starts then


def nest(trace: Trace, rows: Ints) -> Ranges:
    """Nest the given event rows (ascending), thread by thread; of two that only overlap the later start is inner."""
    rows = rows[np.argsort(trace.events.thread[rows], kind="stable")]
    events = trace.events
    names = events.name[rows].astype(np.int64)
    return ranges_of(rows, names, events.thread[rows].astype(np.int64), events.ts_ns[rows], events.end_ns[rows])


def ranges_of(rows: Ints, labels: Ints, threads: Ints, starts: Ints, ends: Ints) -> Ranges:
    """The ranges of such columns, which must be in order by thread, then of time, the outer first."""
    around = parents(threads, starts, ends, np.ones(len(rows), dtype=np.bool_))
    found = forest(starts, ends, around)
    return Ranges(rows, labels, threads, found, found.outermost(labels))


def sums(group: Ints, values: NDArray[np.generic], size: int) -> Ints:
    """Exact int64 sums of ``values`` by group, shape (size,)."""
    found = np.zeros(size, dtype=np.int64)
    np.add.at(found, group.reshape(-1), values.astype(np.int64))
    return found


def sums_around(parent: Ints, outermost: Bools, group: Ints, of: Ints, values: Ints, size: int) -> Ints:
    """Totals by group, shape (size,): each value goes once to every group at or around the range ``of`` it.

    ``parent``, ``outermost`` and ``group`` are indexed by range; a range of -1 is none.
    """
    found = np.zeros(size, dtype=np.int64)
    while (inside := of >= 0).any():
        of, values = of[inside], values[inside]
        first = outermost[of]
        np.add.at(found, group[of[first]], values[first])
        of = parent[of]
    return found
