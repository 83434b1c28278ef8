"""One step as bars: how the CPU spends it, how the GPU does. Each is a total of its own; they are no common clock."""

from __future__ import annotations

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
from stallscope.analysis.report.style import Colour, Style, pad, shorten
from stallscope.analysis.report.table import step_us
from stallscope.analysis.units import microseconds, percent

Bar = tuple[str, str, float, Colour]  # whose, what, µs, colour

WHOSE = 5  # columns for "CPU" and "GPU"
FIGURES = 18  # columns for time and share behind a bar
NARROWEST_BAR = 5

_COLOURS: dict[str, Colour] = {
    OPERATORS: "good",
    LAUNCHES: "warn",
    WAITS: "bad",
    LOADS: "bad",
    EXCHANGES: "bad",
    PROFILER: "dim",
    REST: "dim",
    AHEAD: "dim",
    REST_OF_CPU_RUN: "dim",
}


def bars(summary: Summary, style: Style) -> list[str]:
    """A heading and a line for each part of the CPU's and of the GPU's step; nothing where no step is known."""
    whole = step_us(summary)
    parts = _cpu_bars(summary) + _gpu_bars(summary, whole)
    if not whole or not parts:
        return []
    subject = "The whole trace" if summary.steps.source == "whole_trace" else "One step"
    heading = f"{subject}, {microseconds(whole)}"
    name = min(max(len(what) for _, what, _, _ in parts), max(4, style.width - WHOSE - FIGURES))
    room = style.width - WHOSE - name - FIGURES - 1
    lines = [style.paint(heading, "bold")]
    for whose, what, us, colour in parts:
        bar = " " + _bar(us / whole, room, colour, style) if room >= NARROWEST_BAR else ""
        figures = f"{microseconds(us):>10} {percent(us / whole):>7}"
        lines.append(f"{whose:{WHOSE}}{pad(shorten(what, name), name)}{bar}{figures}")
    return lines


def _bar(share: float, room: int, colour: Colour, style: Style) -> str:
    """A bar of ``room`` columns, rounded to whole blocks: what is less than half a block shows none."""
    full = min(room, max(0, round(share * room)))
    return style.paint("█" * full, colour) + "░" * (room - full)


def _cpu_bars(summary: Summary) -> list[Bar]:
    parts = cpu_parts(summary)
    return [("" if number else "CPU", what, us, _COLOURS[what]) for number, (what, us) in enumerate(parts)]


def _gpu_bars(summary: Summary, whole: float) -> list[Bar]:
    busy = summary.per_step.gpu_busy_us
    if busy is None:
        return []
    lost = summary.idle_us.unrecorded or 0.0
    bars: list[Bar] = [("GPU", "working", busy, "good"), ("", "idle", max(0.0, whole - busy - lost), "bad")]
    return [*bars, ("", "not recorded", lost, "warn")] if lost else bars
