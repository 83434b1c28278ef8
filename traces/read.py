"""A trace file → ``Trace``: every spelling, unit and missing field of the format ends here.

    blocks.py    inflate, cut into blocks of whole events
    decode.py    block → typed events (times.py: exact integer ns)
    columns.py   typed events → columns in canonical order (origins.py: sequence numbers, frames, stacks)
    envelope.py  the keys beside the events
    defects.py   what is wrong with it

A document that cannot be cut (an unusual layout, damage) is read as a whole, which also finds the place to name.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from stallscope.traces.blocks import BLOCK_BYTES, Blocks, events_and_after, inflated
from stallscope.traces.columns import Columns, ColumnStore
from stallscope.traces.decode import Block, decode_block, decode_plain
from stallscope.traces.defects import call_names, issues_of, unknown_categories
from stallscope.traces.envelope import envelope, vendor_of
from stallscope.traces.errors import BadInput
from stallscope.traces.trace import Trace

ENVELOPE = msgspec.json.Decoder(float_hook=str)
PLAIN = msgspec.json.Decoder(float_hook=Decimal)
SYNTAX = msgspec.json.Decoder(msgspec.Raw)  # checks the text and builds nothing

# Keys by which the JSON files of other tools are known.
OTHER_TOOLS = (
    ({"schema", "nodes"}, "a PyTorch execution trace (ExecutionTraceObserver)"),
    ({"rocprofiler-sdk-tool"}, "a rocprofiler-sdk result"),
    ({"schema", "windows"}, "a Stallscope manifest; give the folder it lies in"),
    ({"device_traces", "segments"}, "a CUDA memory snapshot"),
)
TRACE_HINT = "a Chrome trace as torch.profiler's export_chrome_trace or `stallscope profile` writes it is needed"


class _IrregularError(Exception):
    """The document cannot be read in blocks."""


def read(path: str | Path, *, block_bytes: int = BLOCK_BYTES) -> Trace:
    """Read the trace file ``path`` (.json or gzip, told by its first bytes).

    Memory grows with the number of events, not with the size of the file: it is decoded ``block_bytes`` at a time.

    Raises:
        BadInput: it is no trace, or damaged; the message names the file, the place and what to do.

    """
    path = Path(path)
    with _no_collections():
        try:
            columns, keys = _in_blocks(path, block_bytes)
        except _IrregularError:
            columns, keys = _as_a_whole(path)
    if not len(columns.events):
        raise BadInput(f"{path}: {_nothing(columns)}; record again and check that training ran while it was recorded")
    return _trace(str(path), columns, keys)


def _nothing(columns: Columns) -> str:
    counts = columns.counts
    return (
        f"none of its {counts.total} entries is a complete event"
        if counts.total
        else "holds no events: nothing was recorded"
    )


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the garbage collector off: it would walk a million live events again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# -- in blocks ------------------------------------------------------------------------------------------------------


def _in_blocks(path: Path, block_bytes: int) -> tuple[Columns, dict[str, Any]]:
    blocks = Blocks(inflated(path, block_bytes), block_bytes)
    store = ColumnStore()
    last = None
    for data in blocks:
        try:
            _add(store, decode_block(data), data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # a wrong cut, the end of the array, damage
            last = data[1:-1] + b"," + blocks.rest()
            break
    if blocks.head is None:
        raise _IrregularError
    after = _add_last(store, blocks.rest() if last is None else last)
    return store.finish(), _keys(blocks.head, after)


def _add(store: ColumnStore, block: Block, data: bytes) -> None:
    try:
        store.add(block)
    except OverflowError:  # an id beyond 64 bits: settle the fields one by one
        store.add(decode_plain(PLAIN.decode(data)))


def _add_last(store: ColumnStore, last: bytes) -> bytes:
    """Add the last events; what follows them."""
    for data, after in events_and_after(last):
        try:
            block = decode_block(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        _add(store, block, data)
        return after
    raise _IrregularError


def _keys(head: bytes, after: bytes) -> dict[str, Any]:
    """The top-level keys of a document whose events stood between ``head`` and ``after``."""
    try:
        keys = ENVELOPE.decode(head + b"]" + after)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _IrregularError from error
    if keys == []:
        return {}
    if not isinstance(keys, dict) or keys.get("traceEvents") != []:
        raise _IrregularError  # the array that was found is another one, or not the only one
    return keys


# -- as a whole -----------------------------------------------------------------------------------------------------


def _as_a_whole(path: Path) -> tuple[Columns, dict[str, Any]]:
    data = b"".join(inflated(path))
    document = _decoded(path, data)
    events = document.pop("traceEvents", None) if isinstance(document, dict) else document
    if not isinstance(events, list):
        raise BadInput(f"{path}: {_what_instead(document, events)}; {TRACE_HINT}")
    store = ColumnStore()
    store.add(decode_plain(events))
    # The keys again, so that floats among them stay as they are written.
    keys = ENVELOPE.decode(data) if isinstance(document, dict) else {}
    return store.finish(), keys


def _decoded(path: Path, data: bytes) -> Any:
    try:
        SYNTAX.decode(data)
        return PLAIN.decode(data)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: text that is not UTF-8{_place_of_bad_text(data)}; record the trace again") from error
    except RecursionError as error:
        raise BadInput(f"{path}: nested too deeply to be a trace; {TRACE_HINT}") from error
    except msgspec.DecodeError as error:
        raise BadInput(f"{path}: {_syntax_error(str(error), data)}") from error


def _place_of_bad_text(data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return f" at byte {error.start}"
    return ""


def _syntax_error(message: str, data: bytes) -> str:
    if "truncated" in message:
        return (
            f"truncated JSON: the text ends in the middle, after byte {len(data)}; the recording or the copy was cut "
            "short, so copy or record the trace again"
        )
    if "trailing characters" in message:
        end = int(re.sub(r"\D", "", message)) - 1
        return f"a whole JSON document that goes on at byte {end}: were two files joined? Split them"
    place = re.search(r"\(byte (\d+)\)", message)
    at = f" at byte {place[1]}" if place else ""
    why = message.removeprefix("JSON is malformed: ").removesuffix(f" (byte {place[1]})" if place else "")
    return f"not valid JSON{at} ({why}); {TRACE_HINT}"


def _what_instead(document: Any, events: Any) -> str:
    if not isinstance(document, dict):
        return f"valid JSON, but a single {type(document).__name__} and no trace"
    for keys, tool in OTHER_TOOLS:
        if keys <= document.keys():
            return f"valid JSON, but {tool}"
    if events is not None:
        return f"valid JSON, but its traceEvents is a {type(events).__name__}, not a list of events"
    return "valid JSON, but without a list of traceEvents"


# -- the Trace ------------------------------------------------------------------------------------------------------


def _trace(path: str, columns: Columns, keys: dict[str, Any]) -> Trace:
    said = envelope(keys)
    vendor = vendor_of(call_names(columns), columns.categories, said.devices, device_rows=len(columns.work) > 0)
    return Trace(
        path=path,
        vendor=vendor,
        events=columns.events,
        work=columns.work,
        memory=columns.memory,
        origins=columns.origins,
        strings=columns.strings,
        threads=columns.threads,
        devices=said.devices,
        rank=said.rank,
        world_size=said.world_size,
        base_time_ns=said.base_time_ns,
        event_count=columns.counts.total,
        recorded=said.recorded,
        metadata=said.metadata,
        unknown_categories=unknown_categories(columns.categories),
        issues=issues_of(columns),
    )
