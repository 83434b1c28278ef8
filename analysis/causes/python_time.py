"""The script's own Python: long stretches of the main thread in which hardly an operator runs."""

from __future__ import annotations

from typing import Final

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.replay.graph import Graph, Kind
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Bools

LONG_NS: Final = 300_000  # without an operator: that prepares no launch, it is something of the script's own
IN_OPERATORS: Final = 0.5  # of a stretch, from which it is operators that take the time


def python_nodes(part: Stages, graph: Graph) -> Bools:
    """The nodes of ``graph`` that are such stretches, (n,); ``part``: the stages over the run that was replayed."""
    trace, offset = part.trace, part.window.start
    segment: Bools = (graph.kind == Kind.SEGMENT) & (graph.resource == graph.main) & (graph.duration_ns >= LONG_NS)
    at = np.flatnonzero(segment)
    if not len(at):
        return segment
    called = np.flatnonzero((graph.resource == graph.main) & (graph.row >= 0))
    operators = trace.events.rows(Category.CPU_OP)
    if len(called):
        operators = operators[trace.events.thread[operators] == trace.events.thread[graph.row[called[0]]]]
    busy = intervals.union(trace.events.ts_ns[operators], trace.events.end_ns[operators])
    start, end = graph.start_ns[at] + offset, graph.end_ns[at] + offset
    held = intervals.covered_before(busy, end) - intervals.covered_before(busy, start)
    segment[at] = held < IN_OPERATORS * (end - start)
    return segment
