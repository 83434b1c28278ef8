"""How far the attribution of a run holds: what the join covers, and what to say where that is little."""

from __future__ import annotations

from typing import Final

import numpy as np

from stallscope.analysis.contract.run import Attribution
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.units import percent
from stallscope.traces.model.fields import CALLS, Category
from stallscope.traces.model.issues import Severity, TraceIssue

MOSTLY: Final = 0.9  # of the operators and calls, from which what is left out says little


def attribution_of(stages: Stages) -> Attribution | None:
    """What the join covers of the window; None where nothing was joined."""
    joined, trace = stages.places.joined, stages.trace
    if joined is None:
        return None
    rows, waits = trace.events.rows(Category.CPU_OP, *CALLS), stages.syncs.blocking
    return Attribution(
        path=joined.path,
        steps=joined.steps,
        events_share=joined.share(rows[stages.window.holds(trace.events.ts_ns[rows])]),
        waits_share=joined.share(waits[stages.window.holds(trace.events.ts_ns[waits])]),
        launches_share=joined.share(np.sort(stages.launches.calls)),
    )


def attribution_issues(stages: Stages) -> list[TraceIssue]:
    """That the join covers little of the step."""
    found = attribution_of(stages)
    if found is None or found.events_share is None or found.events_share >= MOSTLY:
        return []
    advice = (
        f"Only {percent(found.events_share)} of the operators and calls have a counterpart in the attribution window, "
        "so lines and modules are unknown for the rest. Steps differ from each other (varying shapes, branches, "
        "evaluation): record more of them, --steps 50, or with fixed shapes."
    )
    return [TraceIssue("attribution_partial", Severity.NOTICE, 1, advice, share=1 - found.events_share)]
