"""A document that cannot be read in blocks, as a whole: unusual layouts, and the place to name where it is no trace."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from stallscope.traces.model.errors import BadInput
from stallscope.traces.read.columns import Columns, ColumnStore
from stallscope.traces.read.decode import decode_plain
from stallscope.traces.read.stream import ENVELOPE, PLAIN
from stallscope.traces.text import decimals
from stallscope.traces.text.blocks import EVENTS_KEY
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import Limits, MemoryGuard
from stallscope.traces.text.source import inflated

SYNTAX = msgspec.json.Decoder(msgspec.Raw)  # checks the text and builds nothing

# Keys by which the JSON files of other tools are known.
OTHER_TOOLS = (
    ({"schema", "nodes"}, "a PyTorch execution trace (ExecutionTraceObserver)"),
    ({"rocprofiler-sdk-tool"}, "a rocprofiler-sdk result"),
    ({"schema", "windows"}, "a Stallscope manifest; give the folder it lies in"),
    ({"device_traces", "segments"}, "a CUDA memory snapshot"),
)
TRACE_HINT = "a Chrome trace as torch.profiler's export_chrome_trace or `stallscope profile` writes it is needed"


def read_whole(path: Path, damage: Damage, limits: Limits) -> tuple[Columns, dict[str, Any]]:
    """The columns of the events of a document and the keys beside them; it must be valid JSON.

    Raises:
        BadInput: it is no trace; the message says what it is instead, or where it is damaged.
        RecursionError: it is nested too deeply.
        Refused: it is too large.

    """
    guard, pieces = MemoryGuard(str(path), limits), []
    for piece in inflated(path, damage=damage, limits=limits):
        guard.check(0)
        pieces.append(piece)
    data = b"".join(pieces)
    document = _decoded(path, data)
    if isinstance(document, dict) and len(EVENTS_KEY.findall(data)) > 1:
        document = _merged(data, damage)
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
    except msgspec.DecodeError as error:
        raise BadInput(f"{path}: {_syntax_error(str(error), data)}") from error


def _merged(data: bytes, damage: Damage) -> Any:
    """The document with the events of every key of their name, of which a plain decoder keeps the last alone."""

    def joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = [value for key, value in pairs if key == "traceEvents" and isinstance(value, list)]
        if len(found) < 2:  # noqa: PLR2004 - more than one
            return dict(pairs)
        damage.note("duplicate_key")
        return {**dict(pairs), "traceEvents": [event for events in found for event in events]}

    return json.loads(data, object_pairs_hook=joined, parse_float=decimals.decimal)


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
