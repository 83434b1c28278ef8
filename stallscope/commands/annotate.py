"""``stallscope annotate``: a copy of a trace with the tracks that its analysis gives."""

from __future__ import annotations

from stallscope import api
from stallscope.analysis.report import annotated
from stallscope.commands.options import CopiedTrace, CopyFile, Force, MaxDepth, MaxMemory, MaxRatio, MaxSize
from stallscope.output import must_be_free, write_copy
from stallscope.traces.out.write import with_events
from stallscope.traces.text.limits import limits


def annotate(
    trace: CopiedTrace,
    output: CopyFile,
    force: Force = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> None:
    """Write a copy of a trace with tracks that say what each step waits for, for Perfetto and chrome://tracing.

    Added, as a process named Stallscope: the verdict over each step, the critical path, why each GPU idles, where each
    thread waits for it; as counters queued launches, copy speed, GPU memory. The trace's own events stay byte for byte.
    """
    trace = api.trace_of(trace)
    must_be_free(output, force=force)
    bounds = limits(max_size, max_ratio, max_depth, max_memory)
    summary, stages = api.explained(trace, bounds)
    write_copy(trace, output, with_events(trace, annotated.events_of(summary, stages), bounds), force=force)
