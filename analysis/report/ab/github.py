"""A decision between variants as workflow commands of GitHub Actions: one annotation a variant."""

from __future__ import annotations

from stallscope.analysis.contract.ab import Ab
from stallscope.analysis.report.ab_words import headline
from stallscope.analysis.report.style import PLAIN, Style

LEVELS = {"slower": "warning", "withheld": "warning"}


def render(found: Ab, _style: Style = PLAIN) -> str:
    """A line for each variant; line breaks and percent signs as these commands want them."""
    lines = []
    for one in found.comparisons:
        text = headline(found, one).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        lines.append(f"::{LEVELS.get(one.answer, 'notice')} title=stallscope ab::{text}")
    return "\n".join(lines) + "\n"
