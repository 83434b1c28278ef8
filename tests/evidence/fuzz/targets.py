"""What is fuzzed, from which inputs, and what must hold whatever the bytes are."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from stallscope.traces.damaged.lenient import TooDeepError
from stallscope.traces.damaged.scan import scan
from stallscope.traces.model.errors import StallscopeError
from stallscope.traces.read.read import read
from stallscope.traces.read.stream import PLAIN
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import Limits
from tests.builders import TraceBuilder

WORDS = (
    b'{"ph": "X", "cat": "',
    b'}, {"ph": ',
    b'},\n  {\n    "ph": "X", ',
    b'"traceEvents": [',
    b'"args": {',
    b'"ts": ',
    b'"dur": ',
    b'"correlation": ',
    b'"name": "',
    b"]}",
    b"}}",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"1e-400",
    b"N/A",
    b"\\ud800",
    b"\\u0000",
    b"\\x41",
    b'\\"',
    b'"",',
    b"\xff\xfe",
    b"\xf0\x9f\x98\x80",
    b"18446744073709551616",
    b"[[[[[[[[",
    b"\x1f\x8b\x08",
)
LIMITS = Limits(
    max_memory=1 << 34
)  # the fuzzer holds its own corpus in memory; only growth by one input is of interest


def seeds(target: str) -> list[bytes]:
    """Small traces in the layouts of several writers."""
    builder = (
        TraceBuilder(rank=0).step(0, 100).op("aten::mm", 1, 9).launch(2, 3, kernel=("gemm", 8, 50)).memory(4, 1, 2)
    )
    builder.memcpy(60, 20, copy=("Memcpy DtoH (Device -> Pageable)", 62, 3)).op('f("x")', 90, 1, frames=[{"name": "a"}])
    documents = [builder.json(), builder.json(indent=2), json.dumps(builder.events)]
    texts = [document.encode() for document in documents]
    if target == "scan":
        return [text[text.index(b"[", 1) + 1 :] for text in texts[:2]] + [texts[2][1:]]
    return [*texts, gzip.compress(texts[0], mtime=0), texts[0].decode().encode("utf-16")]


def fuzz_scan(data: bytes) -> None:
    """The scanner ends, gives a JSON array, and on valid JSON gives what the standard library reads."""
    last = bool(data[:1] and data[0] % 2)
    try:
        found = scan(data, damage := Damage(), last=last)
    except TooDeepError:
        return
    entries = PLAIN.decode(found.text)
    assert isinstance(entries, list)
    assert 0 <= found.used <= len(data)
    if found.ended:
        _compare(data[: found.used], found.text, damage)


def _compare(events: bytes, text: bytes, damage: Damage) -> None:
    try:
        expected = json.loads(b"[" + events, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse)
        surrogates = json.dumps(expected, default=str, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return
    del surrogates  # a half of a surrogate pair is valid JSON, but no text
    if not damage.counts:
        assert json.loads(text, parse_float=Decimal, parse_int=Decimal) == expected


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def fuzz_read(data: bytes) -> None:
    """Reading ends in a trace or in one of our sentences."""
    block_bytes = 64 if data[-1:] and data[-1] % 2 else 1 << 20
    with open(_SCRATCH, "wb") as file:  # noqa: PTH123 - hot
        file.write(data)
    try:
        trace = read(_SCRATCH, block_bytes=block_bytes, limits=LIMITS)
    except StallscopeError as error:
        if error.exit_code not in (2, 4) or "\n" in str(error):
            raise AssertionError(str(error)) from error
        return
    assert len(trace.events) > 0
    assert (trace.events.dur_ns >= 0).all()


_SCRATCH = Path("/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()) / f"stallscope-fuzz-{os.getpid()}"  # noqa: PTH112, S108
TARGETS: dict[str, Callable[[bytes], None]] = {"scan": fuzz_scan, "read": fuzz_read}
