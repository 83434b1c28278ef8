"""What the profiler itself took: rows of category ``overhead``, nobody's CPU work.

Other rows of that category are the program's: code that is loaded when it is called first, a
command queue that is full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import NameTest, matches, rows_named
from stallscope.analysis.stages.where.steps import Window
from stallscope.analysis.units import microseconds, percent
from stallscope.traces.model.fields import Category
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.trace import Ints, Trace

MUCH: Final = 0.05  # of the window, from which it is said

_is_own: Final[NameTest] = matches(re.compile(r".*(Buffer (Request|Flush)|Instrumentation|Resource)"))


def overhead(trace: Trace) -> Ints:
    """The event rows of the profiler's own work."""
    return rows_named(trace, trace.events.rows(Category.OVERHEAD), _is_own)


def overhead_issue(trace: Trace, window: Window) -> Iterator[TraceIssue]:
    """That much of the window is the profiler's."""
    rows = overhead(trace)
    rows = rows[window.durations(trace, rows) > 0]
    held = intervals.total(window.cover(trace, rows))
    share = held / window.length if window.length else 0.0
    if share >= MUCH:
        advice = (
            f"For {microseconds(held / 1000)}, {percent(share)} of the time, the profiler was busy with itself. That "
            "is no work of the script, and no figure of what would be saved counts it. Let some steps pass before "
            "recording, and record more of them."
        )
        yield TraceIssue("profiler_overhead", Severity.NOTICE, len(rows), advice, share=share)
