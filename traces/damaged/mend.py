"""A trace that its writer made invalid JSON → the same, valid, for readers that are not lenient (TensorBoard).

Kineto writes the names that a script gives its ranges as they are, so a quote, a backslash or a control character in
one of them spoils the whole file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from stallscope.traces.damaged.raw import UNREADABLE, RawEvents
from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.blocks import Blocks
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.source import inflated

SYNTAX: Final = msgspec.json.Decoder(msgspec.Raw)  # checks the text and builds nothing
SEPARATOR: Final = b",\n"
UNREAD: Final = "malformed_event"


def is_json(path: Path) -> bool:
    """Whether the trace ``path`` is valid JSON in UTF-8. Takes a few MB of memory, however large it is.

    Raises:
        BadInput: there is no such file, or it is empty.

    """
    blocks = Blocks(inflated(path, damage=Damage()))
    try:
        for events in blocks:
            _check(events)
        _check((blocks.head or b"") + blocks.rest())
    except UNREADABLE:
        return False
    return True


def _check(text: bytes) -> None:
    if not text.isascii():
        text.decode()
    SYNTAX.decode(text)


def mended(path: Path, damage: Damage) -> Iterator[bytes]:
    """The text of the trace ``path`` as valid JSON, in pieces; what was wrong with it is counted in ``damage``.

    Whatever can be made out is kept; events that cannot be are left out, and counted as ``malformed_event``.

    Raises (while iterating):
        BadInput: before the first piece: there is no such file, it is empty, or no event can be made out.
        Refused: it is nested too deeply, or larger than can be read.

    """
    source = RawEvents(path, msgspec.Raw, damaged=True)
    separator = b'{"traceEvents":[\n'
    for events in source:
        whole = [text for each in events if (text := bytes(each)) != b"null"]
        damage.note_some(UNREAD, len(events) - len(whole))
        if whole:
            yield separator + SEPARATOR.join(whole)
            separator = SEPARATOR
    if separator != SEPARATOR:
        raise BadInput(f"{path}: no event can be made out")
    yield b"\n]"
    for key, value in source.keys.items():
        yield b",\n" + msgspec.json.encode(key) + b":" + bytes(value)
    yield b"}\n"
    damage.add(source.damage)
