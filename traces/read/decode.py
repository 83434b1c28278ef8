"""One block of JSON events → typed events: strict fast schemas, an exact one, and a wide one for odd blocks.

The fast schemas read times as doubles, or as integers where they are whole and large; where a double cannot hold what
the text says (``times.py``) the block is decoded again with times as ``Decimal``. A block in which any field has an
unexpected type is decoded event by event from plain objects: what cannot be an event is counted as malformed, nothing
else is lost.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter
from types import GenericAlias
from typing import Any

import msgspec
import numpy as np

from stallscope.traces.model.fields import MEMORY_EVENT
from stallscope.traces.model.trace import Floats, Ints
from stallscope.traces.text import decimals, times
from stallscope.traces.text.values import (
    NO_ID,
    beyond_doubles,
    double,
    grid,
    integer,
    or_no_id,
    text,
    thread_id,
    time,
)

NO_TEXT = msgspec.Raw()


class Args(msgspec.Struct, frozen=True, gc=False):
    """What is read of an event's ``args``; everything else is skipped by the decoder."""

    correlation: int = NO_ID
    device: int | None = None
    stream: int | str | None = None
    bytes: int | str | None = None
    grid: list[int] | str | None = None
    blocks_per_sm: float | None = msgspec.field(name="blocks per SM", default=None)
    occupancy_percent: float | None = msgspec.field(name="est. achieved occupancy %", default=None)
    finished: bool = True
    total_allocated: int | None = msgspec.field(name="Total Allocated", default=None)
    total_reserved: int | None = msgspec.field(name="Total Reserved", default=None)
    size: int | None = msgspec.field(name="Bytes", default=None)
    address: int | None = msgspec.field(name="Addr", default=None)
    device_type: int | None = msgspec.field(name="Device Type", default=None)
    device_id: int | None = msgspec.field(name="Device Id", default=None)
    sequence: int = msgspec.field(name="Sequence number", default=NO_ID)
    forward_thread: int | None = msgspec.field(name="Fwd thread id", default=None)
    python_id: int = msgspec.field(name="Python id", default=NO_ID)
    python_parent: int | None = msgspec.field(name="Python parent id", default=None)
    call_stack: str | None = msgspec.field(name="Call stack", default=None)
    wait_on_stream: int | None = None
    event_recorded: int | None = msgspec.field(name="wait_on_cuda_event_record_corr_id", default=None)
    sizes: msgspec.Raw = msgspec.field(name="Input Dims", default=NO_TEXT)
    values: msgspec.Raw = msgspec.field(name="Concrete Inputs", default=NO_TEXT)
    types: msgspec.Raw = msgspec.field(name="Input type", default=NO_TEXT)


class MetaArgs(msgspec.Struct, frozen=True, gc=False):
    """The args of a metadata event: the name it gives."""

    name: str | None = None


NO_ARGS = Args()


class Complete(msgspec.Struct, tag_field="ph", tag="X", gc=False):
    """A complete event with times as doubles, µs."""

    name: str
    ts: float
    dur: float
    cat: str = ""
    pid: int | str = ""
    tid: int | str = ""
    args: Args = NO_ARGS


class WholeComplete(msgspec.Struct, tag_field="ph", tag="X", gc=False):
    """A complete event that starts at a whole µs."""

    name: str
    ts: int
    dur: float
    cat: str = ""
    pid: int | str = ""
    tid: int | str = ""
    args: Args = NO_ARGS


class ExactComplete(msgspec.Struct, tag_field="ph", tag="X", gc=False):
    """A complete event with times as the text says them, µs."""

    name: str
    ts: Decimal
    dur: Decimal
    cat: str = ""
    pid: int | str = ""
    tid: int | str = ""
    args: Args = NO_ARGS


class Instant(msgspec.Struct, tag_field="ph", tag="i", gc=False):
    """An instant event; only ``[memory]`` ones are kept."""

    name: str = ""
    ts: float = 0.0
    args: Args = NO_ARGS


class WholeInstant(msgspec.Struct, tag_field="ph", tag="i", gc=False):
    """An instant event at a whole µs."""

    name: str = ""
    ts: int = 0
    args: Args = NO_ARGS


class ExactInstant(msgspec.Struct, tag_field="ph", tag="i", gc=False):
    """An instant event with its time as the text says it."""

    name: str = ""
    ts: Decimal = Decimal(0)
    args: Args = NO_ARGS


class Meta(msgspec.Struct, tag_field="ph", tag="M", gc=False):
    """A metadata event: the name of a process or thread, labels, sort indices."""

    name: str = ""
    pid: int | str = ""
    tid: int | str = ""
    args: MetaArgs = MetaArgs()


def _ignored(phase: str) -> type[msgspec.Struct]:
    return msgspec.defstruct(f"Phase{ord(phase)}", [], tag_field="ph", tag=phase, gc=False)


