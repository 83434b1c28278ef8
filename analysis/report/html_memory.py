"""Memory over time as a chart of the HTML page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stallscope.analysis.memory import MemoryOverTime
from stallscope.analysis.report.html_charts import swatch
from stallscope.analysis.report.html_page import escape
from stallscope.analysis.units import quantity

WIDE, TALL = 1000, 120  # user units
POINTS = 500  # of a line; of more samples the highest of each stretch is drawn
KINDS = {"reserved": "rest", "allocated": "memcpy"}
WORDS = {"reserved": "taken from the GPU by PyTorch", "allocated": "in tensors"}


def memory_chart(series: Sequence[MemoryOverTime]) -> str:
    """For each device what was reserved and, in front of it, what was allocated, over the recorded steps."""
    drawn = []
    for device in dict.fromkeys(each.device for each in series):
        mine = [each for each in series if each.device == device]
        top = max(int(each.bytes.max()) for each in mine)
        if top > 0:
            drawn.append(_chart(device, mine, top))
    return "".join(drawn)


def _chart(device: int, series: list[MemoryOverTime], top: int) -> str:
    start = min(int(each.ts_ns[0]) for each in series)
    length = max(1, max(int(each.ts_ns[-1]) for each in series) - start)
    areas, keys = "", ""
    for each in series:
        peak = f"GPU {device}, {WORDS[each.what]}: at most {quantity(int(each.bytes.max()))}"
        areas += f'<polygon class="f-{KINDS[each.what]}" points="{_points(each, start, length, top)}"/>'
        keys += f"<li>{swatch(KINDS[each.what])}{escape(peak)}</li>"
    figure = f'<svg viewBox="0 0 {WIDE} {TALL}" role="img" aria-label="Memory of GPU {device} over time">{areas}</svg>'
    return f'{figure}<ul class="legend">{keys}</ul>'


def _points(each: MemoryOverTime, start: int, length: int, top: int) -> str:
    """The outline of the area under the samples, each of which holds until the next."""
    x, y = (each.ts_ns - start) * (WIDE / length), each.bytes * (TALL / top)
    if len(x) > POINTS:
        first = np.unique(np.searchsorted(x, np.linspace(0, WIDE, POINTS, endpoint=False)))
        first = first[first < len(x)]
        x, y = x[first], np.maximum.reduceat(y, first)
    ends = np.append(x[1:], WIDE)
    corners = [f"{x[0]:.1f},{TALL}"]
    for left, right, height in zip(x.tolist(), ends.tolist(), y.tolist(), strict=True):
        corners += [f"{left:.1f},{TALL - height:.1f}", f"{right:.1f},{TALL - height:.1f}"]
    return " ".join([*corners, f"{WIDE},{TALL}"])
