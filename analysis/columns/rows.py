"""Choosing event rows by name: each distinct name is tested once, however many rows carry it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stallscope.traces.model.trace import Bools, Ints, Trace

NameTest = Callable[[str], bool]
TABLE = 4  # times as many entries as there are keys may a table have


def named(trace: Trace, rows: Ints, accept: NameTest) -> Bools:
    """Which of ``rows`` (indices of events, -1 for none) have a name that passes the test, shape of ``rows``."""
    wanted = np.zeros(len(trace.strings) + 1, dtype=np.bool_)
    names = trace.events.name[rows] if len(trace.events) else np.zeros(len(rows), dtype=np.int32)
    names = np.where(rows >= 0, names, len(trace.strings))  # the last slot is always False
    for name in np.flatnonzero(np.bincount(names, minlength=1)[: len(trace.strings)]).tolist():
        wanted[name] = accept(trace.strings[name])
    return wanted[names]


def rows_named(trace: Trace, rows: Ints, accept: NameTest) -> Ints:
    """Those of ``rows`` whose name passes the test, in their order."""
    return rows[named(trace, rows, accept)]


def distinct(numbers: NDArray[np.integer[Any]]) -> Ints:
    """The distinct ones of ``numbers`` (rows, names, threads: none below 0), ascending.

    By a table; ``np.unique`` says the same and hashes all of them.
    """
    there = np.zeros(int(numbers.max(initial=-1)) + 1, np.bool_)
    there[numbers] = True
    return np.flatnonzero(there)


def both(some: Ints, others: Ints) -> Ints:
    """The rows of either, each once, ascending."""
    return distinct(np.concatenate((some, others)))


def without(rows: Ints, others: Ints) -> Ints:
    """``rows``, as they are, but those that stand among ``others`` too."""
    table = np.zeros(1 + max(int(rows.max(initial=0)), int(others.max(initial=0))), np.bool_)
    table[others] = True
    return rows[~table[rows]]


def numbered(keys: NDArray[np.integer[Any]]) -> tuple[NDArray[np.integer[Any]], Ints]:
    """(the distinct keys, ascending; which of them each key is): for many keys of which few are distinct.

    ``np.unique(keys, return_inverse=True)`` says the same and sorts all of them.
    """
    lowest = int(keys.min(initial=0))
    if int(keys.max(initial=0)) - lowest <= TABLE * len(keys):
        found = distinct(keys - lowest) + lowest
    else:
        found = np.unique(keys)
    return found, np.searchsorted(found, keys)


def grouped(keys: NDArray[np.integer[Any]]) -> list[tuple[int, Ints]]:
    """(key, ascending indices that carry it) for each distinct key, ascending: one sort, however many keys."""
    order = np.argsort(keys, kind="stable")
    distinct, first = np.unique(keys[order], return_index=True)
    return list(zip(distinct.tolist(), np.split(order, first[1:]), strict=True)) if len(keys) else []


def matches(pattern: re.Pattern[str]) -> NameTest:
    """A name test: the pattern matches at the start of the name."""
    return lambda name: pattern.match(name) is not None
