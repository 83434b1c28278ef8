"""Parts and forms of a ``Trace`` for people who go on in a notebook: some events of it, a pandas or polars table.

Neither library is a dependency: it is looked for when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from stallscope.traces.model import fields
from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.trace import Category, Events, Ints, OptionalInts, Trace


def categories(wanted: str | Category) -> tuple[Category, ...]:
    """The categories that ``wanted`` names: one of ours (``"kernel"``, ``"memcpy"``) or a trace's spelling of one.

    Raises:
        BadInput: no category has that name; the sentence lists them.

    """
    if isinstance(wanted, Category):
        return (wanted,)
    ours = {category.name.lower(): category for category in Category}
    found = ours.get(wanted.lower(), fields.CATEGORIES.get(wanted))
    if found is None:
        raise BadInput(f"{wanted}: no category of events; known are {', '.join(ours)}")
    return (found,)


def select(events: Events, rows: Ints) -> Events:
    """The given rows of ``events``, in their order."""
    ids = OptionalInts(events.correlation.values[rows], events.correlation.known[rows])
    return Events(
        events.ts_ns[rows], events.dur_ns[rows], events.category[rows], events.name[rows], events.thread[rows], ids
    )


def to_pandas(trace: Trace) -> Any:
    """The events as a ``pandas.DataFrame`` with the columns that ``Trace.to_pandas`` lists."""
    pandas = _library("pandas")
    table = {}
    for name, values in _columns(trace).items():
        if isinstance(values, OptionalInts):
            table[name] = pandas.arrays.IntegerArray(values.values.copy(), ~values.known)
        elif isinstance(values, tuple):
            table[name] = pandas.Categorical.from_codes(values[0], list(values[1]))
        else:
            table[name] = values
    return pandas.DataFrame(table)


def to_polars(trace: Trace) -> Any:
    """The events as a ``polars.DataFrame`` with the columns that ``Trace.to_polars`` lists."""
    polars = _library("polars")
    table = {}
    for name, values in _columns(trace).items():
        if isinstance(values, OptionalInts):
            table[name] = polars.Series(name, values.values).set(polars.Series(~values.known), None)
        elif isinstance(values, tuple):
            table[name] = polars.Series(name, list(values[1]), dtype=polars.Categorical).gather(values[0])
        else:
            table[name] = polars.Series(name, values)
    return polars.DataFrame(table)


def _columns(trace: Trace) -> dict[str, Any]:
    """By name an array, an ``OptionalInts``, or (codes, their texts)."""
    events, size = trace.events, len(trace.events)
    kinds = tuple(category.name.lower() for category in Category)
    return {
        "ts_ns": events.ts_ns,
        "dur_ns": events.dur_ns,
        "category": (events.category.astype(np.int64), kinds),
        "name": (events.name.astype(np.int64), trace.strings),
        "pid": _texts([thread.pid for thread in trace.threads], events.thread),
        "tid": _texts([thread.tid for thread in trace.threads], events.thread),
        "correlation": events.correlation,
        "device": _spread(trace.work.row, trace.work.device, None, size),
        "stream": _spread(trace.work.row, trace.work.stream, None, size),
        "bytes": _spread(trace.work.row, trace.work.bytes.values, trace.work.bytes, size),
    }


def _texts(texts: list[str], index: Any) -> tuple[Ints, tuple[str, ...]]:
    """The distinct texts, and for each of ``index`` which one it has."""
    distinct = {text: place for place, text in enumerate(sorted(set(texts)))}
    places = np.array([distinct[text] for text in texts], np.int64)
    return places[index], tuple(distinct)


def _spread(rows: Ints, values: Any, told: OptionalInts | None, size: int) -> OptionalInts:
    """A column over all events from one over the device rows."""
    spread, known = np.zeros(size, np.int64), np.zeros(size, np.bool_)
    spread[rows] = values
    known[rows] = True if told is None else told.known
    return OptionalInts(spread, known)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)  # by name: nothing of Stallscope depends on it
    except ImportError as error:
        raise BadInput(f"Trace.to_{name} needs {name}, which is not installed: python -m pip install {name}") from error
