"""Forecasts beside what came, as Markdown."""

from __future__ import annotations

from stallscope.analysis.contract.whatif import Scores
from stallscope.analysis.report.markup import table_lines
from stallscope.analysis.report.scores_table import NO_PAIR, scores_table
from stallscope.analysis.report.style import PLAIN, Style


def render(scores: Scores, _style: Style = PLAIN) -> str:
    """The table, or that there is no pair; ending in a newline."""
    table = scores_table(scores)
    return "\n".join(table_lines(table) if table else [NO_PAIR]) + "\n"
