"""What the health of a trace needs and no figure does: external ids, wait records, flows, keys, the layout of the text.

A second reading of the file, made only when it is asked for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from stallscope.traces.damaged.raw import RawEvents
from stallscope.traces.text import times
from stallscope.traces.text.limits import DEFAULT, Limits
from stallscope.traces.text.values import integer

COLLECTIVE = "record_param_comms"
PYTHON = "python_function"
BACKWARD = "autograd::engine::evaluate_function:"


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


@dataclass(frozen=True, slots=True)
class Row:
    """One complete event with the arguments that links and rules are about."""

    category: str
    name: str
    thread: tuple[str, str]
    start: int  # ns
    end: int  # ns
    external: int | None
    correlation: int | None
    args: Args


@dataclass(slots=True)
class Details:
    """One file."""

    rows: list[Row] = field(default_factory=list)  # operators, calls, device rows, waits: in file order
    phases: Counter[str] = field(default_factory=Counter)
    spelled: Counter[str] = field(default_factory=Counter)  # categories of complete events as the file spells them
    threads: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)  # one tuple for all rows of a thread
    flows: Counter[tuple[str, str]] = field(default_factory=Counter)  # (category, phase)
    fractions: bool = False  # some start is given in fractions of a µs
    keys: frozenset[str] = frozenset()  # beside the events
    is_list: bool = False
    first: str = ""  # the text of the first complete event
    has_record_function: bool = False
    has_external_2021: bool = False


def read_details(path: str | Path, *, limits: Limits = DEFAULT) -> Details:
    """Read the file once more; of a damaged one as far as it goes.

    Raises:
        BadInput: it is no trace.
        Refused: it is larger than ``limits`` allow.

    """
    found = Details()
    source = RawEvents(path, msgspec.Raw, damaged=True, limits=limits)
    event_of = msgspec.json.Decoder(Event)
    for entries in source:
        for entry in entries:
            try:
                event = event_of.decode(entry)
            except msgspec.ValidationError:
                continue
            _add(found, event, entry)
    found.keys, found.is_list = frozenset(source.keys), source.is_list
    return found


def _add(found: Details, event: Event, entry: msgspec.Raw) -> None:
    phase, category = _text(event.ph), _text(event.cat)
    found.phases[phase] += 1
    if phase in ("s", "f", "t"):
        found.flows[category, phase] += 1
    if phase != "X":
        return
    if not found.first:
        found.first = bytes(entry).decode("utf-8", "replace")[:500]
    found.spelled[category] += 1
    found.fractions = found.fractions or b"." in bytes(event.ts)
    args = event.args or Args()
    found.has_record_function = found.has_record_function or args.record_function is not UNSET
    found.has_external_2021 = found.has_external_2021 or args.external_2021 is not None
    if category == PYTHON:  # the most of a trace with stacks, and no link or rule is about them
        return
    start, length = _ns(event.ts), _ns(event.dur)
    if start is None:
        return
    external = args.external if args.external is not None else args.external_2021
    thread = (str(event.pid), str(event.tid))
    thread = found.threads.setdefault(thread, thread)
    row = Row(
        category,
        _text(event.name),
        thread,
        start,
        start + max(0, length or 0),
        integer(external),
        integer(args.correlation),
        args,
    )
    found.rows.append(row)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _ns(text: msgspec.Raw) -> int | None:
    try:
        told = Decimal(bytes(text).decode("ascii").strip('"'))
    except (InvalidOperation, UnicodeDecodeError):
        return None
    return times.from_decimal(told) if times.fits(told) else None
