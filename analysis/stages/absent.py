"""What a file lacks altogether: any record of work, or that of a GPU which was at work.

nothing_recorded   neither operators nor launches nor device rows, but calls or the profiler's own rows
gpu_not_recorded   collectives of NCCL ran, which needs GPUs, and no call or device row is there
unknown_device     many rows of a kind that is not known, of a process that runs no operator: another accelerator
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from stallscope.analysis.columns.rows import rows_named
from stallscope.traces.model.fields import CALLS, LAUNCHES, Category
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.trace import Trace
from stallscope.traces.vendors.device_rows import is_gpu_collective_range

Absent = Literal["nothing_recorded", "gpu_not_recorded", "unknown_device"]

MANY: Final = 0.05  # of all rows, of a kind that is not known
TEXTS: Final[dict[Absent, str]] = {
    "nothing_recorded": "Nothing but the profiler's own rows and a few calls was recorded: no operator, no launch, no "
    "GPU work. So nothing is known of this run.",
    "gpu_not_recorded": "Collectives of NCCL ran, so GPUs were at work, and none of their work was recorded. So "
    "nothing is known of the GPU.",
    "unknown_device": "Many rows are of an accelerator that Stallscope does not know. What the CPU did is shown; "
    "whether the device or the CPU is the limit is not known.",
}
ADVICE: Final[dict[Absent, str]] = {
    "nothing_recorded": "Record inside the loop, and check what keeps a profiler from the GPU: permissions "
    "(NVreg_RestrictProfilingToAdminUsers=0), WSL or a container without CUPTI, another profiler (Nsight, DCGM) that "
    "runs.",
    "gpu_not_recorded": "Record again with activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA].",
    "unknown_device": "Look at this file with the tools of the accelerator's maker.",
}


def find_absent(trace: Trace) -> Absent | None:
    """What the file lacks; None: nothing of these."""
    events = trace.events
    if len(trace.work) or len(events.calls(*LAUNCHES)):
        return None
    operators, calls = events.rows(Category.CPU_OP), events.rows(*CALLS)
    if _has_unknown_device(trace):
        return "unknown_device"
    if not len(operators) and (len(calls) or len(events.rows(Category.OVERHEAD))):
        return "nothing_recorded"
    ranges = events.rows(Category.CPU_OP, Category.ANNOTATION)
    collectives = rows_named(trace, ranges, is_gpu_collective_range)
    return "gpu_not_recorded" if len(collectives) and not len(calls) else None


def _has_unknown_device(trace: Trace) -> bool:
    """Whether rows of unknown categories lie in a process of their own."""
    events, unknown = trace.events, sum(trace.unknown_categories.values())
    if unknown < MANY * max(1, len(events)):
        return False
    pids = np.array([thread.pid for thread in trace.threads])
    operators = pids[np.unique(events.thread[events.rows(Category.CPU_OP, Category.ANNOTATION)])]
    others = pids[np.unique(events.thread[events.rows(Category.OTHER)])]
    return bool(len(operators)) and not np.isin(others, operators).all()


def absent_issue(trace: Trace) -> Iterator[TraceIssue]:
    """What to say of it."""
    absent = find_absent(trace)
    if absent is not None:
        yield TraceIssue(absent, Severity.DATA_LOSS, 1, f"{TEXTS[absent]} {ADVICE[absent]}")
