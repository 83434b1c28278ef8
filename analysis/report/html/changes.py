"""The charts of a comparison: the change of the step time with its interval, and of each part of the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stallscope.analysis.contract.compare import Change, Interval, Statistics
from stallscope.analysis.report.html.charts import ROW_HIGH, ROW_WIDE, WIDE, column, figure, rows
from stallscope.analysis.report.html.page import escape
from stallscope.analysis.units import microseconds

MARGIN = 20  # user units
SEEN: Final = {  # ``Statistics.noise_source``
    "runs": "seen between runs of one side",
    "windows": "seen between the windows of one run",
    "halves": "seen between the two halves of one run",
}


def interval(statistics: Statistics) -> str:
    """The change of the step time as a point, with its interval, on an axis on which 0 is marked."""
    change, bounds = statistics.step_us.percent, statistics.interval_percent
    if change is None:
        return ""
    low, high = (bounds.low, bounds.high) if bounds else (change, change)
    floor = statistics.noise_floor_percent or 0.0
    reach = 1.15 * max(abs(low), abs(high), abs(change), floor, 1.0)
    middle, scale = WIDE / 2, (WIDE / 2 - MARGIN) / reach
    told = escape(
        f"{change:+.1f} %" + (f", 95 % interval {low:+.1f} to {high:+.1f} %" if bounds else ", one run a side")
    )
    kind = "working" if high < 0 else "wait" if low > 0 else "call"
    drawn = (
        column("rest", "noise floor", middle - floor * scale, 22, 2 * floor * scale, 16)
        + f'<rect class="f-unexplained" x="{middle - 0.5:.2f}" y="14" width="1" height="32"/>'
        + f'<text x="{middle + 4:.2f}" y="12">no change</text>'
        + column(kind, told, middle + low * scale, 28, max((high - low) * scale, 3), 4)
        + f'<circle class="f-operator" cx="{middle + change * scale:.2f}" cy="30" r="6"><title>{told}</title></circle>'
    )
    note = f"{told}; left is faster. {_grey(statistics)}"
    return figure(50, told, drawn, lettered=True) + f'<p class="note">{note}</p>'


def _grey(statistics: Statistics) -> str:
    """What the grey stretch is."""
    floor = statistics.noise_floor_percent
    if floor is None:
        return "How far runs differ without any change is not known: too few steps."
    seen = SEEN.get(statistics.noise_source)
    return f"Grey: what differs without any change, {floor:.1f} %{f' ({seen})' if seen else ''}."


def change_bars(changes: Sequence[tuple[str, Change]]) -> str:
    """For each part of the step a bar from 0, to the left what it lost, with its interval where runs were repeated."""
    told = [(label, change, change.difference) for label, change in changes if change.difference]
    if not told:
        return ""
    reach = max(max(abs(us), *map(abs, _bounds(change))) for _, change, us in told)
    scale = ROW_WIDE / 2 / reach
    drawn = [_bar(label, change, us, scale) for label, change, us in told]
    repeated = any(isinstance(change.interval, Interval) for _, change, _ in told)
    return rows("Change of each part of the step", drawn) + _said(repeated)


def _bounds(change: Change) -> tuple[float, ...]:
    held = change.interval
    return (held.low, held.high) if isinstance(held, Interval) else (0.0,)


def _bar(label: str, change: Change, us: float, scale: float) -> tuple[str, str]:
    zero, held = ROW_WIDE / 2, change.interval
    words, kind, whisker = f"{label}: {_signed(us)}", "working" if us < 0 else "wait", ""
    if isinstance(held, Interval):
        words += f" ({_signed(held.low)} to {_signed(held.high)})"
        kind = "rest" if held.low <= 0 <= held.high else kind
        left, width = zero + held.low * scale, max((held.high - held.low) * scale, 1)
        whisker = f'<rect class="f-ink" x="{left:.2f}" y="10" width="{width:.2f}" height="2"/>'
    width = abs(us) * scale
    bar = column(kind, escape(words), zero - (width if us < 0 else 0), 3, max(width, 1), 16)
    axis = f'<rect class="f-unexplained" x="{zero:.2f}" y="0" width="1" height="{ROW_HIGH}"/>'
    return words, bar + axis + whisker


def _signed(us: float) -> str:
    return f"{'-' if us < 0 else '+'}{microseconds(abs(us))}"


def _said(repeated: bool) -> str:
    if not repeated:
        return '<p class="note">Left: takes less time. No intervals: they need two runs or more on each side.</p>'
    note = "Left: takes less time. The line is the 95 % interval of each change by itself; grey: the interval holds 0."
    return f'<p class="note">{note}</p>'
