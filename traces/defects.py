"""What the events of a trace show to be wrong or missing, as ``TraceIssue`` values.

What only a figure can show (launches without any kernel, steps cut short) is found by the stage of that figure.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stallscope.traces import fields
from stallscope.traces.columns import Columns
from stallscope.traces.issues import Severity, TraceIssue
from stallscope.traces.trace import CALLS, Category

RULES: tuple[tuple[str, Severity, str], ...] = (
    (
        "malformed_event",
        Severity.DATA_LOSS,
        "These entries are no events that a trace can hold and were left out; record again if there are many.",
    ),
    (
        "unpaired_phase",
        Severity.DATA_LOSS,
        "Begin and end events (ph B, E) were left out; save complete events (ph X), as torch.profiler does.",
    ),
    (
        "negative_duration",
        Severity.DATA_LOSS,
        "These events end before they begin and count as 0 long; figures that hold them are too low. Record again.",
    ),
    (
        "unfinished_event",
        Severity.NOTICE,
        "These events had not ended when the recording stopped; their durations are lower bounds.",
    ),
    (
        "launched_before_recording",
        Severity.INFO,
        "This device work has no launch in the trace, as at the start of a recording; it counts, but to no operator.",
    ),
    (
        "unknown_category",
        Severity.INFO,
        "These events have a category that Stallscope does not know; they are in no figure.",
    ),
    (
        "no_steps",
        Severity.INFO,
        "No ProfilerStep, so the whole trace counts as one step; `stallscope profile` marks the steps.",
    ),
)


def unknown_categories(categories: Mapping[str, int]) -> dict[str, int]:
    """Those of the spelled ``categories`` that no table knows, with their counts, sorted by name."""
    return {name: n for name, n in sorted(categories.items()) if name not in fields.CATEGORIES}


def issues_of(columns: Columns) -> tuple[TraceIssue, ...]:
    """Every defect found in ``columns``, gravest first as ``RULES`` lists them."""
    counts = columns.counts
    found = {
        "malformed_event": counts.malformed,
        "unpaired_phase": counts.paired,
        "negative_duration": counts.negative,
        "unfinished_event": counts.unfinished,
        "launched_before_recording": _unlaunched(columns),
        "unknown_category": sum(unknown_categories(columns.categories).values()),
        "no_steps": 0 if _has_steps(columns) else 1,
    }
    return tuple(TraceIssue(name, severity, found[name], advice) for name, severity, advice in RULES if found[name])


def call_names(columns: Columns) -> list[str]:
    """The distinct names of runtime and driver calls."""
    rows = columns.events.rows(*CALLS)
    return [columns.strings[i] for i in np.unique(columns.events.name[rows]).tolist()]


def _unlaunched(columns: Columns) -> int:
    """How many device rows have no call under their correlation."""
    ids = columns.events.correlation
    calls = columns.events.rows(*CALLS)
    of_calls = ids.values[calls][ids.known[calls]]
    row = columns.work.row
    return int((~(ids.known[row] & np.isin(ids.values[row], of_calls))).sum())


def _has_steps(columns: Columns) -> bool:
    rows = columns.events.rows(Category.ANNOTATION)
    names = np.unique(columns.events.name[rows]).tolist()
    return any(fields.step_number(columns.strings[i]) is not None for i in names)