PAIRED_PHASES = "BE"  # duration events in two halves: no Kineto writer makes them, so they are counted as not read
IGNORED_PHASES = "stfCIRPbneNODcvVSTFp()"
_PAIRED = tuple(_ignored(phase) for phase in PAIRED_PHASES)
_IGNORED = tuple(_ignored(phase) for phase in IGNORED_PHASES)


def _decoder(complete: type[msgspec.Struct], instant: type[msgspec.Struct]) -> msgspec.json.Decoder[list[Any]]:
    return msgspec.json.Decoder(GenericAlias(list, (_any_of(complete, instant),)))


def _any_of(complete: type[msgspec.Struct], instant: type[msgspec.Struct]) -> Any:
    union: Any = complete | instant | Meta
    for ignored in (*_PAIRED, *_IGNORED):
        union = union | ignored
    return union


_FAST = _decoder(Complete, Instant)
_WHOLE = _decoder(WholeComplete, WholeInstant)
_EXACT = _decoder(ExactComplete, ExactInstant)
_PLAIN = msgspec.json.Decoder(float_hook=decimals.decimal)
_EVENT = msgspec.json.Decoder(_any_of(Complete, Instant))


@dataclass(slots=True)
class Block:
    """The typed events of one block; the arrays belong to the lists beside them."""

    complete: list[Any]  # n of them
    ts_ns: Ints  # (n,)
    dur_ns: Ints  # (n,) as told: may be negative
    memory: list[Any] = field(default_factory=list)  # k [memory] instants
    memory_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # (k,)
    names: list[Meta] = field(default_factory=list)  # thread_name events
    total: int = 0
    malformed: int = 0
    paired: int = 0
    odd: Counter[str] = field(default_factory=Counter)  # values that are missing because nothing can hold them


def decode_block(data: bytes) -> Block:
    """Decode ``data``, a JSON array of events.

    Raises:
        msgspec.DecodeError: the text is not JSON.
        UnicodeDecodeError: a string in it is not UTF-8.

    """
    try:
        block = _with_whole_times(data) or _with_double_times(data)
        return _with_decimal_times(_EXACT.decode(data)) if block is None else block
    except (msgspec.ValidationError, OverflowError):
        return decode_plain(_PLAIN.decode(data))


def _with_whole_times(data: bytes) -> Block | None:
    """The block, where times are whole µs too large for ``double_will_do`` (files until 2024); None where not."""
    if not times.starts_whole_and_large(data):
        return None
    try:
        events = _WHOLE.decode(data)
    except msgspec.ValidationError:
        return None
    complete, memory = _of_type(events, WholeComplete), _memory(events, WholeInstant)
    dur = _doubles(complete, "dur")
    if not times.double_will_do(dur, b"dur", data):
        return None
    ts, at = _whole(complete, "ts"), _whole(memory, "ts")
    block = Block(complete, times.from_whole(ts), times.from_doubles(dur), memory, times.from_whole(at))
    return _with_the_rest(block, events)


def _with_double_times(data: bytes) -> Block | None:
    """The block; None where doubles cannot give the right ns."""
    events = _FAST.decode(data)
    complete, memory = _of_type(events, Complete), _memory(events, Instant)
    ts, dur, at = _doubles(complete, "ts"), _doubles(complete, "dur"), _doubles(memory, "ts")
    fine = times.double_will_do(ts, b"ts", data) and times.double_will_do(dur, b"dur", data)
    if not (fine and times.double_will_do(at, b"ts", data)):
        return None
    block = Block(complete, times.from_doubles(ts), times.from_doubles(dur), memory, times.from_doubles(at))
    return _with_the_rest(block, events)


def _with_decimal_times(events: list[Any]) -> Block:
    complete, memory = _of_type(events, ExactComplete), _memory(events, ExactInstant)
    block = Block(complete, _decimals(complete, "ts"), _decimals(complete, "dur"), memory, _decimals(memory, "ts"))
    return _with_the_rest(block, events)


def _of_type(events: list[Any], kind: type[msgspec.Struct]) -> list[Any]:
    return [event for event in events if type(event) is kind]


def _memory(events: list[Any], kind: type[Instant | WholeInstant | ExactInstant]) -> list[Any]:
    if kind not in set(map(type, events)):
        return []
    return [event for event in events if type(event) is kind and event.name == MEMORY_EVENT]


def _doubles(events: list[Any], key: str) -> Floats:
    return np.fromiter(map(attrgetter(key), events), np.float64, len(events))


def _whole(events: list[Any], key: str) -> Ints:
    return np.fromiter(map(attrgetter(key), events), np.int64, len(events))


def _decimals(events: list[Any], key: str) -> Ints:
    return times.from_decimals(map(attrgetter(key), events), len(events))


def _with_the_rest(block: Block, events: list[Any]) -> Block:
    block.total = len(events)
    kinds = set(map(type, events))
    if Meta in kinds:
        block.names = [event for event in events if type(event) is Meta and event.name == "thread_name"]
    if not kinds.isdisjoint(_PAIRED):
        block.paired = sum(type(event) in _PAIRED for event in events)
    return block


