"""Ranges that nest on a thread: which is innermost at any time, and what each spends outside the ranges in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.steps import Window
from stallscope.traces.trace import Bools, Ints, Trace


@dataclass(frozen=True, slots=True)
class Nesting:
    """Chosen ranges as trees, one or more a thread; positions are indices into ``rows``."""

    rows: Ints  # (r,) event rows, by thread, each thread in order of time
    parent: Ints  # (r,) position of the range around each; -1: none
    outermost: Bools  # (r,) no range of the same name is open around it
    _innermost: dict[int, tuple[Ints, Ints]]  # thread → (times, position of the innermost range from there on)

    def at(self, trace: Trace, rows: Ints) -> Ints:
        """Position of the innermost range open on its thread when each event row starts; -1: none, or row -1."""
        found = np.full(len(rows), -1, dtype=np.int64)
        threads = np.where(rows >= 0, trace.events.thread[rows], -1) if len(trace.events) else np.zeros(0)
        for thread, (times, position) in self._innermost.items():
            here = np.flatnonzero(threads == thread)
            place = np.searchsorted(times, trace.events.ts_ns[rows[here]], side="right") - 1
            found[here] = np.where(place >= 0, position[np.maximum(place, 0)], -1)
        return found

    def self_ns(self, window: Window) -> Ints:
        """Time of each range inside the window and in no range within it, ns, shape (r,)."""
        own = np.zeros(len(self.rows), dtype=np.int64)
        for times, position in self._innermost.values():
            clipped = np.clip(times, window.start, window.end)
            held = position[:-1] >= 0
            np.add.at(own, position[:-1][held], np.diff(clipped)[held])
        return own


def nest(trace: Trace, rows: Ints) -> Nesting:
    """Nest the given event rows, thread by thread; of two that overlap without nesting the later start is inner."""
    rows = rows[np.argsort(trace.events.thread[rows], kind="stable")]
    threads = trace.events.thread[rows]
    parent = np.full(len(rows), -1, dtype=np.int64)
    outermost = np.zeros(len(rows), dtype=np.bool_)
    innermost: dict[int, tuple[Ints, Ints]] = {}
    for thread in np.unique(threads).tolist():
        places = np.flatnonzero(threads == thread)
        times, inner, around, outer = _nest_thread(trace, rows[places])
        first = int(places[0])
        parent[places] = np.where(around >= 0, around + first, -1)
        outermost[places] = outer
        innermost[thread] = times, np.where(inner >= 0, inner + first, -1)
    return Nesting(rows, parent, outermost, innermost)


def _nest_thread(trace: Trace, rows: Ints) -> tuple[Ints, Ints, Ints, Bools]:
    """(boundaries, innermost position after each, parent of each row, whether it is its name's outermost)."""
    columns = trace.events.ts_ns[rows], trace.events.end_ns[rows], trace.events.name[rows]
    times, inner, parent, outer = [], [], [], []
    stack: list[tuple[int, int, int]] = []  # end, position, name
    names: dict[int, int] = {}
    now = 0
    for place, (start, end, name) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        while stack and stack[-1][0] <= start:
            now = max(now, stack[-1][0])
            names[stack.pop()[2]] -= 1
            times.append(now)
            inner.append(stack[-1][1] if stack else -1)
        parent.append(stack[-1][1] if stack else -1)
        outer.append(not names.get(name))
        names[name] = names.get(name, 0) + 1
        stack.append((end, place, name))
        now = start
        times.append(now)
        inner.append(place)
    while stack:
        now = max(now, stack.pop()[0])
        times.append(now)
        inner.append(stack[-1][1] if stack else -1)
    return _ints(times), _ints(inner), _ints(parent), np.array(outer, dtype=np.bool_)


def _ints(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)
