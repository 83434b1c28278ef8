"""The text of a trace → blocks of about 1 MB of whole events.

A block ends where one event closes and the next opens: ``}``, ``,``, ``{`` and a key that an event opens with. A quote
inside a string is escaped, so the pattern cannot match there; a wrong cut (an object nested in an array) makes the
block fail to decode, and the caller then takes the block up again behind the last whole event in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BLOCK_BYTES = 1 << 20
TAIL_BYTES = 1 << 12  # the cut is searched for in the last so many bytes first

EVENTS_KEY = re.compile(rb'"traceEvents"\s*:\s*\[')
CUT = re.compile(rb'\}\s*,\s*(?=\{\s*"(?:ph|name|cat|pid|tid|ts|dur|id|args|s|bp)"\s*:)')
ENDING = re.compile(rb"\}\s*\](?=\s*(?:[,}]|$))")
MOST_ENDINGS = 4  # arrays of objects inside an event's args also end so, but they are rare


class Blocks:
    """Iterates over the events of a document: a JSON array of whole events at a time, all but the last.

    After the iteration ``head`` is the document up to and with the opening bracket of the events, and ``rest`` gives
    the events of the last block together with what follows them. A caller to whom a block makes no sense may have it
    taken up again from any place in it.
    """

    def __init__(self, pieces: Iterator[bytes], block_bytes: int = BLOCK_BYTES) -> None:
        self.head: bytes | None = None  # None: no array of events was found
        self.size = 0  # bytes of text taken in so far
        self._pending: list[bytes] = []
        self._pieces = self._counted(pieces)
        self._block_bytes = block_bytes
        self._buffer = b""  # holds the block last given out, in front of the next
        self._closing = self._opening = 0  # where it ends in there, and where the next begins

    def __iter__(self) -> Iterator[bytes]:
        if self.head is None:
            self._pending = [self._after_head()]
        size, enough = len(self._pending[0]), self._block_bytes
        for piece in self._pieces:
            self._pending.append(piece)
            size += len(piece)
            if size < enough:
                continue
            buffer = b"".join(self._pending)
            cut = _last_cut(buffer)
            if cut is None:
                self._pending, enough = [buffer], 2 * size
                continue
            self._closing, self._opening = cut
            self._buffer, self._pending = buffer, [buffer[self._opening :]]
            yield b"".join((b"[", memoryview(buffer)[: self._closing], b"]"))
            size = sum(map(len, self._pending))
            enough = max(self._block_bytes, 2 * size)

    def resume(self, used: int) -> None:
        """Take up the last block again from its byte ``used`` on (counted without the added brackets).

        If that is its end, the comma behind it belongs to neither block.
        """
        self._pending = [self._buffer[used if used < self._closing else self._opening :]]

    def rest(self) -> bytes:
        """Everything not yet given out, events and what follows them."""
        return b"".join((*self._pending, *self._pieces))

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.size += len(piece)
            yield piece

    def _after_head(self) -> bytes:
        """Read up to the events; what was read beyond their opening bracket."""
        buffer = bytearray()
        for piece in self._pieces:
            searched = max(0, len(buffer) - 256)
            buffer += piece
            split = _events_start(buffer, searched)
            if split is not None:
                self.head = bytes(buffer[:split])
                return bytes(buffer[split:])
        return bytes(buffer)


def _events_start(buffer: bytearray, searched: int) -> int | None:
    """Where the first event begins; None: not in ``buffer``."""
    if buffer[:64].lstrip().startswith(b"["):
        return buffer.index(b"[") + 1
    found = EVENTS_KEY.search(buffer, searched)
    return found.end() if found else None


def _last_cut(buffer: bytes) -> tuple[int, int] | None:
    """Where the last complete event ends and the next begins; None: nowhere in ``buffer``."""
    tail = TAIL_BYTES
    while True:
        start = max(0, len(buffer) - tail)
        cuts = [(found.start() + 1, found.end()) for found in CUT.finditer(buffer, start)]
        if cuts:
            return cuts[-1]
        if start == 0:
            return None
        tail *= 16


def events_and_after(last: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The ways to split the end of a document into (JSON array of its last events, what follows the array).

    The first whose events decode is right. An array closes after an object, or at once when it is empty.
    """
    if last.lstrip().startswith(b"]"):
        yield b"[]", last[last.index(b"]") + 1 :]
    for _, found in zip(range(MOST_ENDINGS), ENDING.finditer(last), strict=False):
        closing = found.start() + 1
        yield b"[" + last[:closing] + b"]", last[found.end() :]