def decode_event(text: bytes) -> None:
    """Decode one event alone, to see whether it can be.

    Raises:
        msgspec.DecodeError: the text is not JSON.
        UnicodeDecodeError: a string in it is not UTF-8.

    """
    try:
        _EVENT.decode(text)
    except (msgspec.ValidationError, OverflowError):
        _PLAIN.decode(text)


# -- odd blocks -----------------------------------------------------------------------------------------------------


def decode_plain(events: list[Any]) -> Block:
    """The block of events given as plain objects (floats as Decimal), counting those that cannot be events."""
    found = _Plain()
    for event in events:
        found.add(event)
    block = _with_decimal_times([*found.complete, *found.memory, *found.names])
    block.total, block.malformed, block.paired = len(events), found.malformed, found.paired
    block.odd = found.odd
    return block


class _Plain:
    """Sorts plain objects into typed events."""

    def __init__(self) -> None:
        self.complete: list[ExactComplete] = []
        self.memory: list[ExactInstant] = []
        self.names: list[Meta] = []
        self.malformed = 0
        self.paired = 0
        self.odd: Counter[str] = Counter()

    def add(self, event: Any) -> None:
        """Keep ``event`` if it is one that is read, count it if it is malformed."""
        phase = event.get("ph") if isinstance(event, dict) else None
        if not isinstance(phase, str):
            self.malformed += 1
        elif phase == "X":
            self._add_complete(event)
        elif phase == "i" and event.get("name") == MEMORY_EVENT:
            self._add_memory(event)
        elif phase == "M" and event.get("name") == "thread_name":
            name = MetaArgs(text(_args(event).get("name")))
            self.names.append(Meta("thread_name", thread_id(event.get("pid")), thread_id(event.get("tid")), name))
        elif phase in PAIRED_PHASES:
            self.paired += 1

    def _watch(self, event: dict[str, Any]) -> None:
        """Count what is told, and read, but held by no type."""
        args = _args(event)
        for value in (event.get("ts"), event.get("dur"), *(args.get(key) for key in _READ_ARGS)):
            if isinstance(value, Decimal) and (value.is_nan() or beyond_doubles(value)):
                self.odd["non_finite"] += 1
            elif isinstance(value, int) and not NO_ID < value < 2**64:
                self.odd["big_number"] += 1

    def _add_complete(self, event: dict[str, Any]) -> None:
        self._watch(event)
        name, ts, dur = event.get("name"), time(event.get("ts")), time(event.get("dur"))
        if ts is None or dur is None or not isinstance(name, str):
            self.malformed += 1
            return
        where = (text(event.get("cat")) or "", thread_id(event.get("pid")), thread_id(event.get("tid")))
        self.complete.append(ExactComplete(name, ts, dur, *where, _plain_args(_args(event))))

    def _add_memory(self, event: dict[str, Any]) -> None:
        ts = time(event.get("ts"))
        if ts is None:
            self.malformed += 1
        else:
            self.memory.append(ExactInstant(MEMORY_EVENT, ts, _plain_args(_args(event))))


_READ_ARGS = tuple(field.encode_name for field in msgspec.structs.fields(Args))


def _args(event: dict[str, Any]) -> dict[str, Any]:
    args = event.get("args")
    return args if isinstance(args, dict) else {}


def _plain_args(args: dict[str, Any]) -> Args:
    return Args(
        correlation=or_no_id(args.get("correlation")),
        device=integer(args.get("device")),
        stream=integer(args.get("stream")),
        bytes=integer(args.get("bytes")),
        grid=grid(args.get("grid")),
        blocks_per_sm=double(args.get("blocks per SM")),
        occupancy_percent=double(args.get("est. achieved occupancy %")),
        finished=args.get("finished") is not False,
        total_allocated=integer(args.get("Total Allocated")),
        total_reserved=integer(args.get("Total Reserved")),
        size=integer(args.get("Bytes")),
        address=integer(args.get("Addr")),
        device_type=integer(args.get("Device Type")),
        device_id=integer(args.get("Device Id")),
        sequence=or_no_id(args.get("Sequence number")),
        forward_thread=integer(args.get("Fwd thread id")),
        python_id=or_no_id(args.get("Python id")),
        python_parent=integer(args.get("Python parent id")),
        call_stack=text(args.get("Call stack")),
        wait_on_stream=integer(args.get("wait_on_stream")),
        event_recorded=integer(args.get("wait_on_cuda_event_record_corr_id")),
        sizes=_raw(args.get("Input Dims")),
        values=_raw(args.get("Concrete Inputs")),
        types=_raw(args.get("Input type")),
    )


def _raw(value: Any) -> msgspec.Raw:
    """A list as its text; nothing of what is none."""
    return msgspec.Raw(json.dumps(value, default=str).encode()) if isinstance(value, list) else NO_TEXT
