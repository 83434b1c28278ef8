"""The undamaged trace that the faults are put into, in the text that Kineto's C++ writer makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.builders import TraceBuilder

START = 2_500_000_000_000.0  # µs after the base time, as in a recording a month after a base
STEPS = 4
KERNELS = 6  # launches of one step

Event = dict[str, Any]


def training(steps: int = STEPS, *, start: float = START) -> TraceBuilder:
    """``steps`` steps of 1 ms: data, six operators with a kernel each, a copy to the host that waits."""
    builder = TraceBuilder().thread_name(4242, "thread 4242 (python)")
    for step in range(steps):
        at = start + 1000.0 * step
        builder.step(at, 950.0).dataloader(at + 5, 40.0)
        for i in range(KERNELS):
            begin = at + 60 + 100 * i
            builder.op("aten::linear", begin, 60.0, **{"External id": 100 * step + 2 * i})
            builder.op("aten::addmm", begin + 5, 40.0, **{"External id": 100 * step + 2 * i + 1})
            builder.launch(begin + 10, 8.0, kernel=(f"gemm_{i % 3}", begin + 20, 70.0))
        builder.op("aten::item", at + 700, 80.0, **{"External id": 100 * step + 50})
        builder.memcpy(at + 710, 6.0, copy=("Memcpy DtoH (Device -> Pageable)", at + 720, 4.0), nbytes=4)
        builder.sync(at + 718, 50.0, name="cudaStreamSynchronize")
    return builder


def changed(builder: TraceBuilder, change: Callable[[Event], None], *, cat: str | None = None) -> TraceBuilder:
    """The builder with ``change`` done to each event (of one category)."""
    for event in builder.events:
        if event["ph"] == "X" and cat in (None, event["cat"]):
            change(event)
    return builder


def kineto_text(builder: TraceBuilder) -> str:
    """The trace as Kineto's C++ writer lays it out: three decimals, an event on several lines."""
    keys = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in builder.keys.items())
    return "{\n" + keys + ',\n  "traceEvents": [\n' + ",\n".join(map(_event_text, builder.events)) + "\n  ]\n}\n"


def _event_text(event: Event) -> str:
    ids = ", ".join(f'"{key}": {json.dumps(event[key])}' for key in ("ph", "cat", "name", "pid", "tid") if key in event)
    times = ", ".join(f'"{key}": {event[key]:.3f}' for key in ("ts", "dur") if key in event)
    rest = [f'"{key}": {json.dumps(event[key])}' for key in ("id", "s", "bp") if key in event]
    args = ",\n".join(f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in event.get("args", {}).items())
    lines = [ids, *rest, times, '"args": {\n' + args + "\n    }"]
    return "  {\n    " + ",\n    ".join(lines) + "\n  }"
