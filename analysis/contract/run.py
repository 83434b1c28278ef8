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


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the script that was being run, and for what part of the run's time."""

    line: str  # "train.py:47"
    function: str
    share: float  # 0 to 1


class RunPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a run, by names such as "training", "evaluation", "loading data", "writing", "start-up"."""

    name: str
    seconds: float
    share: float  # of the run, 0 to 1
    lines: list[RunLine]


class WholeRun(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of the process went, from its first statement to its end, told by looks at its main thread."""

    seconds: float
    looks: int
    parts: list[RunPart]  # longest first; they add up to the run
    python: list[RunLine]  # of the training: lines that were run outside torch's own code


class StepPart(msgspec.Struct, frozen=True, kw_only=True):
    """An optimizer, by the name that it has in the script, and how often it steps in one training step."""

    name: str
    count: int
