"""Host time, device time and launches by the place in the program that asked for them.

Where operators carry a ``Call stack`` (files of 2021, and of builds that write it) a place is the *line of the call*,
``train.py:47``: the innermost frame that is not PyTorch's or Python's. Where the file holds Python frames
(``with_stack=True``) it is the *function*, with the line on which it is defined: ``helper (train.py:6)``. Work of a
backward node belongs to the place of its forward operator. Where an attribution trace was joined (``join.py``), a
place is the line that its marks tell; what no mark holds belongs to the function, if its stacks tell that. The host's
own time in the backward pass is then the line's that called ``backward()``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns.ranges import nest, sums
from stallscope.analysis.columns.rows import rows_named
from stallscope.analysis.stages.where.backward import Backward, nearest
from stallscope.analysis.stages.where.frames import function_name, user_frame, user_line
from stallscope.analysis.stages.where.joined import Joined
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.operators import Operators
from stallscope.analysis.stages.where.site_names import SiteName
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Bools, Ints, Trace

NO_CALL_SITE = "(no call site)"


@dataclass(frozen=True, slots=True)
class CallSiteTotals:
    """One place over the window; times in ns."""

    name: str
    host_ns: int = 0  # in operators called from there, without the operators in them
    device_forward_ns: int = 0
    device_backward_ns: int = 0
    launches: int = 0
    site: SiteName | None = None  # where an attribution window told the place


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
    trace: Trace,
    window: Window,
    launches: Launches,
    operators: Operators,
    backward: Backward,
    joined: Joined | None = None,
) -> CallSites:
    """Give device work, launches and operator time to places: those of ``joined``, else of the trace."""
    if not len(trace.events):
        return CallSites(are_calls=False, totals=())
    labels, home, told = _places(trace, operators, launches, backward, joined)
    are_calls = any(user_line(stack) is not None for stack in trace.origins.stacks)
    if not labels:
        return CallSites(are_calls=False, totals=())
    place, is_backward, caller = home
    size = len(labels) + 1  # the last slot is for "none"
    work = launches.work_call
    device_ns = window.durations(trace, trace.work.row)
    columns = (
        sums(caller[operators.rows], operators.self_ns, size),
        sums(place[work], np.where(is_backward[work], 0, device_ns), size),
        sums(place[work], np.where(is_backward[work], device_ns, 0), size),
        sums(place[launches.calls], np.ones(len(launches.calls), dtype=np.int64), size),
    )
    found = [
        CallSiteTotals(told[name].line if name in told else name, host, forward, back, started, told.get(name))
        for name, host, forward, back, started in zip(
            (*labels, NO_CALL_SITE), *(column.tolist() for column in columns), strict=True
        )
    ]
    seen = [each for each in found if each.host_ns or each.launches or each.device_forward_ns + each.device_backward_ns]
    return CallSites(are_calls, tuple(sorted(seen, key=_rank)))


def _places(
    trace: Trace, operators: Operators, launches: Launches, backward: Backward, joined: Joined | None
) -> tuple[list[str], Home, dict[str, SiteName]]:
    """The places, where everything belongs, and what the marks tell of a place: from the best source that there is."""
    if joined is not None and len(joined.sites.labels):
        told = _sites_apart(joined)
        return *_by_marks(trace, operators, launches, backward, joined, told), told
    if trace.origins.stacks:
        labels, home = _by_stacks(trace, operators, backward)
        if labels:
            return labels, home, {}
    return *_by_frames(trace, operators, launches, backward), {}


def _rank(each: CallSiteTotals) -> tuple[bool, int, int, str]:
    device = each.device_forward_ns + each.device_backward_ns
    return each.name == NO_CALL_SITE, -device, -each.host_ns, each.name


Home = tuple[Ints, Bools, Ints]  # (n + 1,) place of each event row, the last slot for "none"; whether as backward work;
# the place that called it, which for backward work told by marks is the line of ``backward()``


def _by_stacks(trace: Trace, operators: Operators, backward: Backward) -> tuple[list[str], Home]:
    """The places by the call stacks of operators."""
    lines = [user_line(stack) for stack in trace.origins.stacks]
    labels = sorted({line for line in lines if line is not None})
    number = {line: i for i, line in enumerate(labels)}
    size = len(trace.events)
    at = np.full(size + 1, len(labels), dtype=np.int64)
    at[trace.origins.stack_row] = np.array([number.get(line or "", len(labels)) for line in lines])[trace.origins.stack]
    told = nearest(operators, trace.origins.stack_row)
    node, forward = backward.node, backward.forward[backward.node]
    is_backward: Bools = (forward >= 0) & ((told < 0) | (trace.events.ts_ns[node] > trace.events.ts_ns[told]))
    place = at[np.where(is_backward, told[forward], told)]
    return labels, (place, is_backward, place)


def _sites_apart(joined: Joined) -> dict[str, SiteName]:
    """The sites by what they are called: each call of a line is a place of its own; a function is one place."""
    return {_label(site): site for site in reversed(joined.site_names)}


def _label(site: SiteName) -> str:
    return f"{site.line} {site.called}" if site.exact else site.line


def _by_marks(
    trace: Trace,
    operators: Operators,
    launches: Launches,
    backward: Backward,
    joined: Joined,
    told: dict[str, SiteName],
) -> tuple[list[str], Home]:
    """The places by the marks of an attribution window: lines of calls, and outside of them functions."""
    labels = sorted({*told, *joined.function_names})
    number = {label: i for i, label in enumerate(labels)}
    lines = np.array([*(number[_label(site)] for site in joined.site_names), len(labels)], dtype=np.int64)
    functions = np.array([*(number[name] for name in joined.function_names), len(labels)], dtype=np.int64)
    rows = _rows_asked(trace, operators, launches)
    position, as_backward = backward.homes(trace, joined.sites, rows)
    within, _ = backward.homes(trace, joined.functions, rows)
    called, inside = joined.site_of(trace, rows), joined.functions.at(trace, rows)
    home = np.append(joined.sites.labels, -1)[position]
    home = np.where(home >= 0, home, called)  # backward()'s own, seen from autograd's threads

    def places(site: Ints, function: Ints) -> Ints:
        return np.where(site >= 0, lines[site], functions[np.append(joined.functions.labels, -1)[function]])

    return labels, _home(trace, rows, places(home, within), as_backward, places(called, inside), len(labels))


def _rows_asked(trace: Trace, operators: Operators, launches: Launches) -> Ints:
    """The event rows whose place is asked for: operators, launches, calls that caused device work."""
    chosen = np.zeros(len(trace.events) + 1, dtype=np.bool_)
    for some in (operators.rows, launches.calls, launches.work_call):
        chosen[some] = True
    return np.flatnonzero(chosen[:-1])  # a missing call, -1, marked the last slot


def _home(trace: Trace, rows: Ints, found: Ints, is_backward: Bools, caller: Ints, nowhere: int) -> Home:
    """Places, ways and callers of ``rows``, spread over all events."""
    place = np.full(len(trace.events) + 1, nowhere, dtype=np.int64)
    place[rows] = found
    called = place
    if caller is not found:  # a column less where they are the same: there are as many rows as events
        called = np.full(len(trace.events) + 1, nowhere, dtype=np.int64)
        called[rows] = caller
    as_backward = np.zeros(len(trace.events) + 1, dtype=np.bool_)
    as_backward[rows] = is_backward
    return place, as_backward, called


def _by_frames(trace: Trace, operators: Operators, launches: Launches, backward: Backward) -> tuple[list[str], Home]:
    """The places by the functions around operators and calls."""
    frames = rows_named(trace, trace.events.rows(Category.PYTHON), lambda name: user_frame(name) is not None)
    if not len(frames):
        none = np.zeros(0, dtype=np.int64)
        return [], (none, none.astype(np.bool_), none)
    ranges = nest(trace, frames)
    names = {i: function_name(trace.strings[i]) or "" for i in np.unique(ranges.labels).tolist()}
    labels = sorted(set(names.values()))
    number = {label: i for i, label in enumerate(labels)}
    of_range = np.array([*(number[names[i]] for i in ranges.labels.tolist()), len(labels)], dtype=np.int64)
    rows = _rows_asked(trace, operators, launches)
    position, is_backward = backward.homes(trace, ranges, rows)
    found = of_range[position]  # position -1 is the last slot
    return labels, _home(trace, rows, found, is_backward, found, len(labels))
