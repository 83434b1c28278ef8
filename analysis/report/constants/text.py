"""The constants for the terminal, each over as many lines as it takes."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.whatif import Constant
from stallscope.analysis.report.constants_words import NOTE, TITLE, sentences
from stallscope.analysis.report.lines import indented
from stallscope.analysis.report.style import Style


def render(constants: Sequence[Constant], style: Style) -> str:
    """A list under its title, ending in a newline."""
    lines = [style.paint(TITLE, "bold"), *indented(NOTE, style)]
    lines += [line for sentence in sentences(constants) for line in indented(sentence, style, "- ")]
    return style.text("\n".join(lines)) + "\n"
