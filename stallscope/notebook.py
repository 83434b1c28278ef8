"""Summaries, comparisons and forecasts as a notebook shows them: the text of the terminal, its columns kept."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from stallscope.analysis.contract.compare import Comparison
from stallscope.analysis.contract.shown import show_as
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.contract.whatif import Forecasts
from stallscope.analysis.units import microseconds

COLUMNS = 100
# Said on the element itself: JupyterLab, VS Code and Colab give <pre> the font of their text.
STYLE = "font-family: ui-monospace, Menlo, Consolas, monospace; line-height: 1.2; white-space: pre; overflow-x: auto"


def block(text: str) -> str:
    """A text in columns, as HTML; whatever stands in it is shown as it is."""
    return f'<pre style="{STYLE}">{html.escape(text)}</pre>'


def _page(view: str) -> Callable[[Any], str]:
    """What draws a value as the terminal does: loaded when a notebook asks for it."""

    def page(value: Any) -> str:
        from stallscope.analysis.report.formats import renderer  # noqa: PLC0415
        from stallscope.analysis.report.style import Style  # noqa: PLC0415

        shown = [value] if view == "summary" else value
        return block(str(renderer(view, "text")(shown, Style(width=COLUMNS))))

    return page


def _forecasts(value: Forecasts) -> str:
    rows = [each for each in value.what_if or [] if each.applies and each.step_us is not None]
    lines = [f"{value.trace}: {value.verdict}"]
    lines += [
        f"  {each.title or each.fix}: {microseconds(each.step_us.expected)} a step" for each in rows if each.step_us
    ]
    return block("\n".join(lines))


def _of_summary(value: Summary) -> str:
    steps = value.steps
    return (
        f"<Summary of {value.trace.path}: {value.verdict.kind}, {steps.count} steps of {microseconds(steps.time_us)}>"
    )


show_as(Summary, _of_summary, _page("summary"))
show_as(Comparison, lambda each: f"<Comparison: {each.verdict.kind}>", _page("compare"))
show_as(Forecasts, lambda each: f"<Forecasts for {each.trace}: {len(each.what_if or [])} fixes>", _forecasts)
