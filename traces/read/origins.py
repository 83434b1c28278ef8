"""What operators and Python frames say of their origin → the sparse columns of ``Origins``.

Only the rows that say something are kept: sequence numbers and call stacks of operators (2021 and Meta's builds write
stacks), ids of Python frames. Flows of category ``fwdbwd`` are not read: in every file known to hold them both
ends carry the sequence number that they would tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Ints, OptionalInts, Origins
from stallscope.traces.read.decode import Args
from stallscope.traces.text.values import NO_ID, integer


class OriginStore:
    """Collects the origins block by block, in file order, until the order of the events is known."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}
        self._python: list[tuple[Ints, Ints, Ints]] = []  # row, id, parent
        self._autograd: list[tuple[Ints, Ints, Ints]] = []  # row, sequence number, forward thread
        self._stacks: list[tuple[Ints, Ints]] = []  # row, stack
        self._syncs: list[tuple[Ints, Ints]] = []  # row, stream
        self._events: list[tuple[Ints, Ints, Ints]] = []  # row, stream, correlation of the record call
        self._shape_texts: dict[str, int] = {}
        self._shapes: list[tuple[Ints, Ints]] = []  # row, shapes

    def add(self, kinds: NDArray[np.uint8], args: list[Args], first: int) -> None:
        """Take in a block whose events are of the categories ``kinds`` and become rows from ``first`` on.

        Raises:
            OverflowError: a number does not fit 64 bits.

        """
        python = np.flatnonzero(kinds == Category.PYTHON)
        frames = _picked(args, python)
        ids = _column(frames, "python_id")
        parents = np.array([NO_ID if a.python_parent is None else a.python_parent for a in frames], np.int64)
        operators = np.flatnonzero((kinds == Category.CPU_OP) | (kinds == Category.ANNOTATION))
        chosen = _picked(args, operators)
        sequence = _column(chosen, "sequence")
        numbered = np.flatnonzero(sequence >= 0)  # NO_ID is negative
        threads = np.array([a.forward_thread or 0 for a in _picked(chosen, numbered)], np.int64)
        syncs = np.flatnonzero(kinds == Category.DEVICE_SYNC)
        waits = _picked(args, syncs)
        streams = [integer(a.stream) for a in waits]
        told = [i for i, stream in enumerate(streams) if stream is not None]
        awaited = np.array([streams[i] for i in told], np.int64)
        on_events = [i for i, a in enumerate(waits) if a.wait_on_stream is not None and a.event_recorded is not None]
        recorded = np.array([(waits[i].wait_on_stream, waits[i].event_recorded) for i in on_events], np.int64)
        # Nothing is kept before everything is known to fit.
        self._python.append((python + first, ids, parents))
        self._autograd.append((operators[numbered] + first, sequence[numbered], threads))
        self._syncs.append((syncs[told] + first, awaited))
        self._events.append((syncs[on_events] + first, *recorded.reshape(-1, 2).T))
        self._add_stacks(operators + first, chosen)

    def _add_stacks(self, rows: Ints, args: list[Args]) -> None:
        stacks = list(map(attrgetter("call_stack"), args))
        told = [i for i, stack in enumerate(stacks) if stack] if any(stacks) else []
        texts = [self._texts.setdefault(stacks[i] or "", len(self._texts)) for i in told]
        self._stacks.append((rows[told], np.array(texts, np.int64)))

    def add_shapes(self, rows: Ints, args: list[Args]) -> None:
        """Take in operators (their rows and args) whose shapes are wanted, of those that tell them."""
        told = [i for i, each in enumerate(args) if bytes(each.sizes)]
        texts = [self._shape_texts.setdefault(_shapes_of(args[i]), len(self._shape_texts)) for i in told]
        self._shapes.append((rows[told], np.array(texts, np.int64)))

    def finish(self) -> OriginArrays:
        """Everything taken in. Call once."""
        texts, rank = _by_text(self._texts)
        row, stack = _joined(self._stacks, 2)
        shapes, shape_rank = _by_text(self._shape_texts)
        shaped, shape = _joined(self._shapes, 2)
        origins = _joined(self._python, 3), _joined(self._autograd, 3), (row, rank[stack])
        groups = *origins, _joined(self._syncs, 2), _joined(self._events, 3), (shaped, shape_rank[shape])
        return OriginArrays(groups, texts, shapes)


class OriginArrays:
    """The origins as arrays in file order; the first of each group is the row."""

    def __init__(self, groups: tuple[tuple[Ints, ...], ...], stacks: tuple[str, ...], shapes: tuple[str, ...]) -> None:
        self._groups, self._stacks, self._shapes = groups, stacks, shapes

    def tie_keys(self, rows: Ints, count: int) -> list[Ints]:
        """What tells rows apart whose event columns are equal, for event ``rows`` of ``count``."""
        return [_spread(row, values, count)[rows] for row, *columns in self._groups if len(row) for values in columns]

    def ordered(self, place: Ints) -> Origins:
        """The origins, renumbered (``place[i]`` is the new number of row i) and sorted by row."""
        python, autograd, stacks, syncs, events, shapes = (_renumbered(group, place) for group in self._groups)
        return Origins(
            python_row=python[0],
            python_id=_optional(python[1]),
            python_parent=_optional(python[2]),
            autograd_row=autograd[0],
            sequence=autograd[1],
            forward_thread=autograd[2],
            stack_row=stacks[0],
            stack=stacks[1],
            stacks=self._stacks,
            sync_row=syncs[0],
            sync_stream=syncs[1],
            event_row=events[0],
            event_stream=events[1],
            event_recorded=events[2],
            shape_row=shapes[0],
            shape=shapes[1],
            shapes=self._shapes,
        )


def _shapes_of(args: Args) -> str:
    """``[sizes, values, types]`` as JSON."""
    parts = (bytes(raw).decode(errors="replace") or "[]" for raw in (args.sizes, args.values, args.types))
    return f"[{','.join(parts)}]"


def _by_text(numbers: dict[str, int]) -> tuple[tuple[str, ...], Ints]:
    """The texts in order, and for each number its place there."""
    texts = sorted(numbers)
    rank = np.zeros(len(texts), np.int64)
    for place, text in enumerate(texts):
        rank[numbers[text]] = place
    return tuple(texts), rank


def _picked(args: list[Args], places: Ints) -> list[Args]:
    return [args[i] for i in places.tolist()]


def _column(args: list[Args], key: str) -> Ints:
    return np.fromiter(map(attrgetter(key), args), np.int64, len(args))


def _joined(parts: Sequence[tuple[Ints, ...]], width: int) -> tuple[Ints, ...]:
    empty = tuple(np.zeros(0, np.int64) for _ in range(width))
    return tuple(np.concatenate(columns) for columns in zip(empty, *parts, strict=True))


def _spread(row: Ints, values: Ints, count: int) -> Ints:
    spread = np.full(count, NO_ID, np.int64)
    spread[row] = values
    return spread


def _renumbered(columns: tuple[Ints, ...], place: Ints) -> tuple[Ints, ...]:
    row = place[columns[0]]
    order = np.argsort(row)
    return row[order], *(column[order] for column in columns[1:])


def _optional(values: Ints) -> OptionalInts:
    known = values != NO_ID
    return OptionalInts(np.where(known, values, 0), known)
