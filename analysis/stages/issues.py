"""Everything that is wrong with a trace: what reading it found, and what the stages found beside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stallscope.analysis.stages.absent import absent_issue
from stallscope.analysis.stages.doubts import find_doubts
from stallscope.analysis.stages.overhead import overhead_issue
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.where.launches import launch_issues
from stallscope.analysis.units import percent
from stallscope.traces.model.fields import CALLS, Category
from stallscope.traces.model.issues import Severity, TraceIssue

REFUSE: Final = 0.10  # share of the window in waits that nothing recorded explains, or without device rows
DOUBT: Final = 0.02
MOSTLY: Final = 0.9  # of the operators and calls: so many with a counterpart, and what is left out says little


def find_issues(stages: Stages) -> list[TraceIssue]:
    """The issues of a trace, those of its reading first."""
    return [
        *stages.trace.issues,
        *(clock.issue() for clock in stages.clocks),
        *stages.window.issues(),
        *launch_issues(stages.trace, stages.launches),
        *stages.linking.issues(),
        *stages.losses.issues(stages.trace, stages.window),
        *find_doubts(stages.trace, stages.launches, stages.operators),
        *absent_issue(stages.trace),
        *overhead_issue(stages.trace, stages.window),
        *_partly_attributed(attributed_share(stages)),
        *_waits_without_work(stages.unexplained_share),
    ]


def attributed_share(stages: Stages) -> float | None:
    """Part of the window's operators and calls that have a counterpart in the attribution window; None of none."""
    joined, rows = stages.places.joined, stages.trace.events.rows(Category.CPU_OP, *CALLS)
    return None if joined is None else joined.share(rows[stages.window.holds(stages.trace.events.ts_ns[rows])])


def _partly_attributed(share: float | None) -> Iterator[TraceIssue]:
    """That the attribution window has counterparts for little of the step."""
    if share is not None and share < MOSTLY:
        advice = (
            f"Only {percent(share)} of the operators and calls have a counterpart in the attribution window, "
            "so lines and modules are unknown for the rest. Steps differ from each other (varying shapes, branches, "
            "evaluation): record more of them, --steps 50, or with fixed shapes."
        )
        yield TraceIssue("attribution_partial", Severity.NOTICE, 1, advice, share=1 - share)


def _waits_without_work(share: float | None) -> Iterator[TraceIssue]:
    """That the host waited for work which the trace does not hold."""
    if share is not None and share > DOUBT:
        advice = (
            f"In {percent(share)} of the window the CPU waited while no recorded GPU work ran: kernels are missing "
            "from the trace, or another process held the GPU."
        )
        severity = Severity.DATA_LOSS if share > REFUSE else Severity.NOTICE
        yield TraceIssue("waits_without_gpu_work", severity, 1, advice)
