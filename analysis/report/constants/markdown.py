"""The constants as a list of Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.whatif import Constant
from stallscope.analysis.report.constants_words import NOTE, TITLE, sentences
from stallscope.analysis.report.markup import bullets, escape
from stallscope.analysis.report.style import PLAIN, Style


def render(constants: Sequence[Constant], _style: Style = PLAIN) -> str:
    """A list under its title, ending in a newline."""
    return "\n".join([*bullets(TITLE, sentences(constants)), "", escape(NOTE)]) + "\n"
