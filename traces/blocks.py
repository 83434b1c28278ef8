"""A trace file → blocks of about 1 MB of whole events, inflated in a stream.

A block ends where one event closes and the next opens: ``}``, ``,``, ``{`` and a key that an event opens with. A quote
inside a string is escaped, so the pattern cannot match there; a wrong cut (an object nested in an array) makes the
block fail to decode, and the caller then reads the document as a whole.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stallscope.traces.errors import BadInput

BLOCK_BYTES = 1 << 20
READ_BYTES = 1 << 17
TAIL_BYTES = 1 << 12  # the cut is searched for in the last so many bytes first
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

EVENTS_KEY = re.compile(rb'"traceEvents"\s*:\s*\[')
CUT = re.compile(rb'\}\s*,\s*(?=\{\s*"(?:ph|name|cat|pid|tid|ts|dur|id|args|s|bp)"\s*:)')
ENDING = re.compile(rb"\}\s*\](?=\s*(?:[,}]|$))")
MOST_ENDINGS = 64  # arrays of objects inside an event's args also end so, but they are rare

# What a file is that is no JSON, by its first bytes.
FOREIGN = (
    (b"PK\x03\x04", "a zip archive; unpack it and name the trace inside"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it with `zstd -d` first"),
    (b"BZh", "compressed by bzip2; unpack it with `bunzip2` first"),
    (b"\xfd7zXZ", "compressed by xz; unpack it with `unxz` first"),
    (b"SQLite format 3", "an SQLite database, such as Nsight Systems exports; a Chrome trace (JSON) is needed"),
    (b"\x80\x02", "a Python pickle, such as a memory snapshot; a Chrome trace (JSON) is needed"),
    (b"\x80\x03", "a Python pickle, such as a memory snapshot; a Chrome trace (JSON) is needed"),
    (b"\x80\x04", "a Python pickle, such as a memory snapshot; a Chrome trace (JSON) is needed"),
    (b"\x80\x05", "a Python pickle, such as a memory snapshot; a Chrome trace (JSON) is needed"),
    (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
)


def check_file(path: Path) -> None:
    """Refuse what is not a regular, non-empty, readable file, without opening it (a pipe would block).

    Raises:
        BadInput: it is missing, a folder, a pipe or device, or empty.

    """
    try:
        status = path.stat()
    except OSError as error:
        raise BadInput(f"{path}: {_reason(error)}; give the path of a trace file") from error
    if stat.S_ISDIR(status.st_mode):
        raise BadInput(f"{path}: is a folder; give a trace file (*.json or *.json.gz)")
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{path}: is not a regular file; save the trace to a file first")
    if status.st_size == 0:
        raise BadInput(f"{path}: empty file; the recording process probably died or the disk was full, so record again")


def _reason(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()


def inflated(path: Path, piece_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The bytes of ``path`` in pieces of at most about ``piece_bytes``.

    Gunzipped if they begin as gzip does, and without a byte order mark.

    Raises:
        BadInput: it cannot be read, is truncated or damaged, or is another format.

    """
    check_file(path)
    try:
        with path.open("rb", buffering=0) as file:
            zipped = file.read(2) == GZIP_MAGIC
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            pieces = _gunzipped(path, file, piece_bytes) if zipped else _plain(file, piece_bytes)
            yield from _checked_start(path, pieces)
    except OSError as error:
        raise BadInput(f"{path}: {_reason(error)}; check that the file can be read") from error


def _plain(file: BinaryIO, piece_bytes: int) -> Iterator[bytes]:
    while piece := file.read(piece_bytes):
        yield piece


def _gunzipped(path: Path, file: BinaryIO, piece_bytes: int) -> Iterator[bytes]:
    member, inside, read = zlib.decompressobj(31), False, 0
    while data := file.read(READ_BYTES):
        read += len(data)
        while data:
            if not inside:
                data = data.lstrip(b"\0")  # padding between members is allowed
                if not data:
                    break
                member, inside = zlib.decompressobj(31), True
            try:
                piece = member.decompress(data, piece_bytes)
            except zlib.error as error:
                at = read - len(data)
                raise BadInput(
                    f"{path}: damaged gzip data after byte {at} of the file ({error}); copy or record the trace again"
                ) from error
            if piece:
                yield piece
            data = member.unused_data if member.eof else member.unconsumed_tail
            inside = not member.eof
    if inside:
        raise BadInput(
            f"{path}: truncated gzip file: it ends after {read} bytes without its closing mark; the recording or the "
            "copy was cut short, so copy or record the trace again"
        )


def _checked_start(path: Path, pieces: Iterator[bytes]) -> Iterator[bytes]:
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= 16:  # noqa: PLR2004 - the longest magic
            break
    for magic, meaning in FOREIGN:
        if first.startswith(magic):
            raise BadInput(f"{path}: not a trace: it is {meaning}")
    if not first:
        raise BadInput(f"{path}: no data inside; the recording process probably died, so record again")
    yield first.removeprefix(BYTE_ORDER_MARK)
    yield from pieces


class Blocks:
    """Iterates over the events of a document: a JSON array of whole events at a time, all but the last.

    After the iteration ``head`` is the document up to and with the opening bracket of the events, and ``rest`` gives
    the events of the last block together with what follows them. A caller to whom a block makes no sense may stop and
    take it up again as ``block[1:-1] + b"," + rest()``.
    """

    def __init__(self, pieces: Iterator[bytes], block_bytes: int = BLOCK_BYTES) -> None:
        self.head: bytes | None = None  # None: no array of events was found
        self._pending: list[bytes] = []
        self._pieces = pieces
        self._block_bytes = block_bytes

    def __iter__(self) -> Iterator[bytes]:
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
            closing, opening = cut
            self._pending = [buffer[opening:]]
            size, enough = len(buffer) - opening, self._block_bytes
            yield b"[" + buffer[:closing] + b"]"

    def rest(self) -> bytes:
        """Everything not yet given out, events and what follows them."""
        return b"".join((*self._pending, *self._pieces))

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
