"""A summary and its steps as one HTML page that needs nothing else: no network, no files beside it.

The page may be mailed: its content security policy lets only its own style and script run (by their hashes), and no
request leaves it. Names from a trace are text wherever they stand: escaped in markup, and in the data of the timeline,
which is JSON in which no ``<`` is left.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape as escaped
from importlib import resources
from typing import Any

import msgspec

from stallscope.analysis.contract import Summary
from stallscope.analysis.report import findings_text, ledger_tables
from stallscope.analysis.report.header import answer, extent, extras, header
from stallscope.analysis.report.html_charts import KIND_WORDS, legend, step_bars, step_times
from stallscope.analysis.report.style import safe
from stallscope.analysis.report.table import Table
from stallscope.analysis.report.tables import tables
from stallscope.analysis.timeline import KINDS, Timeline
from stallscope.analysis.units import microseconds

LONGEST = 300  # characters of a name in the timeline


def render(summary: Summary, timelines: Sequence[Timeline]) -> str:
    """The page."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'"
    title = escape(f"Stallscope: {answer(summary)}")
    body = "\n".join(section for section in _sections(summary, timelines) if section)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>\n<body>\n{body}\n"
        f'<script type="application/json" id="data">{_data(timelines)}</script>\n<script>{script}</script>\n'
        "</body></html>\n"
    )


def escape(text: str) -> str:
    """``text`` as HTML shows it, control and invisible characters replaced."""
    return escaped(safe(text), quote=True)


@cache
def _asset(name: str) -> str:
    return resources.files("stallscope.analysis.report").joinpath("web", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _sections(summary: Summary, timelines: Sequence[Timeline]) -> Iterable[str]:
    verdict = summary.verdict
    yield "<main><h1>Stallscope report</h1>"
    yield f'<p class="answer">{escape(answer(summary))}</p><p class="said">{escape(verdict.text)}</p>'
    yield _facts(summary)
    yield _section("One step" if summary.steps.source == "profiler_step" else "The whole trace", step_bars(summary))
    yield '<div class="columns">'
    yield _items("What would help", verdict.advice, "ol")
    yield _items("What is not the cause", verdict.not_the_cause)
    yield "</div>"
    yield _items(findings_text.HEADING, findings_text.sentences(summary))
    yield _items(ledger_tables.WOULD_WAIT, ledger_tables.would_wait(summary))
    yield _items("Findings", [finding.text for finding in summary.findings])
    yield _timeline(timelines)
    yield _section("Time of each step", step_times(summary))
    yield "<h2>Figures</h2>"
    for number, table in enumerate(tables(summary)):
        yield _table(table, is_open=number < 4)  # noqa: PLR2004 - the rest are lists by name
    yield _items("", extras(summary))
    yield _health(summary)
    yield "</main>"


def _facts(summary: Summary) -> str:
    rows = "".join(
        f"<dt>{escape(label)}</dt><dd{_warned(label)}>{escape(value)}</dd>" for label, value in header(summary)
    )
    return f'<dl class="facts">{rows}</dl>'


def _warned(label: str) -> str:
    return ' class="warn"' if label == "Simulated" else ""


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{content}</section>" if content else ""


def _items(heading: str, items: Sequence[str], kind: str = "ul") -> str:
    if not items:
        return ""
    listed = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<section>{f'<h2>{escape(heading)}</h2>' if heading else ''}<{kind}>{listed}</{kind}></section>"


def _table(table: Table, *, is_open: bool) -> str:
    lead = f"<p>{escape(table.lead)}</p>" if table.lead else ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.headers)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return (
        f"<details{' open' if is_open else ''}><summary>{escape(table.title)}</summary><div>{lead}"
        f'<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p class="note">{escape(table.note)}</p>'
        "</div></details>"
    )


def _health(summary: Summary) -> str:
    health = summary.health
    issues = [f"{issue.name}{extent(issue)}: {issue.advice}" for issue in health.issues]
    return _items(f"Trace health: {health.grade}", issues or ["Nothing is missing or doubtful in this trace."])


def _timeline(timelines: Sequence[Timeline]) -> str:
    if not any(timeline.lanes for timeline in timelines):
        return ""
    options = "".join(
        f'<option value="{i}">{escape(f"step {t.number}: {t.label}, {microseconds(t.length_ns / 1000)}")}</option>'
        for i, t in enumerate(timelines)
    )
    used = {kind for timeline in timelines for lane in timeline.lanes for kind in lane.kinds}
    return (
        '<section><h2>One step as a timeline</h2><div id="timeline"><div class="bar">'
        f'<label>Show <select id="step">{options}</select></label>'
        '<button type="button" id="closer">closer</button><button type="button" id="farther">farther</button>'
        '<button type="button" id="all">whole step</button></div>'
        '<canvas id="canvas" tabindex="0" role="img" aria-label="Timeline of one step; the tables below hold its '
        'figures"></canvas><div id="told" aria-live="polite"></div></div>'
        f"{legend([kind for kind in KINDS if kind in used])}</section>"
    )


def _data(timelines: Sequence[Timeline]) -> str:
    """The steps as JSON that holds no ``<``, each distinct name once."""
    names: dict[str, int] = {}
    steps = [_step(timeline, names) for timeline in timelines]
    document = {"kinds": KINDS, "words": KIND_WORDS, "names": list(names), "steps": steps}
    return msgspec.json.encode(document).decode().replace("<", "\\u003c")


def _shown(group: str, name: str) -> str:
    """What is written on a range: an idle cause in words, any other name as it is."""
    return KIND_WORDS[name] if group == "idle" else safe(name)[:LONGEST]


def _step(timeline: Timeline, names: dict[str, int]) -> dict[str, Any]:
    return {
        "label": timeline.label,
        "number": timeline.number,
        "length": timeline.length_ns,
        "out": timeline.left_out,
        "lanes": [
            {
                "name": safe(lane.name),
                "g": lane.group,
                "t": lane.starts.tolist(),
                "d": lane.durations.tolist(),
                "n": [names.setdefault(_shown(lane.group, name), len(names)) for name in lane.names],
                "k": [KINDS.index(kind) for kind in lane.kinds],
                "l": lane.levels,
            }
            for lane in timeline.lanes
        ],
    }
