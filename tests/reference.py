"""A brute-force reference for the figures of a trace: naive, obviously right, and sharing no code with the package.

Plain ``json`` with numbers kept as text, decimals into integer nanoseconds, lists and loops. Definitions, the
words of ``docs/reference.md``:

    window        first start .. last end of the host's ProfilerStep ranges; without them, of every operator,
                  runtime, driver and device row; or what the summary's ``steps`` tells, of the device apart
    a count       of the rows that start inside the window, end excluded (without steps: of every row)
    a union       of the rows, cut to the window, overlaps counted once
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

OPERATORS = {"cpu_op", "Operator"}
RUNTIME = {"cuda_runtime", "Runtime", "mtia_runtime", "xpu_runtime"}
DRIVER = {"cuda_driver", "xpu_driver"}
KERNELS = {"kernel", "Kernel"}
COPIES = {"gpu_memcpy", "Memcpy"}
SETS = {"gpu_memset", "Memset"}

LAUNCH = re.compile(r"(cuda|cu)Launch(Cooperative)?Kernel.*|hip\w*Launch(Cooperative)?Kernel.*")
GRAPH = re.compile(r"(cuda|cu|hip)GraphLaunch.*")
SYNC = re.compile(r"(cuda|cu|hip)(Device|Stream|Event|Ctx)Synchronize(_\w+)?")
STEP = re.compile(r"ProfilerStep#\d+")


@dataclass
class Row:
    """A complete event in integer nanoseconds."""

    cat: str
    name: str
    start: int
    end: int
    pid: str
    tid: str
    args: dict[str, Any]


@dataclass
class Reference:
    """The totals over the window, those of the device over its own; times in integer ns."""

    window: tuple[int, int]
    steps: int
    device_window: tuple[int, int]
    kernel_launches: int
    graph_launches: int
    kernels: int
    memcpys: int
    memsets: int
    sync_calls: int
    sync_call: int
    gpu_busy: int
    gpu_idle: int
    kernel: int
    memcpy: int
    memset: int


def nanoseconds(text: str) -> int:
    """A time in µs, as text, to the nearest ns, half to even."""
    return int((Decimal(text) * 1000).to_integral_value(ROUND_HALF_EVEN))


def load(path: Path) -> dict[str, Any]:
    """The document, every number in it as text."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return json.loads(data, parse_float=str, parse_int=str)


def rows_of(document: dict[str, Any]) -> list[Row]:
    """Every complete event; a negative duration counts as 0."""
    rows = []
    for event in document["traceEvents"]:
        if event.get("ph") == "X":
            start = nanoseconds(event["ts"])
            end = start + max(0, nanoseconds(event["dur"]))
            args = event.get("args", {})
            where = (str(event["pid"]), str(event["tid"]))
            rows.append(Row(event.get("cat", ""), event["name"], start, end, *where, args))
    return rows


def union(intervals: list[tuple[int, int]], window: tuple[int, int]) -> int:
    """How much of the window the intervals cover."""
    covered, reached = 0, window[0]
    for start, end in sorted(intervals):
        begin, stop = max(start, reached), min(end, window[1])
        if stop > begin:
            covered += stop - begin
        reached = max(reached, stop)
    return covered


Told = tuple[tuple[int, int], int]  # a window and its steps


def figures_of(document: dict[str, Any], told: Told | None = None, device: tuple[int, int] | None = None) -> Reference:
    """The figures of a trace given as ``load`` gives it; ``told``: a window that no ProfilerStep marks."""
    rows = rows_of(document)
    steps = [row for row in rows if row.cat in {"user_annotation", "Operator"} and STEP.fullmatch(row.name)]
    everything = OPERATORS | RUNTIME | DRIVER | KERNELS | COPIES | SETS
    bounds = steps or [row for row in rows if row.cat in everything]
    found = (min(row.start for row in bounds), max(row.end for row in bounds)), len(steps) or 1
    window, number = told or found
    marked = bool(steps or told or device)
    on_device = KERNELS | COPIES | SETS

    def window_of(categories: set[str]) -> tuple[int, int]:
        return device if device and categories <= on_device else window

    def inside(row: Row, categories: set[str]) -> bool:
        start, end = window_of(categories)
        return not marked or start <= row.start < end

    def count(categories: set[str], name: re.Pattern[str] | None = None) -> int:
        return sum(
            row.cat in categories and inside(row, categories) and (name is None or name.fullmatch(row.name) is not None)
            for row in rows
        )

    def covered(categories: set[str], name: re.Pattern[str] | None = None) -> int:
        chosen = [row for row in rows if row.cat in categories and (name is None or name.fullmatch(row.name))]
        return union([(row.start, row.end) for row in chosen], window_of(categories))

    busy, (start, end) = covered(on_device), window_of(on_device)
    return Reference(
        window=window,
        steps=number,
        device_window=(start, end),
        kernel_launches=count(RUNTIME | DRIVER, LAUNCH),
        graph_launches=count(RUNTIME | DRIVER, GRAPH),
        kernels=count(KERNELS),
        memcpys=count(COPIES),
        memsets=count(SETS),
        sync_calls=count(RUNTIME | DRIVER, SYNC),
        sync_call=covered(RUNTIME | DRIVER, SYNC),
        gpu_busy=busy,
        gpu_idle=end - start - busy,
        kernel=covered(KERNELS),
        memcpy=covered(COPIES),
        memset=covered(SETS),
    )


def nested_launches(document: dict[str, Any]) -> int:
    """Driver launches inside a runtime launch on the same thread: one launch that a naive count takes for two."""
    rows = rows_of(document)
    calls = [row for row in rows if row.cat in RUNTIME and LAUNCH.fullmatch(row.name)]
    by_thread: dict[tuple[str, str], list[Row]] = {}
    for row in calls:
        by_thread.setdefault((row.pid, row.tid), []).append(row)
    return sum(
        any(outer.start <= row.start and row.end <= outer.end for outer in by_thread.get((row.pid, row.tid), []))
        for row in rows
        if row.cat in DRIVER and LAUNCH.fullmatch(row.name)
    )
