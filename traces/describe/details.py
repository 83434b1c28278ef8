"""What the health of a trace needs and no figure does: external ids, wait records, flows, keys, the layout of the text.

A second reading of the file, made only when it is asked for. What most rows have stands in columns, what few have
in short lists.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from stallscope.traces.damaged.raw import RawEvents
from stallscope.traces.model.interner import Interner
from stallscope.traces.model.trace import Bools, Ints
from stallscope.traces.text import times
from stallscope.traces.text.limits import DEFAULT, Limits
from stallscope.traces.text.values import NO_ID, integer, or_no_id

COLLECTIVE = "record_param_comms"
PYTHON = "python_function"
BACKWARD = "autograd::engine::evaluate_function:"
KERNEL = "kernel"
FIRST_TEXT = 500  # characters of the first complete event, from which its writer can be told
DECIMALS = 3  # as Kineto writes them: a time's digits are then its ns
LENGTH = 20  # of a longer time no 64 bits hold the ns
LIMIT_NS = int(times.LIMIT_US) * 1000

Ids = NDArray[np.int32]


class Args(msgspec.Struct, gc=False):
    """Of ``args`` what is asked here; anything may be of any type."""

    external: Any = msgspec.field(name="External id", default=None)
    external_2021: Any = msgspec.field(name="external id", default=None)
    correlation: Any = None
    device: Any = None
    stream: Any = None
    sync_kind: Any = msgspec.field(name="cuda_sync_kind", default=None)
    waited_for: Any = msgspec.field(name="wait_on_cuda_event_record_corr_id", default=None)
    sequence: Any = msgspec.field(name="Sequence number", default=None)
    sequence_number: Any = msgspec.field(name="seq_num", default=None)
    record_function: Any = msgspec.field(name="Record function id", default=UNSET)
    collective: Any = msgspec.field(name="Collective name", default=UNSET)
    dtype: Any = UNSET
    in_elements: Any = msgspec.field(name="In msg nelems", default=UNSET)
    out_elements: Any = msgspec.field(name="Out msg nelems", default=UNSET)
    group_size: Any = msgspec.field(name="Group size", default=UNSET)


NO_ARGS = Args()


class Event(msgspec.Struct, gc=False):
    """One entry of ``traceEvents``."""

    ph: Any = ""
    cat: Any = ""
    name: Any = ""
    pid: Any = ""
    tid: Any = ""
    ts: msgspec.Raw = msgspec.Raw(b"")
    dur: msgspec.Raw = msgspec.Raw(b"")
    args: Args | None = None


class Wait(NamedTuple):
    """A row with a ``cuda_sync_kind``."""

    row: int
    kind: Any
    recorded_by: int | None  # correlation of the call that recorded the event waited for; None: it names none


class Backward(NamedTuple):
    """A backward operator with its sequence number, if it tells one."""

    row: int
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Complete events but Python functions, n in file order; ids count into ``categories`` and ``names``."""

    categories: tuple[str, ...]
    names: tuple[str, ...]
    waits: tuple[Wait, ...]
    backward: tuple[Backward, ...]
    bare_collectives: int  # collectives that lack name, type, sizes or group size
    category: Ids
    name: Ids
    thread: Ids  # equal numbers: one thread
    start: Ints  # ns
    end: Ints  # ns
    external: Ints  # under either spelling; NO_ID: none
    external_id: Ints  # under torch's own spelling only
    correlation: Ints
    queue: Ids  # of kernels and waits: equal numbers are one stream of one device; -1: any other row

    def of_category(self, *wanted: str) -> NDArray[np.bool_]:
        """Which rows have one of these categories, as the file spells them."""
        return np.isin(self.category, [i for i, name in enumerate(self.categories) if name in wanted])

    def named(self, *wanted: str) -> NDArray[np.bool_]:
        """Which rows have one of these names."""
        return np.isin(self.name, [i for i, name in enumerate(self.names) if name in wanted])


@dataclass(frozen=True, slots=True)
class Details:
    """One file."""

    rows: Rows
    phases: Counter[str]
    spelled: Counter[str]  # categories of complete events as the file spells them
    flows: Counter[tuple[str, str]]  # (category, phase)
    fractions: bool  # some start is given in fractions of a µs
    keys: frozenset[str]  # beside the events
    is_list: bool
    first: str  # the text of the first complete event
    has_record_function: bool
    has_external_2021: bool


