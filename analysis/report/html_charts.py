"""The charts of the HTML page that need no script: SVG drawn here, coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as escaped

from stallscope.analysis.compare_contract import Change, Statistics
from stallscope.analysis.contract import Summary
from stallscope.analysis.report.bars import (
    EXCHANGES,
    LAUNCHES,
    LOADS,
    OPERATORS,
    REST,
    REST_OF_CPU_RUN,
    WAITS,
    cpu_parts,
)
from stallscope.analysis.report.style import safe
from stallscope.analysis.report.table import step_us
from stallscope.analysis.units import microseconds, percent

WIDE, HIGH, LEFT = 1000, 26, 46  # user units of the step's bars
TALL = 110  # of the series
MOST = 400  # steps drawn one by one
FAR = 0.2  # of the median: a step so far off it stands out
KIND_WORDS = {
    "operator": "PyTorch operator",
    "range": "named range",
    "dataloader": "loading data",
    "call": "GPU call",
    "launch": "launch",
    "wait": "CPU waits for the GPU",
    "kernel": "kernel",
    "communication": "communication",
    "memcpy": "copy",
    "memset": "memory fill",
    "sync": "CPU returns from a wait",
    "host_python": "Python between operators",
    "host_operator": "operators on the CPU",
    "stream_dependency": "waits for another stream",
    "unrecorded": "not recorded",
    "unexplained": "unexplained",
}
CAUSES = (
    *("dataloader", "sync", "host_python", "host_operator", "launch", "memcpy"),
    *("stream_dependency", "unrecorded", "unexplained"),
)
IDLE_WORDS = {
    "dataloader": "idle: the CPU loads data",
    "launch": "idle: a launch on its way",
    "memcpy": "idle: a copy being started",
}
CPU_KINDS = {
    LAUNCHES: "launch",
    WAITS: "wait",
    LOADS: "dataloader",
    OPERATORS: "operator",
    EXCHANGES: "communication",
    REST: "rest",
    REST_OF_CPU_RUN: "rest",
}

Part = tuple[str, str, float]  # words, colour, µs


def step_bars(summary: Summary, full_us: float | None = None) -> str:
    """CPU and GPU over one step, each as one bar of its parts, with a key that holds the figures.

    ``full_us`` is the time that the whole width stands for; without it, the step.
    """
    whole = step_us(summary)
    cpu = [(what, CPU_KINDS[what], us) for what, us in cpu_parts(summary)]
    rows = [(name, parts) for name, parts in (("CPU", cpu), ("GPU", _gpu(summary))) if parts]
    if not whole or not rows:
        return ""
    drawn = "".join(_bar(name, parts, whole, full_us or whole, y * (HIGH + 10)) for y, (name, parts) in enumerate(rows))
    keys = "".join(
        f"<li>{swatch(kind)}{_text(f'{name} {what}: {microseconds(us)} ({percent(us / whole)})')}</li>"
        for name, parts in rows
        for what, kind, us in parts
    )
    height = len(rows) * (HIGH + 10)
    label = _text(f"One step of {microseconds(whole)}")
    return _figure(height, label, drawn) + f'<ul class="legend">{keys}</ul>'


def _gpu(summary: Summary) -> list[Part]:
    busy = summary.per_step.gpu_busy_us
    if busy is None:
        return []
    idle = [
        (IDLE_WORDS.get(cause, f"idle: {KIND_WORDS[cause]}"), cause, us)
        for cause in CAUSES
        if (us := getattr(summary.idle_us, cause))
    ]
    return [("working", "working", busy), *sorted(idle, key=lambda part: -part[2])]


def _bar(name: str, parts: list[Part], whole: float, full: float, y: int) -> str:
    room, x, drawn = WIDE - LEFT, float(LEFT), [f'<text x="0" y="{y + HIGH - 8}">{name}</text>']
    for what, kind, us in parts:
        width = room * us / full
        told = _text(f"{name} {what}: {microseconds(us)}, {percent(us / whole)}")
        drawn.append(_column(kind, told, x, y, width, HIGH))
        x += width
    return "".join(drawn)


def legend(kinds: list[str]) -> str:
    """What the colours of the timeline mean."""
    return (
        '<ul class="legend">' + "".join(f"<li>{swatch(kind)}{_text(KIND_WORDS[kind])}</li>" for kind in kinds) + "</ul>"
    )


def swatch(kind: str) -> str:
    """The colour of a key."""
    return f'<svg viewBox="0 0 12 12" aria-hidden="true"><rect class="f-{kind}" width="12" height="12"/></svg>'


def step_times(summary: Summary) -> str:
    """A column for each step of the trace; those far from the median stand out."""
    samples = summary.steps.wall_us.samples
    if not 1 < len(samples) <= MOST:
        return ""
    top, median = max(samples), summary.steps.wall_us.median
    width = WIDE / len(samples)
    columns = []
    for number, us in enumerate(samples, 1):
        height = TALL * us / top if top else 0
        kind = "working" if abs(us - median) <= FAR * median else "wait"
        told = _text(f"step {number}: {microseconds(us)}")
        columns.append(_column(kind, told, (number - 1) * width, TALL - height, max(width - 2, 1), height))
    note = _text(
        f"Steps of the trace in order; median {microseconds(median)}, longest {microseconds(top)}. "
        "Those more than a fifth off the median stand out."
    )
    return _figure(TALL, note, "".join(columns)) + f'<p class="note">{note}</p>'


def interval(statistics: Statistics) -> str:
    """The change of the step time as a point, with its interval, on an axis on which 0 is marked."""
    change, bounds = statistics.step_us.percent, statistics.interval_percent
    if change is None:
        return ""
    low, high = (bounds.low, bounds.high) if bounds else (change, change)
    reach = 1.15 * max(abs(low), abs(high), abs(change), statistics.noise_floor_percent or 0.0, 1.0)
    middle, scale = WIDE / 2, (WIDE / 2 - 20) / reach
    noise = (statistics.noise_floor_percent or 0.0) * scale
    told = _text(
        f"{change:+.1f} %" + (f", 95 % interval {low:+.1f} to {high:+.1f} %" if bounds else ", one run a side")
    )
    drawn = (
        _column("rest", "noise floor", middle - noise, 22, 2 * noise, 16)
        + f'<rect class="f-unexplained" x="{middle - 0.5:.2f}" y="14" width="1" height="32"/>'
        + f'<text x="{middle + 4:.2f}" y="12">no change</text>'
        + _column(
            "working" if high < 0 else "wait" if low > 0 else "call",
            told,
            middle + low * scale,
            28,
            max((high - low) * scale, 3),
            4,
        )
        + f'<circle class="f-operator" cx="{middle + change * scale:.2f}" cy="30" r="6"><title>{told}</title></circle>'
    )
    note = f"{told}; left is faster. Grey: what differs without any change ({_text(statistics.noise_source)})."
    return _figure(50, told, drawn, lettered=True) + f'<p class="note">{note}</p>'


def change_bars(changes: Sequence[tuple[str, Change]]) -> str:
    """For each part of the step a bar from 0: to the left what it lost, to the right what it gained."""
    told = [(label, change.difference) for label, change in changes if change.difference]
    if not told:
        return ""
    reach = max(abs(us) for _, us in told)
    zero, scale = 620.0, 360.0 / reach
    drawn = []
    for number, (label, us) in enumerate(told):
        y, width = 22 * number, abs(us) * scale
        words = _text(f"{label}: {'-' if us < 0 else '+'}{microseconds(abs(us))}")
        drawn.append(f'<text x="0" y="{y + 14}">{words}</text>')
        drawn.append(
            _column("working" if us < 0 else "wait", words, zero - (width if us < 0 else 0), y + 2, max(width, 1), 16)
        )
    drawn.append(f'<rect class="f-unexplained" x="{zero}" y="0" width="1" height="{22 * len(told)}"/>')
    return _figure(22 * len(told), "Change of each part of the step", "".join(drawn), lettered=True)


def forecast_bars(summary: Summary) -> str:
    """For each fix of the ladder the step after it as a point in its interval, beside the step now."""
    base = summary.forecast.step_us if summary.forecast else None
    fixes = [each for each in summary.what_if or [] if each.applies and each.step_us is not None]
    if not base or not fixes:
        return ""
    reach = 1.05 * max(base, *(each.step_us.high for each in fixes if each.step_us))
    left, scale = 330.0, (WIDE - 340.0) / reach
    drawn = []
    for number, each in enumerate(fixes):
        step, y = each.step_us, 24 * number
        if step is None:
            continue
        told = _text(f"{each.title or each.fix}: {microseconds(step.low)} to {microseconds(step.high)}")
        drawn.append(f'<text x="0" y="{y + 16}">{_text(each.title or each.fix)}</text>')
        drawn.append(_column("rest", told, left + step.low * scale, y + 8, max((step.high - step.low) * scale, 2), 8))
        drawn.append(f'<circle class="f-working" cx="{left + step.expected * scale:.2f}" cy="{y + 12}" r="5"/>')
    height = 24 * len(fixes)
    drawn.append(f'<rect class="f-wait" x="{left + base * scale:.2f}" y="0" width="2" height="{height}"/>')
    note = f"From 0 to {microseconds(reach)} a step: the forecast as a point in its interval, the step now as the line."
    return _figure(height, "Forecasts", "".join(drawn), lettered=True) + f'<p class="note">{_text(note)}</p>'


def _figure(height: int, label: str, drawn: str, *, lettered: bool = False) -> str:
    """The drawing; where it is ``lettered`` its letters are larger on a narrow screen."""
    kind = ' class="lettered"' if lettered else ""
    return f'<svg{kind} viewBox="0 0 {WIDE} {height}" role="img" aria-label="{label}">{drawn}</svg>'


def _column(kind: str, told: str, x: float, y: float, width: float, height: float) -> str:
    place = f'x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"'
    return f'<rect class="f-{kind}" {place}><title>{told}</title></rect>'


def _text(text: str) -> str:
    return escaped(safe(text), quote=True)
