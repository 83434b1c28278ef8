"""What is asked of an analysis beside the figures of its trace: one value, handed on whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stallscope.analysis.fixes.names import STANDARD, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """By default the forecasts of all fixes, however large the trace is."""

    peers: bool = False  # the figures as HTA, torch-tb-profiler and TraceLens define them
    fixes: tuple[Wanted, ...] = STANDARD  # to forecast


PLAIN: Final = Asked()
