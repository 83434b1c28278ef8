"""The constants that no trace holds, in words."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.whatif import UNMEASURED, Constant

TITLE = "Constants that no trace holds"
NOTE = f'"{UNMEASURED}": taken from the source named, until this project has measured it itself.'


def sentences(constants: Sequence[Constant]) -> list[str]:
    """Each constant with its bounds, its unit, its source and its mark."""
    return [
        f"{each.name} = {each.value:g} ({each.low:g} to {each.high:g}) {each.unit}; {each.source} ({each.mark})"
        for each in constants
    ]
