"""What kernels, copies and memsets say beyond what all events say → the columns of ``DeviceWork``.

The values of a block become arrays at once: most are integers, and only what is not (text, nothing) is looked at one
by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stallscope.traces.model.trace import DeviceWork, Events, Floats, Ints, OptionalInts
from stallscope.traces.read.decode import Args
from stallscope.traces.read.kinds import work_kinds
from stallscope.traces.text.values import integer

AXES = 3  # of a grid: x, y, z
MOST_DEVICES = 2**31
UNKNOWN = np.iinfo(np.int64).min  # stands for "not told" until the columns are made; no spelled integer gives it

Part = tuple[Ints, Ints, Ints, Ints, Ints, Floats, Floats]


class WorkStore:
    """Collects the device rows block by block, in file order, until the order of the events is known."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def add(self, rows: Ints, events: list[Any], args: list[Args]) -> None:
        """Take in the device rows of a block: ``rows`` are their event rows, the lists their events and args."""
        self._parts.append(
            (
                rows,
                _integers(args, "device", lambda i: ordinal(events[i].pid)),
                _integers(args, "stream", lambda i: integer(str(events[i].tid).removeprefix("stream ")) or 0),
                _integers(args, "bytes", lambda _: UNKNOWN),
                _blocks(args),
                np.array(list(map(attrgetter("blocks_per_sm"), args)), np.float64),  # None becomes nan
                np.array(list(map(attrgetter("occupancy_percent"), args)), np.float64),
            )
        )

    def finish(self) -> WorkArrays:
        """Everything taken in. Call once."""
        empty: Part = (*(np.zeros(0, np.int64) for _ in range(5)), np.zeros(0), np.zeros(0))  # type: ignore[assignment]
        return WorkArrays(*(np.concatenate(columns) for columns in zip(empty, *self._parts, strict=True)))


class WorkArrays:
    """The device rows as arrays in file order."""

    def __init__(
        self, row: Ints, device: Ints, stream: Ints, nbytes: Ints, blocks: Ints, per_sm: Floats, occupancy: Floats
    ) -> None:
        self._row = row
        self._device = np.where(np.abs(device) < MOST_DEVICES, device, 0).astype(np.int32)
        self._stream, self._bytes, self._blocks = stream, nbytes, blocks
        self._per_sm, self._occupancy = per_sm, occupancy

    def __len__(self) -> int:
        return len(self._row)

    def ordered(self, place: Ints, events: Events, strings: Sequence[str]) -> DeviceWork:
        """The device rows, renumbered (``place[i]`` is the new number of row i, as in ``events``) and sorted by row."""
        row = place[self._row]
        return DeviceWork(
            row,
            self._device,
            self._stream,
            _optional(self._bytes),
            _optional(self._blocks),
            self._per_sm,
            self._occupancy,
            *work_kinds(events.category[row], events.name[row], strings),
        ).of(np.argsort(row))

    def tie_keys(self, rows: Ints, count: int) -> list[NDArray[Any]]:
        """What tells device rows apart whose event columns are equal, for event ``rows`` of ``count``."""
        at = np.full(count, -1, np.int64)
        at[self._row] = np.arange(len(self._row))
        found = at[rows]
        columns = (self._device, self._stream, self._bytes, self._blocks, self._per_sm, self._occupancy)
        return [np.where(found >= 0, np.append(column, 0)[found], 0) for column in columns]


def ordinal(value: Any) -> int:
    """A device ordinal; 0 where none is told, or none that a machine could have."""
    number = integer(value)
    return number if number is not None and abs(number) < MOST_DEVICES else 0


def _integers(args: list[Args], key: str, otherwise: Callable[[int], int]) -> Ints:
    """Attribute ``key`` of ``args``; ``otherwise(i)`` where it spells no integer of 64 bits."""
    values = list(map(attrgetter(key), args))
    kinds = set(map(type, values))
    try:
        if kinds <= {int}:
            return np.array(values, np.int64)
        if kinds <= {int, type(None)}:
            return np.array([otherwise(i) if value is None else value for i, value in enumerate(values)], np.int64)
    except OverflowError:
        pass
    told = map(integer, values)
    return np.array([otherwise(i) if value is None else value for i, value in enumerate(told)], np.int64)


def _blocks(args: list[Args]) -> Ints:
    """Blocks in the grid of each kernel; unknown where it is no (x, y, z)."""
    return np.fromiter(_products(map(attrgetter("grid"), args)), np.int64, len(args))


def _products(grids: Iterable[list[int] | str | None]) -> Iterable[int]:
    for grid in grids:
        known = type(grid) is list and len(grid) == AXES
        blocks = math.prod(grid) if known else UNKNOWN  # type: ignore[arg-type]
        yield blocks if abs(blocks) < -UNKNOWN else UNKNOWN


def _optional(values: Ints) -> OptionalInts:
    known = values != UNKNOWN
    return OptionalInts(np.where(known, values, 0), known)
