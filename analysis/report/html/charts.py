"""The charts of the HTML page that need no script: SVG drawn here, coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.forecast import StepRange, WhatIf
from stallscope.analysis.contract.idle import IDLE_CAUSES
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.bars import (
    AHEAD,
    EXCHANGES,
    LAUNCHES,
    LOADS,
    OPERATORS,
    PROFILER,
    REST,
    REST_OF_CPU_RUN,
    WAITS,
    cpu_parts,
)
from stallscope.analysis.report.html.page import escape
from stallscope.analysis.report.table import step_us
from stallscope.analysis.units import microseconds, percent

WIDE, HIGH, LEFT = 1000, 26, 46  # user units of the step's bars
ROW_WIDE, ROW_HIGH = 620, 22  # of a row with words beside it
KIND_WORDS = {cause.name: cause.short for cause in IDLE_CAUSES} | {
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
}
CPU_KINDS = {
    LAUNCHES: "launch",
    WAITS: "wait",
    LOADS: "dataloader",
    OPERATORS: "operator",
    EXCHANGES: "communication",
    PROFILER: "rest",
    REST: "rest",
    AHEAD: "ahead",
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
        f"<li>{swatch(kind)}{escape(f'{name} {what}: {microseconds(us)} ({percent(us / whole)})')}</li>"
        for name, parts in rows
        for what, kind, us in parts
    )
    height = len(rows) * (HIGH + 10)
    label = escape(f"One step of {microseconds(whole)}")
    return figure(height, label, drawn, lettered=True) + f'<ul class="legend">{keys}</ul>'


def _gpu(summary: Summary) -> list[Part]:
    busy = summary.per_step.gpu_busy_us
    if busy is None:
        return []
    idle = [(cause.label, cause.name, us) for cause in IDLE_CAUSES if (us := getattr(summary.idle_us, cause.name))]
    return [("working", "working", busy), *sorted(idle, key=lambda part: -part[2])]


def _bar(name: str, parts: list[Part], whole: float, full: float, y: int) -> str:
    room, x, drawn = WIDE - LEFT, float(LEFT), [f'<text x="0" y="{y + HIGH - 8}">{name}</text>']
    for what, kind, us in parts:
        width = room * us / full
        told = escape(f"{name} {what}: {microseconds(us)}, {percent(us / whole)}")
        drawn.append(column(kind, told, x, y, width, HIGH))
        x += width
    return "".join(drawn)


def legend(kinds: list[str]) -> str:
    """What the colours of the timeline mean."""
    return (
        '<ul class="legend">'
        + "".join(f"<li>{swatch(kind)}{escape(KIND_WORDS[kind])}</li>" for kind in kinds)
        + "</ul>"
    )


def swatch(kind: str) -> str:
    """The colour of a key."""
    return f'<svg viewBox="0 0 12 12" aria-hidden="true"><rect class="f-{kind}" width="12" height="12"/></svg>'


def forecast_bars(summary: Summary) -> str:
    """For each fix of the ladder the step after it as a point in its interval, beside the step now."""
    base = summary.forecast.step_us if summary.forecast else None
    fixes = [each for each in summary.what_if or [] if each.applies and each.step_us is not None]
    if not base or not fixes:
        return ""
    reach = 1.05 * max(base, *(each.step_us.high for each in fixes if each.step_us))
    scale = ROW_WIDE / reach
    line = f'<rect class="f-wait" x="{base * scale:.2f}" y="0" width="2" height="{ROW_HIGH}"/>'
    drawn = [(each.title or each.fix, _forecast(each, each.step_us, scale) + line) for each in fixes if each.step_us]
    note = f"From 0 to {microseconds(reach)} a step: the forecast as a point in its interval, the step now as the line."
    return rows("Forecasts", drawn) + f'<p class="note">{escape(note)}</p>'


def _forecast(each: WhatIf, step: StepRange, scale: float) -> str:
    told = escape(f"{each.title or each.fix}: {microseconds(step.low)} to {microseconds(step.high)}")
    span = column("rest", told, step.low * scale, 7, max((step.high - step.low) * scale, 2), 8)
    return f'{span}<circle class="f-working" cx="{step.expected * scale:.2f}" cy="11" r="5"/>'


def rows(label: str, drawn: Sequence[tuple[str, str]]) -> str:
    """Words and what is drawn beside them, row by row, all on one axis; on a narrow screen the words stand above."""
    listed = "".join(
        f'<li><span>{escape(words)}</span><svg viewBox="0 0 {ROW_WIDE} {ROW_HIGH}" aria-hidden="true">{row}</svg></li>'
        for words, row in drawn
    )
    return f'<ul class="rows" aria-label="{escape(label)}">{listed}</ul>'


def figure(height: int, label: str, drawn: str, *, lettered: bool = False) -> str:
    """The drawing; where it is ``lettered`` its letters are larger on a narrow screen."""
    kind = ' class="lettered"' if lettered else ""
    return f'<svg{kind} viewBox="0 0 {WIDE} {height}" role="img" aria-label="{label}">{drawn}</svg>'


def column(kind: str, told: str, x: float, y: float, width: float, height: float) -> str:
    """A filled rectangle that says ``told`` (HTML) where a pointer rests on it."""
    place = f'x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"'
    return f'<rect class="f-{kind}" {place}><title>{told}</title></rect>'
