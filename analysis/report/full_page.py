"""All that a summary has to tell, for the terminal: the answer first, then one step as bars, then tables.

What most people need of it stands on one screen (``brief_page.py``); parts of this page can be asked for by name.

Every name from the trace is made safe and cut to its column; no line is wider than the style allows.
"""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report import findings_text, ledger_tables
from stallscope.analysis.report.header import answer, extent, extras, header, how
from stallscope.analysis.report.ledger_tables import WOULD_WAIT
from stallscope.analysis.report.lines import indented, table_lines
from stallscope.analysis.report.step_bars import bars
from stallscope.analysis.report.style import Colour, Style, pad, wrap
from stallscope.analysis.report.table import of_counted
from stallscope.analysis.report.tables import tables
from stallscope.analysis.report.whatif_table import ladder

LABEL = 12  # columns of a label in front of text
WORDS = (
    ("kernel", "a piece of work that runs on the GPU"),
    ("launch", "the CPU call that starts a kernel; it costs the CPU some µs, however small the kernel"),
    ("stream", "a queue of work for the GPU: its work runs in order, beside that of other streams"),
    ("waiting", "the CPU stands still until the GPU is done: .item(), .cpu(), synchronize, some copies"),
    ("operator", "a PyTorch function such as aten::addmm; one may call others"),
)


def page(summary: Summary, style: Style) -> str:
    """All of one summary, ending in a newline."""
    summary = of_counted(summary)
    parts = sections(summary, style)
    return joined([_title(summary, style), answer_lines(summary, style), bars(summary, style), *parts.values()], style)


def joined(parts: Sequence[Sequence[str]], style: Style) -> str:
    """Parts of a page, a blank line between them, ending in a newline; empty ones leave nothing."""
    return style.text("\n\n".join("\n".join(lines) for lines in parts if lines)) + "\n"


def sections(summary: Summary, style: Style) -> dict[str, list[str]]:
    """What stands below the bars, by the names with which it is asked for, in its order; empty: nothing to tell."""
    listed = {
        "cleared": _list("What is not the cause", summary.verdict.not_the_cause, style),
        "advice": _list(findings_text.HELPS, findings_text.helps(summary), style, numbered=True),
        "forecast": _forecast(summary, style),
        "causes": _list(findings_text.HEADING, findings_text.sentences(summary), style),
        "lines": _list(WOULD_WAIT, ledger_tables.would_wait(summary), style),
        "findings": _list("Findings", [finding.text for finding in summary.findings], style),
        "health": _health(summary, style),
    }
    shown = {name: table_lines(table, style) for name, table in tables(summary).items()}
    return {**listed, **shown, "memory": _list("", extras(summary), style), "words": _words(summary, style)}


def _title(summary: Summary, style: Style) -> list[str]:
    lines = [style.paint("Stallscope summary", "bold"), style.rule()]
    for label, value in header(summary):
        lines += labelled(label, value, style, "warn" if label == "Simulated" else None)
    return lines


def labelled(label: str, value: str, style: Style, colour: Colour | None = None) -> list[str]:
    """A label, and the text beside it, wrapped; under it on a very narrow page."""
    parts = wrap(value, style.width - LABEL)
    first = pad(label, LABEL)
    lines = [first + parts[0] if parts else first, *(" " * LABEL + part for part in parts[1:])]
    return [style.paint(line, colour) for line in lines] if colour else lines


def answer_lines(summary: Summary, style: Style) -> list[str]:
    """The answer in a headline and a few sentences, and how it was found."""
    lines = [style.paint(line, "bold") for line in wrap(answer(summary), style.width)]
    lines += indented(summary.verdict.text, style)
    told = how(summary)
    return lines + ([style.paint(line, "dim") for line in indented(told, style)] if told else [])


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
        lines += labelled(f"  {word}", meaning, style)
    return lines
