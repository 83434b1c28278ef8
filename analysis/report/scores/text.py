"""Forecasts beside what came, for the terminal."""

from __future__ import annotations

from stallscope.analysis.contract.whatif import Scores
from stallscope.analysis.report.lines import table_lines
from stallscope.analysis.report.scores_table import NO_PAIR, scores_table
from stallscope.analysis.report.style import Style


def render(scores: Scores, style: Style) -> str:
    """The table of ``whatif --score``, ending in a newline."""
    table = scores_table(scores)
    return style.text("\n".join(table_lines(table, style)) if table else NO_PAIR) + "\n"
