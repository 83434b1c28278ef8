"""A comparison as one HTML page: the answer, how sure it is, both steps as bars, and every figure before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

from stallscope.analysis.contract.compare import Change, Comparison, KernelChange, OperatorChange, Side
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.compare.text import (
    BREAKDOWN,
    COUNTS,
    TIMES,
    change_words,
    forecast_words,
    moved,
    percent,
    signed,
)
from stallscope.analysis.report.definitions import OF_A_COMPARISON, definitions
from stallscope.analysis.report.html.changes import change_bars, interval
from stallscope.analysis.report.html.charts import step_bars
from stallscope.analysis.report.html.page import escape, items, page, section, table
from stallscope.analysis.report.table import Row, Table, step_us
from stallscope.analysis.units import count, microseconds

HEADERS: Row = ("", "before", "after", "change", "%")
TOP = 15  # operators and kernels


def render(comparison: Comparison, before: Summary, after: Summary) -> str:
    """The page; ``before`` and ``after`` are the first run of each side."""
    body = "\n".join(part for part in _sections(comparison, before, after) if part)
    return page(f"Stallscope: {comparison.baseline.name} against {comparison.candidate.name}", body)


def _sections(comparison: Comparison, before: Summary, after: Summary) -> Iterator[str]:
    yield "<main><h1>Stallscope comparison</h1>"
    yield f'<p class="answer">{escape(_answer(comparison))}</p>'
    yield f'<p class="said">{escape(comparison.verdict.text)}</p>'
    yield _facts(comparison)
    yield section("Change of the step time", interval(comparison.statistics))
    sides = ((comparison.baseline.name, before), (comparison.candidate.name, after))
    longer = max(step_us(before), step_us(after))
    bars = "".join(f"<h3>{escape(name)}</h3>{step_bars(summary, longer)}" for name, summary in sides)
    yield section("One step, before and after", bars)
    yield section("What changed in it", change_bars(_changes(comparison, BREAKDOWN)))
    yield items("Forecast and measured", [forecast_words(score) for score in comparison.forecasts])
    yield items("Keep in mind", [note.text for note in comparison.notes])
    yield "<h2>Figures</h2>"
    for title, rows, show in (
        ("Time per step", TIMES, microseconds),
        ("Counted per step (exact)", COUNTS, count),
        ("One step, instant by instant", BREAKDOWN, microseconds),
    ):
        yield _figures(title, _changes(comparison, rows), show)
    yield _named("Operators: largest changes of CPU self time", comparison.operators)
    yield _named("Kernels: largest changes", comparison.kernels or [])
    yield definitions(OF_A_COMPARISON)
    yield "</main>"


def _answer(comparison: Comparison) -> str:
    """The verdict with its figure: ``28.2 % less time a step; repeat to be sure``."""
    kind, change = comparison.verdict.kind, comparison.statistics.step_us.percent
    if change is None or kind not in ("faster", "slower", "differs"):
        return f"{kind} (whether a step takes less or more time)" if kind == "cannot tell" else kind
    words = f"{abs(change):.1f} % {'less' if change < 0 else 'more'} time a step"
    return f"{words}; repeat to be sure" if kind == "differs" else words


def _facts(comparison: Comparison) -> str:
    changed = comparison.changed
    words = "; ".join(change_words(each) for each in changed) if changed else "nothing: the same command line"
    rows = [("before", _side(comparison.baseline)), ("after", _side(comparison.candidate))]
    rows += [("changed", words)] if changed is not None else []
    listed = "".join(f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in rows)
    return f'<dl class="facts">{listed}</dl>'


def _side(side: Side) -> str:
    runs = f"{len(side.runs)} run{'s' if len(side.runs) > 1 else ''}"
    device = ", ".join(side.devices) if side.device == "gpu" and side.devices else side.device.upper()
    return f"{side.name} ({runs} on {device})"


def _changes(comparison: Comparison, rows: Sequence[tuple[str, str]]) -> list[tuple[str, Change]]:
    """The rows that are not 0 or unknown on both sides."""
    told = [(label, attrgetter(path)(comparison)) for label, path in rows]
    return [
        (label.replace("under it", "under the profiler"), change)  # each row speaks for itself
        for label, change in told
        if change.baseline or change.candidate
    ]


def _figures(title: str, rows: Sequence[tuple[str, Change]], show: Callable[[float | None], str]) -> str:
    return (
        table(Table(title, "", HEADERS, [_row(label, each, show) for label, each in rows]), is_open=True)
        if rows
        else ""
    )


def _row(label: str, change: Change, show: Callable[[float | None], str]) -> Row:
    return (
        label,
        show(change.baseline),
        show(change.candidate),
        signed(change.difference, show),
        percent(change.percent),
    )


def _named(title: str, rows: Sequence[OperatorChange | KernelChange]) -> str:
    found = []
    for each in [row for row in rows if moved(row)][:TOP]:
        change = each.us_per_step if isinstance(each, KernelChange) else each.host_self_us_per_step
        found.append(_row(each.name + ("" if each.status == "both" else f" ({each.status})"), change, microseconds))
    return table(Table(title, "", HEADERS, found), is_open=False) if found else ""
