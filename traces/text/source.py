"""A file → its text in pieces: opened without ever blocking, inflated in a stream, made UTF-8, bounded.

What is damaged in the container (a gzip file cut short, a wrong checksum, garbage behind it) ends the stream and is
noted; what was inflated until then is given out.
"""

from __future__ import annotations

import codecs
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import DEFAULT, Limits, check_size

PIECE_BYTES = 1 << 20
READ_BYTES = 1 << 17
CAREFUL_BYTES = 256  # of compressed data are fed at a time where the data is damaged
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
START_BYTES = 512  # enough for every magic below, tar's included
TAR_MAGIC_AT = 257
JSON_STARTS = b'{["-0123456789tfn'

# What a file is that is no JSON, by its first bytes.
FOREIGN = (
    (b"PK\x03\x04", "a zip archive; unpack it and name the trace inside"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it with `zstd -d` first"),
    (b"BZh", "compressed by bzip2; unpack it with `bunzip2` first"),
    (b"\xfd7zXZ", "compressed by xz; unpack it with `unxz` first"),
    (b"\x1f\x8b", "gzip inside gzip; unpack it once with `gunzip` first"),
    (b"SQLite format 3", "an SQLite database, such as Nsight Systems exports; a Chrome trace (JSON) is needed"),
    (b"\x80\x02", "a Python pickle, such as a memory snapshot; a Chrome trace (JSON) is needed"),
    (b"\x80\x03", "a Python pickle, such as a memory snapshot; a Chrome trace (JSON) is needed"),
    (b"\x80\x04", "a Python pickle, such as a memory snapshot; a Chrome trace (JSON) is needed"),
    (b"\x80\x05", "a Python pickle, such as a memory snapshot; a Chrome trace (JSON) is needed"),
    (b"\x7fELF", "a program; a Chrome trace (JSON) is needed"),
)
# Encodings by their byte order mark, the longer mark first, then by the zeros around the first character.
ENCODINGS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"{\0\0\0", "utf-32-le"),
    (b"[\0\0\0", "utf-32-le"),
    (b"{\0", "utf-16-le"),
    (b"[\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
    (b"\0[", "utf-16-be"),
)