def read_details(path: str | Path, *, limits: Limits = DEFAULT) -> Details:
    """Read the file once more; of a damaged one as far as it goes.

    Raises:
        BadInput: it is no trace.
        Refused: it is larger than ``limits`` allow.

    """
    source = RawEvents(path, Event, damaged=True, limits=limits)
    store = _Store()
    for events in source:
        store.add(events)
    return Details(
        rows=store.rows(),
        phases=store.phases,
        spelled=store.spelled,
        flows=store.flows,
        fractions=store.fractions,
        keys=frozenset(source.keys),
        is_list=source.is_list,
        first=_first_text(path, limits),
        has_record_function=store.has_record_function,
        has_external_2021=store.has_external_2021,
    )


def _first_text(path: str | Path, limits: Limits) -> str:
    """The beginning of the first complete event as it is written; empty: there is none."""
    for entries in RawEvents(path, msgspec.Raw, damaged=True, limits=limits):
        for entry in entries:
            if _is_complete(entry):
                return bytes(entry).decode("utf-8", "replace")[:FIRST_TEXT]
    return ""


def _is_complete(entry: msgspec.Raw) -> bool:
    try:
        return bool(msgspec.json.decode(entry, type=Event).ph == "X")
    except msgspec.ValidationError:
        return False


class _Store:
    """Collects blocks of events."""

    def __init__(self) -> None:
        self.phases: Counter[str] = Counter()
        self.spelled: Counter[str] = Counter()
        self.flows: Counter[tuple[str, str]] = Counter()
        self.fractions = self.has_record_function = self.has_external_2021 = False
        self._categories, self._names, self._threads, self._queues = Interner(), Interner(), Interner(), Interner()
        self._parts: list[tuple[NDArray[Any], ...]] = []
        self._count = 0
        self._waits: list[Wait] = []
        self._is_backward: list[bool] = []  # of each distinct name
        self._backward: list[Backward] = []
        self._bare = 0

    def add(self, events: Sequence[Event]) -> None:
        """Take in one block."""
        _count(self.phases, [event.ph for event in events])
        self.flows.update((_text(event.cat), event.ph) for event in events if event.ph in ("s", "f", "t"))
        complete = [event for event in events if event.ph == "X"]
        _count(self.spelled, [event.cat for event in complete])
        self.fractions = self.fractions or any(b"." in bytes(event.ts) for event in complete)
        self._note_args(event.args for event in complete)
        self._add_rows([event for event in complete if event.cat != PYTHON])  # no link or rule is about these

    def _note_args(self, args: Iterable[Args | None]) -> None:
        for each in args:
            if each is not None:
                self.has_record_function = self.has_record_function or each.record_function is not UNSET
                self.has_external_2021 = self.has_external_2021 or each.external_2021 is not None

    def _add_rows(self, events: list[Event]) -> None:
        start, known = _ns([event.ts for event in events])
        if not known.all():
            events = [event for event, there in zip(events, known.tolist(), strict=True) if there]
            start = start[known]
        args = [event.args or NO_ARGS for event in events]
        length, _ = _ns([event.dur for event in events])
        category = _column(self._categories, _texts(event.cat for event in events))
        name = _column(self._names, _texts(event.name for event in events))
        thread = _column(self._threads, ((str(event.pid), str(event.tid)) for event in events))
        external = _numbers(each.external if each.external is not None else each.external_2021 for each in args)
        external_id = _numbers(each.external for each in args) if self.has_external_2021 else external
        correlation = _numbers(each.correlation for each in args)
        end = start + np.maximum(length, 0)
        queue = self._queue(category, args)
        self._parts.append((category, name, thread, start, end, external, external_id, correlation, queue))
        self._note_few(args, name)
        self._count += len(events)

    def _queue(self, category: Ids, args: list[Args]) -> Ids:
        queue = np.full(len(args), -1, np.int32)
        kernels = np.flatnonzero(category == self._categories[KERNEL]).tolist()
        for row in [*kernels, *(row for row, each in enumerate(args) if each.sync_kind is not None)]:
            queue[row] = self._queues[repr(args[row].device), repr(args[row].stream)]
        return queue

    def _note_few(self, args: list[Args], name: Ids) -> None:
        """Waits, backward operators and collectives of one block."""
        for row, each in enumerate(args):
            if each.sync_kind is not None:
                number = integer(each.waited_for)
                known = number if number is not None and number >= 0 else None
                self._waits.append(Wait(self._count + row, each.sync_kind, known))
        self._is_backward += [BACKWARD in text for text in islice(self._names, len(self._is_backward), None)]
        for row in np.flatnonzero(np.array(self._is_backward, np.bool_)[name]).tolist():
            told = args[row].sequence or args[row].sequence_number
            self._backward.append(Backward(self._count + row, integer(told)))
        collectives = np.flatnonzero(name == self._names.get(COLLECTIVE, -1)).tolist()
        self._bare += sum(_is_bare(args[row]) for row in collectives)

    def rows(self) -> Rows:
        """Everything taken in. Call once."""
        types = (np.int32,) * 3 + (np.int64,) * 5 + (np.int32,)
        self._parts.insert(0, tuple(np.empty(0, each) for each in types))
        columns = [np.concatenate(parts) for parts in zip(*self._parts, strict=True)]
        self._parts.clear()
        return Rows(
            tuple(self._categories), tuple(self._names), tuple(self._waits), tuple(self._backward), self._bare, *columns
        )


