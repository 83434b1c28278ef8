"""A decision between variants for the terminal: the answer first."""

from __future__ import annotations

from stallscope.analysis.contract.ab import Ab
from stallscope.analysis.report.ab_words import arms, facts, headline, how
from stallscope.analysis.report.lines import indented
from stallscope.analysis.report.style import Colour, Style, wrap

COLOURS: dict[str, Colour] = {"faster": "good", "slower": "bad", "cannot tell": "warn", "withheld": "warn"}


def render(found: Ab, style: Style) -> str:
    """The page, ending in a newline."""
    lines = [
        style.paint("Stallscope ab", "bold"),
        *(line for arm in arms(found) for line in wrap(arm, style.width)),
        "",
    ]
    for one in found.comparisons:
        colour = COLOURS.get(one.answer, "bold")
        lines += [style.paint(line, colour) for line in wrap(headline(found, one), style.width)]
        for fact in facts(one):
            lines += indented(fact, style, "- ")
        lines.append("")
    lines += wrap(how(found), style.width)
    for note in found.notes:
        lines += indented(note, style, "- ")
    return style.text("\n".join(lines)) + "\n"
