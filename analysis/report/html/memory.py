"""Memory over time as a chart of the HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from stallscope.analysis.report.html.charts import swatch
from stallscope.analysis.report.html.page import escape
from stallscope.analysis.report.html.series import Series
from stallscope.analysis.stages.gpu.memory import MemoryOverTime
from stallscope.analysis.units import quantity
from stallscope.traces.model.trace import Ints

WIDE, TALL = 1000, 120  # user units
POINTS, SHARPER = 500, 3000  # of a line, as SVG and by the script; of more samples the highest of each stretch is drawn
KINDS = {"reserved": "rest", "allocated": "memcpy"}
WORDS = {"reserved": "taken from the GPU by PyTorch", "allocated": "in tensors"}


def memory_series(series: Sequence[MemoryOverTime]) -> Iterator[Series]:
    """For each device what was reserved and, in front of it, what was allocated, over the recorded steps."""
    devices = list(dict.fromkeys(each.device for each in series))
    for device in devices:
        mine = [each for each in series if each.device == device]
        top = max(int(each.bytes.max()) for each in mine)
        if top > 0:
            yield _chart(f"GPU memory{f', GPU {device}' if len(devices) > 1 else ''}", device, mine, top)


def _chart(heading: str, device: int, series: list[MemoryOverTime], top: int) -> Series:
    start = min(int(each.ts_ns[0]) for each in series)
    length = max(1, max(int(each.ts_ns[-1]) for each in series) - start)
    areas, keys = "", ""
    for each in series:
        peak = f"GPU {device}, {WORDS[each.what]}: at most {quantity(int(each.bytes.max()))}"
        x, y = _highest(each, POINTS)
        areas += f'<polygon class="f-{KINDS[each.what]}" points="{_points(x - start, y, length, top)}"/>'
        keys += f"<li>{swatch(KINDS[each.what])}{escape(peak)}</li>"
    label = f"Memory of GPU {device} over time"
    plain = f'<svg viewBox="0 0 {WIDE} {TALL}" role="img" aria-label="{label}">{areas}</svg>'
    return Series(heading, plain, _lines(series, start), f'<ul class="legend">{keys}</ul>')


def _lines(series: list[MemoryOverTime], start: int) -> dict[str, Any]:
    """What the script draws: each line's value at every time at which one of them changes; null before its first."""
    thinned = [_highest(each, SHARPER) for each in series]
    times = np.unique(np.concatenate([x for x, _ in thinned]))
    lines = []
    for each, (x, y) in zip(series, thinned, strict=True):
        last = np.searchsorted(x, times, side="right") - 1
        values = [y[at] if at >= 0 else None for at in last.tolist()] if len(x) else []
        told = [None if value is None else int(value) for value in values]
        lines.append({"name": WORDS[each.what], "kind": KINDS[each.what], "y": told})
    return {"kind": "memory", "x": (times - start).tolist(), "lines": lines}


def _highest(each: MemoryOverTime, points: int) -> tuple[Ints, Ints]:
    """Times and values; of more than ``points`` samples the first time and the highest value of each stretch."""
    x, y = each.ts_ns, each.bytes
    if len(x) <= points:
        return x, y
    edges = np.linspace(int(x[0]), int(x[-1]), points, endpoint=False)
    first = np.unique(np.searchsorted(x, edges))
    return x[first], np.maximum.reduceat(y, first)


def _points(since: Ints, values: Ints, length: int, top: int) -> str:
    """The outline of the area under the samples, each of which holds until the next."""
    x, y = since * (WIDE / length), values * (TALL / top)
    ends = np.append(x[1:], WIDE)
    corners = [f"{x[0]:.1f},{TALL}"]
    for left, right, height in zip(x.tolist(), ends.tolist(), y.tolist(), strict=True):
        corners += [f"{left:.1f},{TALL - height:.1f}", f"{right:.1f},{TALL - height:.1f}"]
    return " ".join([*corners, f"{WIDE},{TALL}"])
