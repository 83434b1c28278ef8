"""Types of the contract about a whole run: how far its attribution holds, what happens only now and then.

See ``contract.py``.
"""

from __future__ import annotations

import msgspec


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """The attribution trace whose lines and modules were carried over to the timing trace, by position in the step.

    Shares are parts of the timing trace's window that have a counterpart there, 0 to 1; None of nothing.
    """

    path: str
    steps: int  # that it holds
    events_share: float | None  # of the operators and runtime calls
    waits_share: float | None  # of the calls in which the host waited
    launches_share: float | None  # of the kernel and graph launches


class PeriodicWork(msgspec.Struct, frozen=True, kw_only=True):
    """Steps at a regular distance that take longer, found among the unprofiled steps; host time."""

    period: int  # steps from one to the next
    first: int  # the first of them, counted from 0 in the longest unprofiled window
    occurrences: int
    extra_us: float  # one of them takes longer than the steps around it, median
    share: float  # of the time of all steps, spent on this
    evaluation: bool  # these steps held forward passes without gradients
