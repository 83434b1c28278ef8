"""A defect of a trace is a value: named, counted, graded, with advice. Never repaired in silence.

Severities follow Perfetto's ``stats`` table (info, notice, data_loss, error).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Grade = Literal["ok", "degraded", "refused"]


class Severity(StrEnum):
    """How much a defect matters to the figures."""

    INFO = "info"
    NOTICE = "notice"
    DATA_LOSS = "data_loss"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class TraceIssue:
    """One kind of defect found in one trace.

    ``name`` is stable (tests and users' scripts rely on it), ``count`` is how often it was met and ``advice``
    is one sentence for the user. ``share`` is the part (0 to 1) of the events or of the time that is affected, as
    the advice says; None: it cannot be told.
    """

    name: str
    severity: Severity
    count: int
    advice: str
    share: float | None = None
    withholds_device_figures: bool = False  # too much of the device's work is affected to make figures of the rest


def grade(issues: Iterable[TraceIssue]) -> Grade:
    """``refused`` if any issue is an error, ``degraded`` if any lost data, else ``ok``."""
    worst = {issue.severity for issue in issues}
    if Severity.ERROR in worst:
        return "refused"
    return "degraded" if Severity.DATA_LOSS in worst else "ok"
