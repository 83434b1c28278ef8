"""A summary and its steps as one HTML page that needs nothing else: no network, no files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stallscope.analysis.contract.idle import BY_NAME
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report import findings_text, ledger_tables
from stallscope.analysis.report.definitions import OF_A_RUN, definitions
from stallscope.analysis.report.header import answer, extent, extras, header, headline, how
from stallscope.analysis.report.html.charts import KIND_WORDS, forecast_bars, legend, step_bars
from stallscope.analysis.report.html.launches import launch_histogram
from stallscope.analysis.report.html.memory import memory_series
from stallscope.analysis.report.html.modules import module_tree
from stallscope.analysis.report.html.page import escape, items, page, section, table
from stallscope.analysis.report.html.series import Series, placed, step_series
from stallscope.analysis.report.style import safe
from stallscope.analysis.report.table import of_counted
from stallscope.analysis.report.tables import tables
from stallscope.analysis.report.whatif_table import ladder
from stallscope.analysis.stages.gpu.memory import MemoryOverTime, find_memory_over_time
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.units import microseconds
from stallscope.analysis.views.launch_histogram import LaunchHistogram, find_launch_histogram
from stallscope.analysis.views.step_times import StepTimes, find_step_times
from stallscope.analysis.views.timeline import KINDS, Timeline, find_timelines

LONGEST = 300  # characters of a name in the timeline

APART = "Each row adds up to the step. What stands one above the other need not happen at once: see the timeline."


@dataclass(frozen=True, slots=True)
class Charts:
    """What is drawn of a trace beside its summary and its timelines."""

    memory: tuple[MemoryOverTime, ...] = ()
    launches: LaunchHistogram | None = None
    times: StepTimes | None = None


NO_CHARTS = Charts()


def page_of(summary: Summary, stages: Stages) -> str:
    """The page of a trace that has been explained, with all that is drawn of its stages."""
    times = find_step_times(stages.window, summary.steps.wall_us.median)
    memory = find_memory_over_time(stages.trace, stages.window)
    timelines = find_timelines(stages, times.outliers() if times else ())
    return render(summary, timelines, Charts(memory, find_launch_histogram(stages), times))


def render(summary: Summary, timelines: Sequence[Timeline], charts: Charts = NO_CHARTS) -> str:
    """The page."""
    summary = of_counted(summary)
    series = [*step_series(summary, charts.times), *memory_series(charts.memory)]
    body = "\n".join(each for each in _sections(summary, timelines, charts, series) if each)
    return page(f"Stallscope: {answer(summary)}", body, _data(timelines), [each.data for each in series])


def _sections(
    summary: Summary, timelines: Sequence[Timeline], charts: Charts, series: Sequence[Series]
) -> Iterable[str]:
    verdict = summary.verdict
    yield "<main><h1>Stallscope report</h1>"
    said = verdict.text.removeprefix(f"{headline(summary)}: ")
    yield f'<p class="answer">{escape(answer(summary))}</p><p class="said">{escape(said[:1].upper() + said[1:])}</p>'
    found = how(summary)
    yield f'<p class="note">{escape(found)}</p>' if found else ""
    yield _facts(summary)
    bars = step_bars(summary)
    note = f'<p class="note">{APART}</p>' if bars and summary.per_step.gpu_busy_us is not None else ""
    yield section("The whole trace" if summary.steps.source == "whole_trace" else "One step", bars + note)
    yield '<div class="columns">'
    yield items(findings_text.HELPS, findings_text.helps(summary), "ol")
    yield items("What is not the cause", verdict.not_the_cause)
    yield "</div>"
    forecast = ladder(summary, every=True)
    yield section(forecast.title, forecast_bars(summary) + table(forecast, is_open=True)) if forecast else ""
    yield items(findings_text.HEADING, findings_text.sentences(summary))
    yield items(ledger_tables.WOULD_WAIT, ledger_tables.would_wait(summary))
    yield items("Findings", [finding.text for finding in summary.findings])
    yield _timeline(timelines)
    yield from (placed(number, each) for number, each in enumerate(series))
    yield section("Kernel time against launch cost", launch_histogram(charts.launches))
    yield section("Modules", module_tree(summary))
    yield "<h2>Figures</h2>"
    for number, each in enumerate(tables(summary).values()):
        yield table(each, is_open=number < 4)  # noqa: PLR2004 - the rest are lists by name
    yield items("", extras(summary))
    yield _health(summary)
    yield definitions(OF_A_RUN)
    yield "</main>"


def _facts(summary: Summary) -> str:
    rows = "".join(
        f"<dt>{escape(label)}</dt><dd{_warned(label)}>{escape(value)}</dd>" for label, value in header(summary)
    )
    return f'<dl class="facts">{rows}</dl>'


def _warned(label: str) -> str:
    return ' class="warn"' if label == "Simulated" else ""


def _health(summary: Summary) -> str:
    health = summary.health
    issues = [f"{issue.name}{extent(issue)}: {issue.advice}" for issue in health.issues]
    return items(f"Trace health: {health.grade}", issues or ["Nothing is missing or doubtful in this trace."])


def _timeline(timelines: Sequence[Timeline]) -> str:
    if not any(timeline.lanes for timeline in timelines):
        return ""
    options = "".join(_option(at, timeline) for at, timeline in enumerate(timelines))
    used = {kind for timeline in timelines for lane in timeline.lanes for kind in lane.kinds}
    return (
        '<section><h2>One step as a timeline</h2><div id="timeline"><div class="bar">'
        f'<label>Show <select id="step">{options}</select></label>'
        '<button type="button" id="closer">closer</button><button type="button" id="farther">farther</button>'
        '<button type="button" id="all">whole step</button></div>'
        '<canvas id="canvas" tabindex="0" role="application" aria-describedby="told" aria-label="Timeline of one '
        'step; the tables below hold its figures"></canvas><div id="told" aria-live="polite"></div></div>'
        f"{legend([kind for kind in KINDS if kind in used])}</section>"
    )


def _option(at: int, timeline: Timeline) -> str:
    said = f"step {timeline.number}: {timeline.label}, {microseconds(timeline.length_ns / 1000)}"
    return f'<option value="{at}" data-number="{timeline.number}">{escape(said)}</option>'


def _data(timelines: Sequence[Timeline]) -> dict[str, Any]:
    """What the script draws: the steps, each distinct name once."""
    names: dict[str, int] = {}
    steps = [_step(timeline, names) for timeline in timelines]
    return {"kinds": KINDS, "words": KIND_WORDS, "names": list(names), "steps": steps}


def _shown(group: str, name: str) -> str:
    """What is written on a range: an idle cause in words, any other name as it is."""
    return BY_NAME[name].short if group == "idle" else safe(name)[:LONGEST]


def _place(said: str) -> str:
    return safe(said)[:LONGEST]


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
                "t": np.diff(lane.starts, prepend=0).tolist(),  # each from the one before: shorter
                "d": lane.durations.tolist(),
                "n": [names.setdefault(_shown(lane.group, name), len(names)) for name in lane.names],
                "k": [KINDS.index(kind) for kind in lane.kinds],
                "l": lane.levels,
                "w": [names.setdefault(_place(each), len(names)) if each else -1 for each in lane.places],
            }
            for lane in timeline.lanes
        ],
    }
