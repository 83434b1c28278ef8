"""The tolerant path: a block of events that does not decode → the JSON text of the events that can be made out.

Whole events are told apart by the same pattern at which blocks are cut, and decoded one by one; only those that fail
are taken apart by the lenient parser (``lenient.py``). Where that goes wrong too, by quotes inside strings, the scanner
finds its way again where the next event opens as this one did. An event that stays unreadable becomes ``null``, which
is counted as malformed.
"""

from __future__ import annotations

import bisect
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from stallscope.traces.damaged.lenient import SEPARATORS, SKIP, MoreError, WrongError, parse, past
from stallscope.traces.text import decimals
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import DEFAULT

OPENING = rb'\{\s*+"(?:ph|name|cat|pid|tid|ts|dur|id|args|s|bp)"\s*+:'
# Neither this nor any part of it that holds a quote can stand inside a string, where quotes are escaped.
BETWEEN_EVENTS = re.compile(rb"\}[\s,]*+(?=" + OPENING + rb")")
LAST_EVENT = re.compile(rb"\}\s*+\](?=\s*+(?:[,}]|\Z))")
MOST_ENDINGS = 8  # arrays of objects inside an event end as the events do, but are rare
SCALAR = re.compile(rb"(?:-?(?:0|[1-9]\d{0,17}+)|true|false|null)(?=[ \t\n\r,\]])")  # no event, and not worth parsing
FIRST_KEY = re.compile(rb'\{\s*+"(\w+)"')

_CHECK = msgspec.json.Decoder(float_hook=decimals.decimal)
_ENCODE = msgspec.json.Encoder(decimal_format="number")
DAMAGED = (msgspec.DecodeError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Scanned:
    """What came of a block."""

    text: bytes  # a JSON array of whole events
    used: int  # bytes of the block that are settled; the rest begins an event that ends in the next block
    ended: bool  # the closing bracket of the events was met, just before ``used``


def scan(
    data: bytes,
    damage: Damage,
    *,
    last: bool,
    max_depth: int = DEFAULT.max_depth,
    is_event: Callable[[bytes], object] = _CHECK.decode,
) -> Scanned:
    """The events of ``data``, a part of the events of a document that begins at an event or between two.

    ``last``: nothing follows ``data``, so an event that does not end was cut off. ``is_event`` raises where the text of
    one event cannot be decoded as it stands.

    Raises:
        TooDeepError: an event is nested deeper than ``max_depth``.

    """
    return _Scan(data, damage, last=last, max_depth=max_depth, is_event=is_event).run()


class _Scan:
    def __init__(
        self, data: bytes, damage: Damage, *, last: bool, max_depth: int, is_event: Callable[[bytes], object]
    ) -> None:
        self._data = data
        self._damage = damage
        self._last = last
        self._max_depth = max_depth
        self._is_event = is_event
        self._found: list[bytes] = []
        self._tried = 0  # each end is tried once, or many small entries before a far end would cost their square
        matches = list(BETWEEN_EVENTS.finditer(data))
        self._ends = [match.start() + 1 for match in matches]  # behind an event, before another: ascending
        self._next_keys = [_first_key(data, match.end()) for match in matches]
        self._endings = [match.start() + 1 for match in LAST_EVENT.finditer(data)] if last else []

    def run(self) -> Scanned:
        at, ended = self._separators(0, first=True), False
        while at < len(self._data) and not ended:
            if self._data[at : at + 1] == b"]":
                at, ended = at + 1, True
                continue
            end = self._entry(at)
            if end is None:
                break
            at = self._separators(end)
        if self._last and not ended:
            self._damage.note("truncated_json")
        return Scanned(b"[" + b",".join(self._found) + b"]", at, ended)

    def _separators(self, at: int, *, first: bool = False) -> int:
        """Skip what separates two entries: one comma, none before the first entry and the closing bracket."""
        end = past(SEPARATORS, self._data, at)
        expected = 0 if first or self._data[end : end + 1] == b"]" else 1
        if end < len(self._data) and self._data.count(b",", at, end) != expected:
            self._damage.note("lenient_json")
        return end

    def _entry(self, at: int) -> int | None:
        """Take in the entry at ``at``; the offset behind it, None: it ends in the next block, or was cut off."""
        scalar = SCALAR.match(self._data, at)
        if scalar is not None:
            self._found.append(scalar[0])
            return scalar.end()
        guess = bisect.bisect_right(self._ends, at)
        if guess < len(self._ends) and self._ends[guess] > self._tried:
            self._tried = end = self._ends[guess]
            with contextlib.suppress(*DAMAGED):
                self._is_event(self._data[at:end])
                self._found.append(self._data[at:end])
                return end
        return self._taken_apart(at)

    def _taken_apart(self, at: int) -> int | None:
        found = Damage()
        try:
            parsed = parse(self._data, at, found, max_depth=self._max_depth, fences=self._ends)
        except MoreError:
            return self._last_mended(at)
        except WrongError:
            return self._mended(at)
        text = self._data[at : parsed.end]
        self._keep(_ENCODE.encode(parsed.value) if found.counts else text, found)
        return parsed.end

    def _mended(self, at: int) -> int | None:
        """Take in the event at ``at``, which must end before the next one begins, with quotes inside strings."""
        own = _first_key(self._data, at)
        for place in range(bisect.bisect_right(self._ends, at), len(self._ends)):
            if own in (self._next_keys[place], b""):
                return self._mend(at, self._ends[place]) or self._given_up(self._ends[place])
        if self._last:
            return self._last_mended(at)
        return self._mend(at, len(self._data)) or self._given_up(len(self._data))

    def _last_mended(self, at: int) -> int | None:
        """The same for the last event of the document; None: it was cut off (or goes on in the next block)."""
        first = bisect.bisect_right(self._endings, at)
        ends = self._endings[first : first + MOST_ENDINGS]
        return next((end for end in ends if self._mend(at, end)), None)

    def _mend(self, at: int, end: int) -> int | None:
        """Take in the event that lies in [at, end); None: it cannot be read."""
        chunk = self._data[at:end]
        for blind in (False, True):
            found = Damage()
            with contextlib.suppress(MoreError, WrongError):
                parsed = parse(chunk, 0, found, max_depth=self._max_depth, loose=True, blind=blind)
                if past(SKIP, chunk, parsed.end) == len(chunk):
                    self._keep(_ENCODE.encode(parsed.value), found)
                    return end
        return None

    def _given_up(self, end: int) -> int:
        self._found.append(b"null")
        return end

    def _keep(self, text: bytes, found: Damage) -> None:
        self._found.append(text)
        for name, count in found.counts.items():
            self._damage.note(name, count, found.places.get(name, ""))


def _first_key(data: bytes, at: int) -> bytes:
    """The first key of the object that opens at ``at``; empty where none opens there."""
    found = FIRST_KEY.match(data, at)
    return found[1] if found else b""
