"""The health of a trace for the terminal. Names from the file are made safe, lines fit the style."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from stallscope.analysis.fill.health import CategoryCover, HealthReport, LinkQuality, Part
from stallscope.analysis.report.style import Colour, Style, pad, shorten, wrap
from stallscope.analysis.units import microseconds, percent

LABEL = 14  # columns of a label in front of text
NUMBER = 10
LINK = ("link", "number", "of", "share")
GRADES: dict[str, Colour] = {"ok": "good", "degraded": "warn", "refused": "bad"}
IDS = {
    "proved": "proved: they name the operator that a call lies in",
    "misleading": "misleading in this file: they name other operators; not used",
    "absent": "absent: no call carries the id of an operator",
}


def render(reports: Sequence[HealthReport], style: Style) -> str:
    """The reports, each ending in a newline."""
    return "\n".join(page(each, style) for each in reports)


def page(report: HealthReport, style: Style) -> str:
    """One report, ending in a newline."""
    sections = [
        [style.paint("Stallscope trace health", "bold"), style.rule(), *_file(report, style)],
        _issues(report, style),
        _coverage(report, style),
        _links(report.links, style),
        _attribution(report, style),
        _validator(report, style),
    ]
    return style.text("\n\n".join("\n".join(lines) for lines in sections if lines)) + "\n"


def _file(report: HealthReport, style: Style) -> list[str]:
    file = report.file
    rank = "" if file.rank is None else f"{file.rank} of {file.world_size or '?'}"
    facts = (
        ("Trace", f"{report.path} ({file.events} events)"),
        ("Written by", file.writer),
        ("Spelling of", file.years),
        ("Times", file.times),
        ("Devices", f"{file.vendor}{': ' if file.devices else ''}{', '.join(dict.fromkeys(file.devices))}"),
        ("Rank", rank),
        ("Recorded with", ", ".join(file.recorded)),
        ("It has", ", ".join(file.features)),
    )
    return [line for label, value in facts if value for line in _labelled(label, value, style)]


def _issues(report: HealthReport, style: Style) -> list[str]:
    lines = [style.paint(f"Trace health: {report.grade}", GRADES.get(report.grade, "bold"))]
    for issue in report.issues:
        share = "" if issue.share is None else f", {percent(issue.share)}"
        times = "once" if issue.count == 1 else f"{issue.count} times"
        told = f"{issue.name} [{issue.severity}, {times}{share}]: {issue.advice}"
        parts = wrap(told, style.width - 4)
        lines += [f"  {'- ' if number == 0 else '  '}{part}" for number, part in enumerate(parts)]
    return lines


def _coverage(report: HealthReport, style: Style) -> list[str]:
    cover = report.coverage
    steps = "no steps are marked" if cover.steps is None else f"{cover.steps} step{'s' if cover.steps != 1 else ''}"
    first = min((each.first_us for each in cover.categories if each.first_us is not None), default=0.0)
    heading = f"What it covers: {microseconds(cover.span_us)}, {steps}"
    rows = [("category", "events", "from", "to"), *(_category(each, first) for each in cover.categories)]
    return [*_heading(heading, style), *_columns(rows, style)]


def _category(each: CategoryCover, first: float) -> tuple[str, ...]:
    name = each.name if each.known else f"{each.name} (unknown)"
    times = [None if us is None else us - first for us in (each.first_us, each.last_us)]
    return (name, str(each.count), *(microseconds(us) for us in times))


def _links(links: LinkQuality, style: Style) -> list[str]:
    parts = (
        ("device rows with the call that started them", links.device_rows_with_call),
        ("launches, copies, memsets with device rows", links.working_calls_with_device_rows),
        ("calls that lie in an operator of their thread", links.calls_in_operators),
        ("calls whose external id names an operator", links.ids_naming_operators),
        ("   of these: that lie in this operator", links.ids_enclosing),
        ("forward to backward flows that arrive", links.forward_backward_flows),
    )
    rows = [_part(what, part) for what, part in parts if part.of]
    if not rows:  # a run without a GPU and without a backward pass
        return _heading("How its rows hang together: nothing in it refers to anything", style)
    ids = f"External ids are {IDS.get(links.external_ids, links.external_ids)}. Operators are found by time."
    told = _indented(ids, style) if links.calls_in_operators.of else []
    return [*_heading("How its rows hang together", style), *_columns([LINK, *rows], style), *told]


def _part(what: str, part: Part) -> tuple[str, ...]:
    return what, str(part.count), str(part.of), percent(part.share)


def _attribution(report: HealthReport, style: Style) -> list[str]:
    """How much of the step has lines and modules from the attribution window; [] where none was joined."""
    found = report.attribution
    if found is None:
        return []
    shares = (
        ("operators and calls", found.events_share),
        ("calls in which the CPU waits", found.waits_share),
        ("kernel launches", found.launches_share),
    )
    rows: list[tuple[str, ...]] = [("with a counterpart there", "share")]
    rows += [(what, percent(share)) for what, share in shares if share is not None]
    steps = f"{found.steps} step{'s' if found.steps != 1 else ''}"
    told = f"Lines and modules come from {PurePath(found.path).name} ({steps}), by position in the step."
    return [*_heading("How far lines and modules are known", style), *_columns(rows, style), *_indented(told, style)]


def _validator(report: HealthReport, style: Style) -> list[str]:
    found = report.validator
    heading = "Torch's own trace validator: " + ("no rule is broken" if found.passed else "rules are broken")
    if found.passed and report.file.vendor == "cpu":  # nearly all of them are about GPUs
        return [*_heading(heading, style), *_indented(f"({found.source})", style)]
    rows: list[tuple[str, ...]] = [("rule", "broken")]
    rows += [(rule.meaning, str(rule.violations)) for rule in found.rules]
    return [*_heading(heading, style), *_columns(rows, style), *_indented(f"({found.source})", style)]


def _heading(text: str, style: Style) -> list[str]:
    return [style.paint(line, "bold") for line in wrap(text, style.width)]


def _labelled(label: str, value: str, style: Style) -> list[str]:
    parts = wrap(value, style.width - LABEL)
    return [pad(label if number == 0 else "", LABEL) + part for number, part in enumerate(parts)]


def _indented(text: str, style: Style) -> list[str]:
    return ["  " + part for part in wrap(text, style.width - 2)]


def _columns(rows: list[tuple[str, ...]], style: Style) -> list[str]:
    """A name on the left, figures on the right, as many as leave room for the name."""
    figures = min(len(rows[0]) - 1, max(1, (style.width - 26) // NUMBER))
    room = max(4, style.width - 2 - figures * NUMBER)
    width = min(room, max(len(row[0]) for row in rows))
    return [
        "  "
        + pad(shorten(row[0], width), width)
        + "".join(pad(shorten(cell, NUMBER - 1), NUMBER, right=True) for cell in row[1 : figures + 1])
        for row in rows
    ]
