"""Chosen ranges of a trace (module calls, Python frames): which is innermost at a row; sums by what lies in what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stallscope.analysis.nesting import Forest, forest, parents
from stallscope.traces.trace import Bools, Ints, Trace


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges as trees, thread by thread; positions are indices into ``rows``."""

    rows: Ints  # (r,) event rows, by thread, each thread in order of time
    forest: Forest
    outermost: Bools  # (r,) in no other range of the same name

    @property
    def parent(self) -> Ints:
        """Position of the range around each, -1: none, shape (r,)."""
        return self.forest.parent

    def at(self, trace: Trace, rows: Ints) -> Ints:
        """Position of the innermost range open on its thread when each event row starts; -1: none, or row -1."""
        found = np.full(len(rows), -1, dtype=np.int64)
        asked = np.flatnonzero(rows >= 0)
        together = np.concatenate((self.rows, rows[asked]))
        order = np.lexsort((together, trace.events.thread[together]))
        ordered = together[order]
        events = trace.events
        inner = parents(events.thread[ordered], events.ts_ns[ordered], events.end_ns[ordered], order < len(self.rows))
        around = np.empty(len(order), dtype=np.int64)
        around[order] = np.where(inner >= 0, order[inner], -1)
        found[asked] = around[len(self.rows) :]
        return found


def nest(trace: Trace, rows: Ints) -> Ranges:
    """Nest the given event rows (ascending), thread by thread; of two that only overlap the later start is inner."""
    rows = rows[np.argsort(trace.events.thread[rows], kind="stable")]
    starts, ends = trace.events.ts_ns[rows], trace.events.end_ns[rows]
    around = parents(trace.events.thread[rows], starts, ends, np.ones(len(rows), dtype=np.bool_))
    found = forest(starts, ends, around)
    return Ranges(rows, found, found.outermost(trace.events.name[rows]))


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
