"""A trace file as blocks of JSON text, for those who need more of the events than ``Trace`` keeps of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from stallscope.traces.blocks import BLOCK_BYTES, Blocks, events_and_after, inflated
from stallscope.traces.errors import BadInput

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RawEvents:
    """The events of ``path`` as ``kind`` (a type of msgspec), a list of about 1 MB of text at a time, in file order.

    After the iteration ``keys`` holds the top-level keys beside the events, each as it is written.

    Raises (while iterating):
        BadInput: the file is no trace, or damaged.

    """

    def __init__(self, path: str | Path, kind: Any) -> None:
        self.keys: dict[str, msgspec.Raw] = {}
        self.is_list = False  # the document is the list of events itself, as legacy writers make it
        self._path = Path(path)
        self._decoder = msgspec.json.Decoder(list[kind])
        self._kind = kind

    def __iter__(self) -> Iterator[list[Any]]:
        blocks = Blocks(inflated(self._path, BLOCK_BYTES), BLOCK_BYTES)
        last = None
        for data in blocks:
            try:
                events = self._events(data)
            except UNREADABLE:
                last = data[1:-1] + b"," + blocks.rest()
                break
            yield events
        last = blocks.rest() if last is None else last
        for data, after in events_and_after(last) if blocks.head is not None else ():
            try:
                events = self._events(data)
                self._read_keys((blocks.head or b"") + b"]" + after)
            except UNREADABLE:
                continue
            yield events
            return
        raise BadInput(
            f"{self._path}: damaged, or not laid out as a trace; only a whole trace can be used here: "
            "`stallscope summary` says what is wrong with it"
        )

    def _events(self, data: bytes) -> list[Any]:
        """The events; in a block with entries that are none, those that are."""
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError:
            return list(self._one_by_one(msgspec.json.decode(data, type=list[msgspec.Raw])))

    def _one_by_one(self, entries: list[msgspec.Raw]) -> Iterator[Any]:
        for entry in entries:
            try:
                yield msgspec.json.decode(entry, type=self._kind)
            except msgspec.ValidationError:
                continue

    def _read_keys(self, text: bytes) -> None:
        if text.lstrip()[:1] == b"[":
            self.is_list = True
            msgspec.json.decode(text)
        else:
            self.keys = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            self.keys.pop("traceEvents", None)