def check_file(path: Path) -> None:
    """Refuse what is not a regular, non-empty file, without opening it (a pipe would block).

    Raises:
        BadInput: it is missing, a folder, a pipe or device, or empty.

    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a zero character in the name
        raise BadInput(f"{path}: {_reason(error)}; give the path of a trace file") from error
    _check_kind(path, status)


def _check_kind(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise BadInput(f"{path}: is a folder; give a trace file (*.json or *.json.gz)")
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{path}: is not a regular file; save the trace to a file first")
    if status.st_size == 0:
        left = "a leftover of a recording whose disk was full" if path.suffix == ".tmp" else "empty file"
        raise BadInput(f"{path}: {left}; the recording process probably died or the disk was full, so record again")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return (getattr(error, "strerror", None) or str(error)).lower()


def inflated(
    path: Path, piece_bytes: int = PIECE_BYTES, damage: Damage | None = None, limits: Limits = DEFAULT
) -> Iterator[bytes]:
    """The text of ``path`` as UTF-8, in pieces of at most about ``piece_bytes``.

    Gunzipped if it begins as gzip does, without a byte order mark. What is wrong with the container is noted in
    ``damage`` and ends the stream.

    Raises:
        BadInput: it cannot be read, or is another format.
        Refused: it is too large.

    """
    check_file(path)
    damage = Damage() if damage is None else damage
    try:
        with open(path, "rb", buffering=0, opener=_open_at_once) as file:
            before = os.fstat(file.fileno())
            _check_kind(path, before)
            yield from _text(path, file, piece_bytes, damage, limits)
            after = os.fstat(file.fileno())
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                damage.note("changed_while_reading")
    except OSError as error:
        raise BadInput(f"{path}: {_reason(error)}; check that the file can be read") from error


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for a writer, should the file have become a pipe since it was looked at."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _text(path: Path, file: Any, piece_bytes: int, damage: Damage, limits: Limits) -> Iterator[bytes]:
    zipped = file.read(2) == GZIP_MAGIC
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    member = _Gzip(file, piece_bytes, damage)
    pieces = member.pieces() if zipped else _plain(file, piece_bytes)
    size = 0
    for piece in _decoded(path, pieces, damage):
        size += len(piece)
        check_size(str(path), size, member.taken if zipped else size, limits)
        yield piece


def _plain(file: BinaryIO, piece_bytes: int) -> Iterator[bytes]:
    while piece := file.read(piece_bytes):
        yield piece


class _Gzip:
    """The members of a gzip file, one after the other; ``taken`` counts the bytes of the file read so far."""

    def __init__(self, file: BinaryIO, piece_bytes: int, damage: Damage) -> None:
        self.taken = 0
        self._file = file
        self._piece_bytes = piece_bytes
        self._damage = damage

    def pieces(self) -> Iterator[bytes]:
        """What inflates; what does not is noted and ends the stream."""
        member, inside, first = zlib.decompressobj(31), False, True
        while data := self._file.read(READ_BYTES):
            self.taken += len(data)
            while data:
                if not inside:
                    data = data.lstrip(b"\0")  # padding between members is allowed
                    if not data:
                        break
                    if not first and not GZIP_MAGIC.startswith(data[:2]):
                        self._damage.note("gzip_trailing", place=f"byte {self.taken - len(data)} of the file")
                        return
                    member, inside, first = zlib.decompressobj(31), True, False
                backup = member.copy()
                try:
                    piece = member.decompress(data, self._piece_bytes)
                except zlib.error as error:
                    self._damage.note("gzip_crc", place=f"byte {self.taken - len(data)} of the file ({error})")
                    yield from _careful(backup, data)
                    return
                if piece:
                    yield piece
                data = member.unused_data if member.eof else member.unconsumed_tail
                inside = not member.eof
        if inside:
            self._damage.note("truncated_gzip", place=f"byte {self.taken} of the file")


def _careful(member: Any, data: bytes) -> Iterator[bytes]:
    """What inflates of ``data`` before the damage in it: first in small parts, then byte by byte."""
    for size in (CAREFUL_BYTES, 1):
        while data:
            backup = member.copy()
            try:
                piece = member.decompress(data[:size])
            except zlib.error:
                member, data = backup, data[:size]
                break
            data = data[size:]
            if piece:
                yield piece


def _decoded(path: Path, pieces: Iterator[bytes], damage: Damage) -> Iterator[bytes]:
    """``pieces`` as UTF-8 without a byte order mark; refused if they begin as another format does."""
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= START_BYTES:
            break
    if not first:
        what = "damaged gzip data: nothing of it inflates" if damage.counts else "no data inside"
        raise BadInput(f"{path}: {what}; the recording process probably died, so record again")
    encoding = next((name for mark, name in ENCODINGS if first.startswith(mark)), None)
    if encoding is None:
        _refuse_foreign(path, first)
        yield first.removeprefix(BYTE_ORDER_MARK)
        yield from pieces
        return
    damage.note("encoding", place=encoding.upper())
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first).encode().removeprefix(BYTE_ORDER_MARK)
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _refuse_foreign(path: Path, first: bytes) -> None:
    for magic, meaning in FOREIGN:
        if first.startswith(magic):
            raise BadInput(f"{path}: not a trace: it is {meaning}")
    if first[TAR_MAGIC_AT:].startswith(b"ustar"):
        raise BadInput(f"{path}: not a trace: it is a tar archive; unpack it and name the trace inside")
    start = first.removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
    if start and start not in JSON_STARTS:
        what = _named_text(path, first)
        raise BadInput(f"{path}: not valid JSON at byte 0 ({what}); a Chrome trace begins with {{ or [")


def _named_text(path: Path, first: bytes) -> str:
    """What a file that does not begin as JSON seems to be."""
    text = first.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<")):
        return "it is HTML or XML, such as the error page of a download"
    if b"\0" in first or first[:1] == b"\n":
        kind = "an xplane.pb (protocol buffer) of another profiler" if path.suffix == ".pb" else "binary data"
        return f"it is {kind}"
    return "it is other text"
