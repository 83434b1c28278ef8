"""Forecasts as text and Markdown: the ladder of a summary, the page of ``whatif``, the table of ``whatif --score``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stallscope.analysis.contract.forecast import ForecastBase, WhatIf
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.contract.whatif import UNMEASURED, ScoredPair, Scores
from stallscope.analysis.fixes.constants import TABLE
from stallscope.analysis.report.header import SIMULATED
from stallscope.analysis.report.markdown import escape
from stallscope.analysis.report.markdown import table_lines as markdown_table
from stallscope.analysis.report.style import Style, pad, wrap
from stallscope.analysis.report.table import Row, Table
from stallscope.analysis.report.text import indented, table_lines
from stallscope.analysis.report.whatif_table import ladder, step_words
from stallscope.analysis.units import microseconds

LABEL = 12


def render(summary: Summary, style: Style) -> str:
    """The page of ``stallscope whatif TRACE``, ending in a newline."""
    sections = [
        list(_title(summary, style)),
        *([table_lines(table, style)] if (table := ladder(summary)) is not None else []),
        list(_explained([each for each in summary.what_if or [] if each.applies], "Why", style)),
        list(_explained([each for each in summary.what_if or [] if not each.applies], "No forecast for", style)),
    ]
    text = "\n\n".join("\n".join(lines) for lines in sections if lines)
    return style.text(text) + "\n"


def _title(summary: Summary, style: Style) -> Iterator[str]:
    yield style.paint("Stallscope forecast", "bold")
    yield style.rule()
    base = summary.forecast
    rows = [("Simulated", SIMULATED)] if summary.trace.simulated else []
    rows += [("Trace", summary.trace.path), ("Bound by", summary.verdict.kind), *_base_rows(base)]
    for label, value in rows:
        for number, part in enumerate(wrap(value, style.width - LABEL)):
            yield pad("" if number else label, LABEL) + part


def _base_rows(base: ForecastBase | None) -> Iterator[tuple[str, str]]:
    if base is None or base.confidence == "refused":
        reasons = "; ".join(base.reasons) if base else "there is no GPU work in this trace"
        yield ("Forecast", f"none: {reasons}.")
        return
    yield ("Step now", f"{microseconds(base.step_us)}, {step_words(base)}")
    if base.confidence == "low":
        yield ("Confidence", f"low: {'; '.join(base.reasons)}.")


def _explained(fixes: Sequence[WhatIf], heading: str, style: Style) -> Iterator[str]:
    """What each forecast rests on, or why there is none."""
    if not fixes:
        return
    yield style.paint(heading, "bold")
    for each in fixes:
        yield from indented(f"{each.fix}: {each.why}", style, "- ")


def constants_table() -> Table:
    """Every constant with its bounds, its source and its mark."""
    rows: list[Row] = [
        (each.name, f"{each.value:g}", f"{each.low:g} to {each.high:g}", f"{each.unit}; {each.source} ({each.mark})")
        for each in TABLE
    ]
    note = f'"{UNMEASURED}": taken from the source named, until this project has measured it itself.'
    return Table("Constants that no trace holds", note, ("constant", "value", "bounds", "unit, source, mark"), rows)


def render_constants(style: Style) -> str:
    """The table of constants, each over as many lines as it takes."""
    table = constants_table()
    lines = [style.paint(table.title, "bold"), *indented(table.note, style)]
    for name, value, bounds, told in table.rows:
        lines += indented(f"{name} = {value} ({bounds}) {told}", style, "- ")
    return style.text("\n".join(lines)) + "\n"


def render_scores(scores: Scores, style: Style) -> str:
    """The table of ``whatif --score``, ending in a newline."""
    rows = [_score_row(pair) for pair in scores.pairs]
    if not rows:
        return style.text("No pair of runs here differs by one change that a forecast is made for.\n")
    headers: Row = ("change", "forecast", "measured", "error", "inside")
    table = Table("Forecasts and what came", _scored(scores), headers, rows)
    return style.text("\n".join(table_lines(table, style))) + "\n"


def _score_row(pair: ScoredPair) -> Row:
    score, name = pair.score, f"{pair.score.fix}: {pair.baseline} → {pair.candidate}"
    measured = microseconds(score.measured_us)
    if score.predicted_us is None:
        return (name, "-", measured, "-", "-")
    error = "-" if score.error_percent is None else f"{score.error_percent:+.1f} %"
    return (name, microseconds(score.predicted_us.expected), measured, error, "yes" if score.inside else "no")


def _scored(scores: Scores) -> str:
    if scores.median_error_percent is None:
        return ""
    return (
        f"Error: median {scores.median_error_percent:.1f} %, 90th percentile {scores.p90_error_percent:.1f} %; "
        f"{100 * (scores.inside_share or 0.0):.0f} % inside their interval (80 % is what it is made for)."
    )


def markdown(summary: Summary) -> str:
    """The page of ``whatif`` as Markdown, ending in a newline."""
    lines = [f"## Stallscope forecast: {escape(summary.trace.path)}", ""]
    lines += [f"- **{label}**: {escape(value)}" for label, value in _base_rows(summary.forecast)]
    table = ladder(summary)
    lines += ["", *markdown_table(table)] if table is not None else []
    for heading, applies in (("Why", True), ("No forecast for", False)):
        found = [f"{each.fix}: {each.why}" for each in summary.what_if or [] if each.applies is applies]
        lines += ["", f"### {heading}", "", *(f"- {escape(told)}" for told in found)] if found else []
    return "\n".join(lines) + "\n"
