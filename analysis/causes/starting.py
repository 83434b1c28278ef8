"""The first calls of a process: the GPU is started, kernels are loaded, memory is got. Slow once, and no training.

A call or an operator is *cold* where it takes a millisecond or more, ten times the median of its name, and is one of
the first of its name, or launches the first kernel of a name. What is alike in all steps is no start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.causes.case import MOSTLY, Case, Claim
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import grouped, without
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.units import count, microseconds, percent
from stallscope.traces.model.fields import CALLS, SYNCHRONIZES, CallKind
from stallscope.traces.model.trace import Bools, Ints

LONG_NS: Final = 1_000_000  # launching costs some 5 to 250 µs
COLD: Final = 10.0  # times the median of its name
FIRST: Final = 3  # calls of a name that may be its first
ALONE: Final = 2  # calls of a name, up to which there is no median to go by
PART: Final = 0.05  # of the step, from which a start is worth a word
BARS: Final = (
    *("compile_reduce_overhead", "cuda_graph", "larger_batch", "fused_optimizer", "foreach_optimizer"),
    *("pinned_memory", "record_every", "deferred_read", "fewer_launches", "dataloader_workers"),
)


@dataclass(frozen=True, slots=True)
class Starts:
    """What is cold in a window."""

    calls: Ints  # event rows
    operators: Ints  # event rows
    loads: Bools  # of the calls: those that load kernels
    times: Intervals  # of it all in the window, while no device works


def find_starts(stages: Stages) -> Starts:
    """The cold calls and operators of these steps."""
    events, operators, window = stages.trace.events, stages.operators, stages.window
    waits = np.concatenate([stages.syncs.blocking, events.calls(*SYNCHRONIZES)])
    called = without(events.rows(*CALLS), waits)
    loads = np.isin(called, _first_launches(stages)) | events.is_call(called, CallKind.MODULE_LOAD)
    cold = _cold(stages, called, events.dur_ns[called], loads, alone=window.count <= ALONE)
    working = ~np.isin(operators.rows, operators.parent[waits])
    rows, own_ns = operators.rows[working], operators.self_ns[working]
    rows = rows[_cold(stages, rows, own_ns, np.zeros(len(rows), dtype=np.bool_), alone=False)]
    times = window.cover(stages.trace, np.concatenate([called[cold], rows]))
    idle = intervals.subtract(times, stages.activity.busy)
    return Starts(calls=called[cold], operators=rows, loads=loads[cold], times=idle)


def _first_launches(stages: Stages) -> Ints:
    """The call that started the first kernel of each name."""
    trace, launched = stages.trace, np.flatnonzero(stages.launches.work_call >= 0)
    rows = trace.work.row[launched]
    order = np.argsort(trace.events.ts_ns[rows], kind="stable")
    _, first = np.unique(trace.events.name[rows[order]], return_index=True)
    return stages.launches.work_call[launched[order[first]]]


def _cold(stages: Stages, rows: Ints, took_ns: Ints, loads: Bools, *, alone: bool) -> Bools:
    """Which of ``rows``, (n,), that take so long, are cold; ``alone``: of one or two of a name length alone decides."""
    events, window = stages.trace.events, stages.window
    cold = np.zeros(len(rows), dtype=np.bool_)
    for _, mine in grouped(events.name[rows]):
        took = took_ns[mine]
        if took.max() < LONG_NS:
            continue
        early = loads[mine].copy()
        early[np.argsort(events.ts_ns[rows[mine]], kind="stable")[:FIRST]] = True
        few = alone and len(mine) <= ALONE
        long = (took >= LONG_NS) & (few | (took >= COLD * np.median(took)))
        comes_back = took[long & ~early].sum() > took[long & early].sum() or _in_most_steps(stages, rows[mine[long]])
        cold[mine] = long & early & (not comes_back)
    return cold & window.holds(events.ts_ns[rows])


def _in_most_steps(stages: Stages, rows: Ints) -> bool:
    """Whether rows lie in most of several steps."""
    window = stages.window
    step = np.searchsorted(window.step_starts, stages.trace.events.ts_ns[rows], side="right")
    return window.count > ALONE and len(np.unique(step)) > MOSTLY * window.count


def find(case: Case) -> Iterator[Claim]:
    """Cold calls, by whether most of them load kernels."""
    stages = case.stages
    if case.facts.calls is None or case.facts.recording.absent is not None:
        return
    starts = find_starts(stages)
    spent = intervals.total(starts.times)
    if spent < PART * stages.window.length:
        return
    trace, window = stages.trace, stages.window
    rows = np.concatenate([starts.calls, starts.operators])
    took = window.durations(trace, rows)
    longest = int(rows[took.argmax()])
    loading = int(window.durations(trace, starts.calls[starts.loads]).sum()) > MOSTLY * spent
    yield case.claim(
        "module_loading" if loading else "first_calls",
        "kernels are loaded when they are first used" if loading else "the first calls of a process",
        nodes=case.nodes_of(starts.calls) | case.nodes_inside(starts.times),
        cost_us=stages.us(spent),
        evidence=f"{percent(spent / window.length)} of the time passes in {_calls(len(rows))} "
        f"{trace.name_of(longest)}, {microseconds(float(took.max()) / 1000)}.",
        advice="First calls start the GPU, load kernels and get memory, once. Record later steps, after some that "
        "warm up.",
        bars=BARS,
    )


def _calls(number: int) -> str:
    return "one first call," if number == 1 else f"{count(number)} first calls, the longest"
