"""Rows A: the file around the text."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from stallscope.traces.text.limits import Limits
from tests.faults.case import Case, case, packed, written
from tests.faults.seed import kineto_text, training

TEXT = kineto_text(training()).encode()
GZIP = packed(TEXT)


def _bomb() -> bytes:
    """80 MB of blanks inside a trace, in 80 kB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(b'{"traceEvents": [')]
    parts += [packer.compress(b" " * 2**20) for _ in range(80)]
    return b"".join([*parts, packer.compress(b"]}"), packer.flush()])


def _damaged(data: bytes, place: float) -> bytes:
    """``data`` with 16 bytes at a part of its length turned round."""
    at = int(len(data) * place)
    return data[:at] + bytes(255 - byte for byte in data[at : at + 16]) + data[at + 16 :]


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "trace.json")
    return folder / "trace.json"


def _loop(folder: Path) -> Path:
    (folder / "trace.json").symlink_to(folder / "trace.json")
    return folder / "trace.json"


def _socket(folder: Path) -> Path:
    import socket

    here = os.getcwd()  # noqa: PTH109 - a socket's path may hold 107 bytes
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("trace.json")
    finally:
        os.chdir(here)
    return folder / "trace.json"


def _folder(folder: Path) -> Path:
    (folder / "trace.json").mkdir()
    return folder / "trace.json"


def _named(name: str, data: bytes):
    return lambda folder: written(folder, data, name)


def cases() -> list[Case]:
    """Every case of these rows."""
    return [
        case("A1", "gzip cut at 90 %", "degraded", GZIP[: len(GZIP) * 9 // 10], "truncated_gzip", "truncated_json"),
        case("A1", "gzip cut at half", "degraded", GZIP[: len(GZIP) // 2], "truncated_gzip", "truncated_json"),
        case("A1", "gzip without its trailer", "degraded", GZIP[:-8], "truncated_gzip", unchanged=("*",)),
        case("A1", "gzip of 12 bytes", "bad", GZIP[:12], says="nothing of it inflates"),
        case("A2", "wrong checksum", "degraded", GZIP[:-8] + b"\1" * 4 + GZIP[-4:], "gzip_crc", unchanged=("*",)),
        case("A2", "wrong length", "degraded", GZIP[:-4] + b"\1\2\3\4", "gzip_crc", unchanged=("*",)),
        case("A2", "damaged in the middle", "degraded", _damaged(GZIP, 0.6), "gzip_crc"),
        case("A2", "damaged near the end", "degraded", _damaged(GZIP, 0.95), "gzip_crc"),
        case("A3", "garbage behind", "degraded", GZIP + b"garbage", "gzip_trailing", unchanged=("*",)),
        case("A3", "several members", "ok", packed(TEXT[:999]) + packed(TEXT[999:]), unchanged=("*",)),
        case("A3", "padded with zeros", "ok", GZIP + bytes(512), unchanged=("*",)),
        case("A4", "plain text named gz", "ok", _named("trace.json.gz", TEXT), unchanged=("*",)),
        case("A4", "gzip named json", "ok", GZIP, unchanged=("*",)),
        case("A5", "empty", "bad", b"", says="empty file"),
        case("A5", "empty gzip", "bad", packed(b""), says="no data inside"),
        case("A5", "nothing but blanks", "bad", b" \n" * 99, says="the text ends"),
        case("A6", "leftover tmp, empty", "bad", _named("trace.json.tmp", b""), says="leftover"),
        case("A6", "leftover tmp, cut", "degraded", _named("trace.json.tmp", TEXT[:-999]), "truncated_json"),
        case("A7", "bomb", "refused", _bomb(), says="--max-ratio"),
        case("A7", "larger than allowed", "refused", TEXT, says="--max-size", limits=Limits(max_bytes=5000)),
        case("A7", "small bomb", "ok", packed(TEXT + b" " * 2**22), unchanged=("*",)),
        case("A8", "missing", "bad", lambda folder: folder / "absent.json", says="no such file"),
        case("A8", "folder", "bad", _folder, says="no traces here"),
        case("A8", "pipe", "bad", _pipe, says="not a regular file"),
        case("A8", "device", "bad", lambda _: Path("/dev/zero"), says="not a regular file"),
        case("A8", "socket", "bad", _socket, says="not a regular file"),
        case("A8", "link to itself", "bad", _loop, says="symbolic links"),
        case("A8", "zero character in the name", "bad", lambda folder: folder / "a\0b", says="null"),
        case("A9", "zip", "bad", b"PK\3\4" + bytes(99), says="zip archive"),
        case("A9", "zstd", "bad", b"\x28\xb5\x2f\xfd" + bytes(99), says="zstd"),
        case("A9", "bzip2", "bad", b"BZh9" + bytes(99), says="bzip2"),
        case("A9", "tar", "bad", b"trace.json".ljust(257, b"\0") + b"ustar" + bytes(99), says="tar archive"),
        case("A9", "pickle", "bad", b"\x80\x04\x95" + bytes(99), says="pickle"),
        case("A9", "xplane", "bad", _named("host.xplane.pb", b"\n\x0f\x08\x01" + bytes(99)), says="xplane"),
        case("A9", "sqlite", "bad", b"SQLite format 3\0" + bytes(99), says="SQLite"),
        case("A9", "error page", "bad", b"<!DOCTYPE html><html>404</html>", says="HTML"),
        case("A10", "byte order mark", "ok", b"\xef\xbb\xbf" + TEXT, unchanged=("*",)),
        case("A10", "UTF-16", "degraded", TEXT.decode().encode("utf-16"), "encoding", unchanged=("*",)),
        case("A10", "UTF-16 without mark", "degraded", TEXT.decode().encode("utf-16-le"), "encoding", unchanged=("*",)),
        case("A10", "UTF-32", "degraded", TEXT.decode().encode("utf-32"), "encoding", unchanged=("*",)),
        # A11, a file that changes while it is read, is in test_corpus.py: it needs a hand that changes it.
    ]
