"""Stage 6c: host time, device time and launches by the place in the program that asked for them.

Where operators carry a ``Call stack`` (files of 2021, and of builds that write it) a place is the *line of the call*,
``train.py:47``: the innermost frame that is not PyTorch's or Python's. Where the file holds Python frames
(``with_stack=True``) it is the *function*, with the line on which it is defined: ``helper (train.py:6)``. Work of a
backward node belongs to the place of its forward operator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.attribution import Operators
from stallscope.analysis.backward import Backward, nearest
from stallscope.analysis.launches import Launches
from stallscope.analysis.places import user_frame
from stallscope.analysis.ranges import nest, sums
from stallscope.analysis.rows import rows_named
from stallscope.analysis.steps import Window
from stallscope.traces.trace import Bools, Category, Ints, Trace

NO_CALL_SITE = "(no call site)"


@dataclass(frozen=True, slots=True)
class CallSiteTotals:
    """One place over the window; times in ns."""

    name: str
    host_ns: int = 0  # in operators called from there, without the operators in them
    device_forward_ns: int = 0
    device_backward_ns: int = 0
    launches: int = 0


@dataclass(frozen=True, slots=True)
class CallSites:
    """The places of a trace; () where it holds neither stacks nor frames."""

    are_calls: bool  # the lines are those of calls, not of definitions
    totals: tuple[CallSiteTotals, ...]  # most device time first, then host time; ``NO_CALL_SITE`` last

    def conserved(self, trace: Trace, window: Window, launches: Launches, operators: Operators) -> bool:
        """Whether all places, and none, hold the device time, launches and operator time of the window."""
        device = sum(each.device_forward_ns + each.device_backward_ns for each in self.totals)
        return not self.totals or (
            device == int(window.durations(trace, trace.work.row).sum())
            and sum(each.launches for each in self.totals) == len(launches.calls)
            and sum(each.host_ns for each in self.totals) == int(operators.self_ns.sum())
        )


def find_call_sites(
    trace: Trace, window: Window, launches: Launches, operators: Operators, backward: Backward
) -> CallSites:
    """Give device work, launches and operator time to places."""
    labels, home = _by_stacks(trace, operators, backward)
    are_calls = bool(labels)
    if not labels:
        labels, home = _by_frames(trace, operators, launches, backward)
    if not labels:
        return CallSites(are_calls=False, totals=())
    place, is_backward = home
    size = len(labels) + 1  # the last slot is for "none"
    work = launches.work_call
    device_ns = window.durations(trace, trace.work.row)
    columns = (
        sums(place[operators.rows], operators.self_ns, size),
        sums(place[work], np.where(is_backward[work], 0, device_ns), size),
        sums(place[work], np.where(is_backward[work], device_ns, 0), size),
        sums(place[launches.calls], np.ones(len(launches.calls), dtype=np.int64), size),
    )
    found = [
        CallSiteTotals(name, *(int(column[i]) for column in columns)) for i, name in enumerate((*labels, NO_CALL_SITE))
    ]
    seen = [each for each in found if each.host_ns or each.launches or each.device_forward_ns + each.device_backward_ns]
    return CallSites(are_calls, tuple(sorted(seen, key=_rank)))


def _rank(each: CallSiteTotals) -> tuple[bool, int, int, str]:
    device = each.device_forward_ns + each.device_backward_ns
    return each.name == NO_CALL_SITE, -device, -each.host_ns, each.name


Home = tuple[Ints, Bools]  # (n + 1,) place of each event row, the last slot for "none"; whether as backward work


def _by_stacks(trace: Trace, operators: Operators, backward: Backward) -> tuple[list[str], Home]:
    """The places by the call stacks of operators."""
    lines = [_line(stack) for stack in trace.origins.stacks]
    labels = sorted({line for line in lines if line is not None})
    number = {line: i for i, line in enumerate(labels)}
    size = len(trace.events)
    at = np.full(size + 1, len(labels), dtype=np.int64)
    at[trace.origins.stack_row] = np.array([number.get(line or "", len(labels)) for line in lines])[trace.origins.stack]
    told = nearest(operators, trace.origins.stack_row)
    node, forward = backward.node, backward.forward[backward.node]
    is_backward: Bools = (forward >= 0) & ((told < 0) | (trace.events.ts_ns[node] > trace.events.ts_ns[told]))
    return labels, (at[np.where(is_backward, told[forward], told)], is_backward)


def _line(stack: str) -> str | None:
    """``train.py:47`` of the innermost frame of the user's; innermost frames come first."""
    found = next((frame for part in stack.split(";") if (frame := user_frame(part)) is not None), None)
    return None if found is None else f"{found[0]}:{found[1]}"


def _by_frames(trace: Trace, operators: Operators, launches: Launches, backward: Backward) -> tuple[list[str], Home]:
    """The places by the functions around operators and calls."""
    frames = rows_named(trace, trace.events.rows(Category.PYTHON), lambda name: user_frame(name) is not None)
    ranges = nest(trace, frames)
    names = {name: _function(trace.strings[name]) for name in np.unique(trace.events.name[frames]).tolist()}
    labels = sorted(set(names.values()))
    number = {label: i for i, label in enumerate(labels)}
    of_range = np.array([number[names[n]] for n in trace.events.name[ranges.rows].tolist()] + [len(labels)], np.int64)
    chosen = np.zeros(len(trace.events) + 1, dtype=np.bool_)
    for some in (operators.rows, launches.calls, launches.work_call):
        chosen[some] = True
    rows = np.flatnonzero(chosen[:-1])  # a missing call, -1, marked the last slot
    position, is_backward = backward.homes(trace, ranges, rows)
    place = np.full(len(trace.events) + 1, len(labels), dtype=np.int64)
    place[rows] = of_range[position]  # position -1 is the last slot
    as_backward = np.zeros(len(trace.events) + 1, dtype=np.bool_)
    as_backward[rows] = is_backward
    return labels, (place, as_backward)


def _function(name: str) -> str:
    found = user_frame(name)
    return name if found is None else f"{found[2]} ({found[0]}:{found[1]})"
