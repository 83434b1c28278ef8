"""A trace file with events of ours added: the original's text stays as it is, byte for byte.

The new events go in front of the others, right behind the bracket that opens them, so that nothing of the original
has to be understood but where its events begin; a damaged file stays as damaged as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.blocks import EVENTS_KEY
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import DEFAULT, Limits
from stallscope.traces.text.source import inflated

SEARCHED: Final = 1 << 24  # bytes in which the events must begin
_FIRST: Final = re.compile(rb"\S")


def with_events(path: str | Path, events: Iterable[bytes], limits: Limits = DEFAULT) -> Iterator[bytes]:
    """The text of the trace ``path`` in pieces, with ``events`` (each a JSON object) as the first of its events.

    Raises (while iterating):
        BadInput: ``path`` is no trace, or does not say where its events begin.
        Refused: it is larger than ``limits`` allow.

    """
    pieces = inflated(Path(path), damage=Damage(), limits=limits)
    head, after = _split(pieces, str(path))
    yield head
    separator = b"\n"
    for event in events:
        yield separator + event
        separator = b",\n"
    first = _FIRST.search(after)
    if separator.startswith(b",") and (first is None or first[0] != b"]"):
        yield b",\n"
    yield after
    yield from pieces


def _split(pieces: Iterator[bytes], path: str) -> tuple[bytes, bytes]:
    """(the text up to and with the bracket that opens the events, the text read behind it, with what follows)."""
    buffer = b""
    for piece in pieces:
        buffer += piece
        opens = _opening(buffer)
        if opens is not None and _FIRST.search(buffer, opens):
            return buffer[:opens], buffer[opens:]
        if len(buffer) > SEARCHED:
            break
    raise BadInput(f"{path}: holds no list of events (`traceEvents`) to which any could be added")


def _opening(buffer: bytes) -> int | None:
    if buffer[:64].lstrip().startswith(b"["):
        return buffer.index(b"[") + 1
    found = EVENTS_KEY.search(buffer)
    return None if found is None else found.end()
