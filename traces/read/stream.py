"""A trace file, block by block: the strict fast path, and the tolerant one for blocks that do not decode.

source.py    bytes of the file → text in pieces
blocks.py    text → blocks of whole events
decode.py    block → typed events; where that fails scan.py makes a block of what can be made out
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from stallscope.traces.damaged.inspect import deeper_than, duplicate_keys
from stallscope.traces.damaged.lenient import TooDeepError, parse_document
from stallscope.traces.damaged.scan import Scanned, scan
from stallscope.traces.model.errors import BadInput
from stallscope.traces.read.columns import Columns, ColumnStore
from stallscope.traces.read.decode import Block, decode_block, decode_event, decode_plain
from stallscope.traces.read.duplicates import Copies
from stallscope.traces.text import decimals
from stallscope.traces.text.blocks import Blocks, events_and_after
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import Limits, MemoryGuard
from stallscope.traces.text.source import inflated

ENVELOPE = msgspec.json.Decoder(float_hook=str)
PLAIN = msgspec.json.Decoder(float_hook=decimals.decimal)
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)
DOCUMENT_LEVELS = 2  # an event lies in the document's object and in the list of events


class IrregularError(Exception):
    """The document cannot be read in blocks."""


class Stream:
    """One reading of the file at ``path``; what is wrong with it is noted in ``damage``, ``copies`` are left out."""

    def __init__(
        self, path: Path, block_bytes: int, damage: Damage, limits: Limits, copies: Copies | None = None
    ) -> None:
        self._path = path
        self._damage = damage
        self._limits = limits
        self._depth = limits.max_depth - DOCUMENT_LEVELS
        self._blocks = Blocks(inflated(path, block_bytes, damage, limits), block_bytes)
        self._store = ColumnStore()
        self._guard = MemoryGuard(str(path), limits)
        self._copies = copies

    def read(self) -> tuple[Columns, dict[str, Any]]:
        """The columns of the events, and the keys beside them.

        Raises:
            IrregularError: the events do not stand where they are looked for.
            TooDeepError: something is nested too deeply.
            BadInput: there is nothing to read, or two documents.
            Refused: it is too large.

        """
        after = None
        for data in self._blocks:
            self._guard.check(self._store.counts.total)
            if not self._strictly(data):
                after = self._tolerantly(data[1:-1])
                if after is not None:
                    break
        if self._blocks.head is None:
            raise IrregularError
        self._guard.check(self._store.counts.total)
        after = self._last(self._blocks.rest()) if after is None else after
        keys = self._keys(self._blocks.head, after)
        return self._store.finish(), keys

    def _strictly(self, data: bytes) -> bool:
        """Store the events of ``data``, a JSON array, if they decode as they stand; whether they do."""
        if deeper_than(self._depth, data):
            raise TooDeepError
        try:
            data = data if self._copies is None else self._copies.removed_from(data)
            block = decode_block(data)
        except UNREADABLE:
            return False
        self._add(block, data)
        self._damage.note_some("duplicate_key", duplicate_keys(data))
        return True

    def _add(self, block: Block, data: bytes) -> None:
        try:
            self._store.add(block)
        except OverflowError:  # an id beyond 64 bits: settle the fields one by one
            block = decode_plain(PLAIN.decode(data))
            self._store.add(block)
        for name, count in block.odd.items():
            self._damage.note(name, count)

    def _tolerantly(self, data: bytes) -> bytes | None:
        """Store what can be made out of a block; what follows the events, None: they did not end in this block."""
        found = self._salvage(data, last=False)
        self._blocks.resume(found.used)
        return self._blocks.rest() if found.ended else None

    def _last(self, data: bytes) -> bytes:
        """Store the last events; what follows them."""
        for events, after in events_and_after(data):
            if self._strictly(events):
                return after
        found = self._salvage(data, last=True)
        return data[found.used :] if found.ended else b""

    def _salvage(self, data: bytes, *, last: bool) -> Scanned:
        """Scan, and store what was found; thoroughly if events that decode alone do not decode together."""
        for is_event in (decode_event, PLAIN.decode):
            damage = Damage()
            found = scan(data, damage, last=last, max_depth=self._depth, is_event=is_event)
            if self._strictly(found.text):
                self._damage.add(damage)
                return found
        raise AssertionError(f"{self._path}: what the scanner wrote does not decode")

    def _keys(self, head: bytes, after: bytes) -> dict[str, Any]:
        """The top-level keys of a document whose events stood between ``head`` and ``after``."""
        text = head + b"]" + after
        try:
            keys = ENVELOPE.decode(text)
            self._damage.note_some("duplicate_key", duplicate_keys(text))
        except UNREADABLE:
            keys = self._lenient_keys(text)
        if keys == []:
            return {}
        if not isinstance(keys, dict) or keys.get("traceEvents", []) != []:
            raise IrregularError  # the array that was found is another one, or not the only one
        return keys

    def _lenient_keys(self, text: bytes) -> Any:
        """The keys of a damaged document, as far as they can be made out."""
        parsed = parse_document(text, self._damage, max_depth=self._limits.max_depth)
        if not parsed.whole:
            if "truncated_json" not in self._damage:
                self._damage.note("truncated_json")
            return parsed.value
        trailing = text[parsed.end :].strip(b" \t\r\n")
        if trailing.startswith((b"{", b"[")):
            place = self._blocks.size - len(text) + text.index(trailing, parsed.end)
            raise BadInput(
                f"{self._path}: a whole JSON document that goes on with another at byte {place}: were two files "
                "joined? Split them"
            )
        if trailing:
            self._damage.note("lenient_json", place=f"text behind the end: {trailing[:40]!r}")
        return parsed.value
