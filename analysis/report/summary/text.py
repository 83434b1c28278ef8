"""A summary for the terminal: the answer first, then one step as bars, then tables. Written for a beginner.

Every name from the trace is made safe and cut to its column; no line is wider than the style allows.
"""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report import findings_text, ledger_tables, peers_text
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
from stallscope.analysis.report.header import answer, extent, extras, header, how
from stallscope.analysis.report.ledger_tables import WOULD_WAIT
from stallscope.analysis.report.lines import indented, table_lines
from stallscope.analysis.report.style import Colour, Style, pad, shorten, wrap
from stallscope.analysis.report.table import of_counted, step_us
from stallscope.analysis.report.tables import tables
from stallscope.analysis.report.whatif_table import ladder
from stallscope.analysis.units import microseconds, percent

LABEL = 12  # columns of a label in front of text
WORDS = (
    ("kernel", "a piece of work that runs on the GPU"),
    ("launch", "the CPU call that starts a kernel; it costs the CPU some µs, however small the kernel"),
    ("stream", "a queue of work for the GPU: its work runs in order, beside that of other streams"),
    ("waiting", "the CPU stands still until the GPU is done: .item(), .cpu(), synchronize, some copies"),
    ("operator", "a PyTorch function such as aten::addmm; one may call others"),
)

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

Bar = tuple[str, str, float, Colour]  # whose, what, µs, colour


def render(summaries: Sequence[Summary], style: Style) -> str:
    """The reports, each ending in a newline, with the peers' view behind where it was asked for."""
    pages = [page(each, style) for each in summaries]
    peers = [peers_text.render(each, style) for each in summaries]
    return "\n".join(f"{page}\n{beside}" if beside else page for page, beside in zip(pages, peers, strict=True))


def page(summary: Summary, style: Style) -> str:
    """The report of one summary, ending in a newline."""
    summary = of_counted(summary)
    sections = [
        _title(summary, style),
        _answer(summary, style),
        _bars(summary, style),
        _list("What is not the cause", summary.verdict.not_the_cause, style),
        _list(findings_text.HELPS, findings_text.helps(summary), style, numbered=True),
        _forecast(summary, style),
        _list(findings_text.HEADING, findings_text.sentences(summary), style),
        _list(WOULD_WAIT, ledger_tables.would_wait(summary), style),
        _list("Findings", [finding.text for finding in summary.findings], style),
        _health(summary, style),
        *(table_lines(table, style) for table in tables(summary)),
        _list("", extras(summary), style),
        _words(summary, style),
    ]
    text = "\n\n".join("\n".join(lines) for lines in sections if lines)
    return style.text(text) + "\n"


def _title(summary: Summary, style: Style) -> list[str]:
    lines = [style.paint("Stallscope summary", "bold"), style.rule()]
    for label, value in header(summary):
        lines += _labelled(label, value, style, "warn" if label == "Simulated" else None)
    return lines


def _labelled(label: str, value: str, style: Style, colour: Colour | None = None) -> list[str]:
    """A label, and the text beside it, wrapped; under it on a very narrow page."""
    parts = wrap(value, style.width - LABEL)
    first = pad(label, LABEL)
    lines = [first + parts[0] if parts else first, *(" " * LABEL + part for part in parts[1:])]
    return [style.paint(line, colour) for line in lines] if colour else lines


def _answer(summary: Summary, style: Style) -> list[str]:
    verdict = summary.verdict
    heading = f"Answer: {answer(summary)}"
    lines = [style.paint(line, "bold") for line in wrap(heading, style.width)]
    lines += indented(verdict.text, style)
    told = how(summary)
    lines += [style.paint(line, "dim") for line in indented(told, style)] if told else []
    return lines


def _bars(summary: Summary, style: Style) -> list[str]:
    whole = step_us(summary)
    bars = _cpu_bars(summary) + _gpu_bars(summary, whole)
    if not whole or not bars:
        return []
    subject = "The whole trace" if summary.steps.source == "whole_trace" else "One step"
    heading = f"{subject}, {microseconds(whole)}"
    name = min(max(len(what) for _, what, _, _ in bars), max(4, style.width - WHOSE - FIGURES))
    room = style.width - WHOSE - name - FIGURES - 1
    lines = [style.paint(heading, "bold")]
    for whose, what, us, colour in bars:
        bar = " " + _bar(us / whole, room, colour, style) if room >= NARROWEST_BAR else ""
        figures = f"{microseconds(us):>10} {percent(us / whole):>7}"
        lines.append(f"{whose:{WHOSE}}{pad(shorten(what, name), name)}{bar}{figures}")
    return lines


def _bar(share: float, room: int, colour: Colour, style: Style) -> str:
    """A bar of ``room`` columns; anything above nothing shows at least one block."""
    full = min(room, max(round(share * room), 1 if share > 0 else 0))
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


def _forecast(summary: Summary, style: Style) -> list[str]:
    table = ladder(summary, every=False)
    return [] if table is None else table_lines(table, style)


def _health(summary: Summary, style: Style) -> list[str]:
    health = summary.health
    colours: dict[str, Colour] = {"ok": "good", "degraded": "warn", "refused": "bad"}
    told = {
        "ok": "ok",
        "degraded": "degraded; some of it was lost or mended, and figures made of that are withheld or approximate",
        "refused": "refused; too damaged for figures",
    }
    heading = wrap(f"Trace health: {told.get(health.grade, health.grade)}", style.width)
    lines = [style.paint(line, colours.get(health.grade, "bold")) for line in heading]
    for issue in health.issues:
        lines += indented(f"{issue.name}{extent(issue)}: {issue.advice}", style, "- ")
    return lines


def _list(heading: str, items: list[str], style: Style, *, numbered: bool = False) -> list[str]:
    if not items:
        return []
    lines = [style.paint(heading, "bold")] if heading else []
    for number, item in enumerate(items, start=1):
        lines += indented(item, style, f"{number}. " if numbered else "- ")
    return lines


def _words(summary: Summary, style: Style) -> list[str]:
    words: tuple[tuple[str, str], ...] = WORDS if summary.trace.vendor != "cpu" else WORDS[-1:]
    words = words if summary.idle_us.stream_dependency else tuple(each for each in words if each[0] != "stream")
    lines = [style.paint("Words", "bold")]
    for word, meaning in words:
        lines += _labelled(f"  {word}", meaning, style)
    return lines