def _is_bare(args: Args) -> bool:
    return UNSET in (args.collective, args.dtype, args.in_elements, args.out_elements, args.group_size)


def _column(interner: Interner, keys: Iterable[Any]) -> Ids:
    return np.array([interner[key] for key in keys], np.int32)


def _numbers(values: Iterable[Any]) -> Ints:
    """The integers that ``values`` spell; NO_ID where one spells none."""
    values = list(values)
    if set(map(type, values)) <= {int, NoneType}:
        with contextlib.suppress(OverflowError):
            return np.array([NO_ID if value is None else value for value in values], np.int64)
    return np.array([or_no_id(value) for value in values], np.int64)


def _count(counter: Counter[str], values: list[Any]) -> None:
    """Count the texts; anything else is an empty one."""
    if set(map(type, values)) <= {str}:
        counter.update(values)
    else:
        counter.update(_texts(values))


def _texts(values: Iterable[Any]) -> Iterator[str]:
    return (value if type(value) is str else "" for value in values)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _ns(raws: Iterable[msgspec.Raw]) -> tuple[Ints, Bools]:
    """(whole ns of times in µs as they are written, 0 where one tells none; which tell one)."""
    texts = [bytes(raw) for raw in raws]
    plain = _plain_ns(texts)
    if plain is not None:
        return plain, np.ones(len(texts), np.bool_)
    told = [_exact_ns(text) for text in texts]
    known = np.array([each is not None for each in told], np.bool_)
    return np.array([each or 0 for each in told], np.int64), known


def _plain_ns(texts: list[bytes]) -> Ints | None:
    """The ns of times that are all whole, or all with three decimals, and none too long; None: not all are."""
    if not texts:
        return np.empty(0, np.int64)
    joined = b",".join(texts)
    marks = joined.translate(None, b"0123456789")
    text = np.frombuffer(joined, np.uint8)
    ends = np.append(np.flatnonzero(text == ord(",")), len(text))
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.min() < 1 or lengths.max() > LENGTH:
        return None
    if marks == b"," * (len(texts) - 1):
        whole = np.fromstring(joined, np.int64, sep=",")  # what 64 bits cannot hold becomes the largest that they can
        return whole * 1000 if whole.max() < times.LIMIT_US else None
    if marks != b",".join([b"."] * len(texts)) or (ends - np.flatnonzero(text == ord(".")) != 1 + DECIMALS).any():
        return None
    ns = np.fromstring(joined.replace(b".", b""), np.int64, sep=",")
    return ns if ns.max() < LIMIT_NS else None


def _exact_ns(text: bytes) -> int | None:
    """Whole ns of a time in µs as it is written; None where it tells none."""
    try:
        told = Decimal(text.decode("ascii").strip('"'))
    except (InvalidOperation, UnicodeDecodeError):
        return None
    return times.from_decimal(told) if times.fits(told) else None
