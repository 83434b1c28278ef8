"""What the rows of a good file show to be odd, and how far the figures suffer: overlaps, threads without operators.

zero_duration       device rows without a duration, of a name whose others have one
overlap             operators of one thread that overlap without nesting, beyond the rounding of old files: which of
                    them an instant belongs to is arbitrary (C++ threads that share a number, other tools)
stream_overlap      kernels of one stream that overlap by more than 5 %: sums of durations count time twice.
                    Programmatic dependent launch does so by design, ROCm's overflowing durations by mistake
thread_without_ops  launches on threads whose operators were not recorded: their work belongs to no operator
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.stages.where.launches import Launches, stream_numbers
from stallscope.analysis.stages.where.operators import Operators
from stallscope.analysis.units import percent
from stallscope.traces.model.fields import Category
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.trace import ROUNDING_NS, Ints, Trace

MOST_OVERLAP = 1.05  # sum of a stream's kernel times ÷ their union
FEW_ZERO = 0.01  # of the device rows, without a duration
FEW_LAUNCHES = 0.01  # of all launches, on threads without operators


def find_doubts(trace: Trace, launches: Launches, operators: Operators) -> list[TraceIssue]:
    """The issues of this stage."""
    return [*_zero(trace), *_overlap(trace, operators), *_stream_overlap(trace), *_threads(trace, launches)]


def zero_durations(trace: Trace) -> tuple[Ints, Ints]:
    """(rows of ``trace.work`` without a duration, what others of their name take in the median), ns.

    Where one of them takes 1 µs or less the time may be rounded to nothing, and is none of them.
    """
    rows = trace.work.row
    durations, names = trace.events.dur_ns[rows], trace.events.name[rows]
    zero = np.flatnonzero(durations == 0)
    usual = np.zeros(len(zero), dtype=np.int64)
    for name in np.unique(names[zero]).tolist():
        others = durations[(names == name) & (durations > 0)]
        usual[names[zero] == name] = int(np.median(others)) if (others.min() if len(others) else 0) > ROUNDING_NS else 0
    return zero[usual > 0], usual[usual > 0]


def _zero(trace: Trace) -> Iterator[TraceIssue]:
    rows, _ = zero_durations(trace)
    if len(rows):
        share = len(rows) / len(trace.work)
        advice = (
            f"These GPU rows ({percent(share)}) have no duration, though others of their name have one, so times of "
            "the GPU's work are too low. A replay takes the usual duration of the name."
        )
        severity = Severity.DATA_LOSS if share > FEW_ZERO else Severity.NOTICE
        yield TraceIssue("zero_duration", severity, len(rows), advice, share=share)


def _overlap(trace: Trace, operators: Operators) -> Iterator[TraceIssue]:
    rows = operators.rows
    rows = rows[operators.parent[rows] >= 0]
    over = trace.events.end_ns[rows] > trace.events.end_ns[operators.parent[rows]] + ROUNDING_NS
    count = int(over.sum())
    if count:
        share = count / len(operators.rows)
        advice = (
            f"These operators ({percent(share)}) begin inside another one of their thread and end after it; their "
            "times overlap, and each instant was given to the one that began last."
        )
        yield TraceIssue("overlap", Severity.DATA_LOSS, count, advice, share=share)


def _stream_overlap(trace: Trace) -> Iterator[TraceIssue]:
    is_kernel = trace.events.category[trace.work.row] == Category.KERNEL
    rows, streams = trace.work.row[is_kernel], stream_numbers(trace)[is_kernel]
    starts, ends = trace.events.ts_ns[rows], trace.events.end_ns[rows]
    total = covered = bad = 0
    for stream in np.unique(streams).tolist():
        mine = streams == stream
        whole, union = int((ends - starts)[mine].sum()), intervals.total(intervals.union(starts[mine], ends[mine]))
        bad += whole > MOST_OVERLAP * union
        total, covered = total + whole, covered + union
    if bad and total:
        share = 1 - covered / total
        advice = (
            f"Kernels of one stream overlap, by {percent(share)} of their time, so times of single kernels add up to "
            "more than passed; the time the GPU works is a union, and right."
        )
        yield TraceIssue("stream_overlap", Severity.DATA_LOSS, bad, advice, share=share)


def _threads(trace: Trace, launches: Launches) -> Iterator[TraceIssue]:
    with_operators = np.unique(trace.events.thread[trace.events.rows(Category.CPU_OP)])
    if not len(with_operators) or not len(launches.calls):
        return
    threads = trace.events.thread[launches.calls]
    without = ~np.isin(threads, with_operators)
    share = float(without.mean())
    if share > FEW_LAUNCHES:
        names = ", ".join(trace.threads[i].tid for i in np.unique(threads[without]).tolist()[:3])
        advice = (
            f"Threads ({names}) hold {percent(share)} of the launches, but no operators, so these launches belong to "
            "none. torch records operators of other threads with profile_all_threads=True."
        )
        yield TraceIssue(
            "thread_without_ops", Severity.DATA_LOSS, len(np.unique(threads[without])), advice, share=share
        )
