"""A trace file as blocks of JSON text, for those who need more of the events than ``Trace`` keeps of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from stallscope.traces.damaged.lenient import TooDeepError, parse_document
from stallscope.traces.damaged.scan import scan
from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.blocks import Blocks, events_and_after
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import DEFAULT, Limits, too_deep
from stallscope.traces.text.source import inflated

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
SYNTAX = msgspec.json.Decoder(Any)
ENCODE = msgspec.json.Encoder(decimal_format="number")


class RawEvents:
    """The events of ``path`` as ``kind`` (a type of msgspec), a list of about 1 MB of text at a time, in file order.

    Entries that are no ``kind`` are left out. A damaged file is read as far as it goes if ``damaged`` is allowed.
    After the iteration ``keys`` holds the top-level keys beside the events, each as it is written (in a damaged text
    as far as it can be made out), and ``damage`` what was found wrong.

    Raises (while iterating):
        BadInput: the file is no trace, or damaged.
        Refused: it is larger than ``limits`` allow.

    """

    def __init__(self, path: str | Path, kind: Any, *, damaged: bool = False, limits: Limits = DEFAULT) -> None:
        self.keys: dict[str, msgspec.Raw] = {}
        self.is_list = False  # the document is the list of events itself, as legacy writers make it
        self._path = Path(path)
        self._list = msgspec.json.Decoder(list[kind])
        self._one = msgspec.json.Decoder(kind)
        self._damaged, self._limits = damaged, limits
        self.damage = Damage()

    def __iter__(self) -> Iterator[list[Any]]:
        try:
            for events in self._read():
                yield events
                self._check()
            self._check()
        except TooDeepError as error:
            raise too_deep(str(self._path), self._limits) from error

    def _read(self) -> Iterator[list[Any]]:
        blocks = Blocks(inflated(self._path, damage=self.damage, limits=self._limits))
        after = None
        for data in blocks:
            try:
                yield self._events(data)
            except UNREADABLE:
                found = scan(data[1:-1], self.damage, last=False, is_event=SYNTAX.decode)
                yield self._events(found.text)
                blocks.resume(found.used)
                if found.ended:
                    after = blocks.rest()
                    break
        if blocks.head is None:
            yield from self._whole(blocks.rest())
            return
        if after is None:
            events, after = self._last(blocks.rest())
            yield events
        self._read_keys(blocks.head + b"]" + after)

    def _last(self, data: bytes) -> tuple[list[Any], bytes]:
        for text, after in events_and_after(data):
            try:
                return self._events(text), after
            except UNREADABLE:
                continue
        found = scan(data, self.damage, last=True, is_event=SYNTAX.decode)
        return self._events(found.text), data[found.used :] if found.ended else b""

    def _whole(self, data: bytes) -> Iterator[list[Any]]:
        """The events of a document in which they do not stand where they are looked for."""
        try:
            self.keys = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            yield self._events(self.keys.pop("traceEvents", msgspec.Raw(b"[]")))
        except UNREADABLE:
            self.damage.note("damaged_document")

    def _events(self, data: bytes | msgspec.Raw) -> list[Any]:
        if isinstance(data, bytes) and not data.isascii():
            data.decode()  # which the decoder does not check in what it leaves as it is written
        try:
            found: list[Any] = self._list.decode(data)
        except msgspec.ValidationError:
            entries = msgspec.json.decode(data, type=list[msgspec.Raw])
            return [event for entry in entries for event in self._event(entry)]
        return found

    def _event(self, entry: msgspec.Raw) -> Iterator[Any]:
        try:
            yield self._one.decode(entry)
        except msgspec.ValidationError:
            return

    def _read_keys(self, text: bytes) -> None:
        self.is_list = text.lstrip()[:1] == b"["
        try:
            self.keys = {} if self.is_list else msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            self.keys.pop("traceEvents", None)
        except UNREADABLE:
            self.damage.note("damaged_document")
            value = parse_document(text, self.damage, max_depth=self._limits.max_depth).value
            told = value if isinstance(value, dict) else {}
            self.keys = {key: msgspec.Raw(ENCODE.encode(told[key])) for key in told if key != "traceEvents"}

    def _check(self) -> None:
        if self.damage.counts and not self._damaged:
            raise BadInput(
                f"{self._path}: damaged ({', '.join(sorted(self.damage.counts))}), and only a whole trace can be "
                "used here; `stallscope summary` says more"
            )
