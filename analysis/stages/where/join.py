"""The attribution trace joined to the timing trace, by position in the step.

The timing trace has the true times and no marks, the attribution trace the marks (call sites, modules, Python
functions) and times that the marking has stretched. Both recorded the same loop. So for each step of the timing trace
a step of the attribution trace is chosen whose operators and runtime calls are the same, in the same order, thread by
thread (or, where there is none, the one that has most of them), and the two are aligned (``align.py``). A mark is then
*carried over*: in the timing trace it reaches from the start of the first to the end of the last operator or call that
lies in it. Everything downstream works on these ranges as on rows of the trace.

Threads match by role: the thread with the steps; then those whose operators and calls are most alike (autograd's has
nodes of the backward pass). A mark of ``backward()`` takes in what other threads do while it is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from stallscope.analysis.columns.align import Pairs, align
from stallscope.analysis.columns.ranges import CARRIED, Ranges, nest, ranges_of
from stallscope.analysis.columns.rows import grouped, rows_named
from stallscope.analysis.stages.where.frames import function_name, user_frame
from stallscope.analysis.stages.where.joined import Joined
from stallscope.analysis.stages.where.site_names import SiteName, module_names, site_names
from stallscope.analysis.stages.where.steps import Window, find_window
from stallscope.traces.model import fields
from stallscope.traces.model.fields import CALLS, Category
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Bools, Ints, Trace

MOST_THREADS: Final = 32  # beside the one with the steps
ALIKE: Final = 0.25  # of the operators and calls of two threads, from which they may have one role
BACKWARD: Final = "backward"  # kind of the call site at which autograd's threads work


def join(trace: Trace, window: Window, attribution: Trace, manifest: Manifest) -> Joined | None:
    """Carry the marks of ``attribution`` over to ``trace``; None where one of the two has no steps."""
    marked = find_window(attribution)
    if not window.from_steps or not marked.from_steps:
        return None
    timed, told = _Side(trace, window), _Side(attribution, marked)
    told_rows, timed_rows = _match(timed, told)
    matched = np.zeros(len(trace.events), dtype=np.bool_)
    matched[timed_rows] = True
    carry = _Carrier(timed, told, timed_rows, told_rows).carry
    names, modules = site_names(manifest), _marks(attribution, fields.MODULE_MARK, len(manifest.modules))
    sites = _marks(attribution, fields.SITE_MARK, len(names))
    is_backward = np.array([name.called == BACKWARD for name in names], dtype=np.bool_)
    kept = is_backward[sites.labels]
    backward = ranges_of(*(c[kept] for c in (sites.rows, sites.labels, sites.threads, sites.starts, sites.ends)))
    functions, function_names = _functions(attribution)
    return Joined(
        path=attribution.path,
        steps=marked.count,
        main=timed.main,
        sites=carry(sites, None),
        backward_sites=carry(backward, told.main),
        modules=carry(modules, None),
        functions=carry(functions, None),
        site_names=names,
        module_names=module_names(manifest.modules),
        module_types=tuple(module.type for module in manifest.modules),
        function_names=function_names,
        site_in_steps=_site_in_steps(sites, marked, names),
        site_seen=_site_seen(sites, marked, len(names)),
        matched=matched,
    )


# -- the marks ------------------------------------------------------------------------------------------------------


def _marks(trace: Trace, prefix: str, size: int) -> Ranges:
    """The marks of one kind whose number the manifest knows; their labels are these numbers."""

    def known(name: str) -> bool:
        number = fields.mark_number(name, prefix)
        return number is not None and number < size

    found = nest(trace, rows_named(trace, trace.events.rows(Category.ANNOTATION), known))
    number = {i: fields.mark_number(trace.strings[i], prefix) or 0 for i in np.unique(found.labels).tolist()}
    labels = np.array([number[i] for i in found.labels.tolist()], dtype=np.int64)
    return ranges_of(found.rows, labels, found.threads, found.starts, found.ends)


def _functions(trace: Trace) -> tuple[Ranges, tuple[str, ...]]:
    """The Python frames of the user's own functions, where stacks were recorded."""
    frames = rows_named(trace, trace.events.rows(Category.PYTHON), lambda name: user_frame(name) is not None)
    found = nest(trace, frames)
    told: list[str] = []
    number = {}
    for i in np.unique(found.labels).tolist():
        name = function_name(trace.strings[i])
        if name is not None:
            number[i] = len(told)
            told.append(name)
    labels = np.array([number[i] for i in found.labels.tolist()], dtype=np.int64)
    return ranges_of(found.rows, labels, found.threads, found.starts, found.ends), tuple(told)


def _site_in_steps(sites: Ranges, window: Window, names: tuple[SiteName, ...]) -> Ints:
    """How often each site was marked in each step; a mark inside another of the same line is one call with it."""
    lines: dict[str, int] = {}
    of_line = np.array([lines.setdefault(name.line, len(lines)) for name in names], dtype=np.int64)
    counted = sites.forest.outermost(of_line[sites.labels]) & window.holds(sites.starts)
    step = np.searchsorted(window.step_starts, sites.starts[counted], side="right") - 1
    found = np.zeros((len(names), window.count), dtype=np.int64)
    np.add.at(found, (sites.labels[counted], step), 1)
    return found


def _site_seen(sites: Ranges, window: Window, size: int) -> Bools:
    """In which of the window's steps each site was marked."""
    seen = np.zeros((size, window.count), dtype=np.bool_)
    inside = window.holds(sites.starts)
    seen[sites.labels[inside], np.searchsorted(window.step_starts, sites.starts[inside], side="right") - 1] = True
    return seen


# -- what corresponds to what ---------------------------------------------------------------------------------------


class _Side:
    """One of the two traces: its operators and calls by thread and step."""

    def __init__(self, trace: Trace, window: Window) -> None:
        self.trace, self.window = trace, window
        events = trace.events
        steps = rows_named(trace, events.rows(Category.ANNOTATION), lambda name: fields.step_number(name) is not None)
        self.main = int(np.bincount(events.thread[steps]).argmax())
        rows = events.rows(Category.CPU_OP, *CALLS)
        rows = rows[window.holds(events.ts_ns[rows])]
        by_thread = {thread: rows[mine] for thread, mine in grouped(events.thread[rows])}
        others = sorted((each for each in by_thread if each != self.main), key=lambda t: (-len(by_thread[t]), t))
        self.rows = {thread: by_thread[thread] for thread in (self.main, *others[:MOST_THREADS]) if thread in by_thread}

    def step_of(self, rows: Ints) -> Ints:
        """The step in which each event row starts."""
        return np.searchsorted(self.window.step_starts, self.trace.events.ts_ns[rows], side="right") - 1

    def by_step(self, thread: int) -> list[Ints]:
        """The thread's rows, step by step."""
        rows = self.rows[thread]
        return np.split(rows, np.searchsorted(self.step_of(rows), np.arange(1, self.window.count)))


def _match(timed: _Side, told: _Side) -> Pairs:
    """Event rows (attribution, timing) that correspond."""
    numbers: dict[str, int] = {}
    here, there = (_Names(side.trace, numbers) for side in (timed, told))
    found = [_pairs(timed.by_step(mine), told.by_step(other), here, there) for mine, other in _roles(timed, told)]
    columns = [np.concatenate([np.zeros(0, dtype=np.int64), *column]) for column in zip(*found, strict=True)]
    return (columns[0], columns[1]) if columns else (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


class _Names:
    """The names of a trace as numbers that two traces share."""

    def __init__(self, trace: Trace, numbers: dict[str, int]) -> None:
        used = np.unique(trace.events.name[trace.events.rows(Category.CPU_OP, *CALLS)]).tolist()
        self._number = np.zeros(max(1, len(trace.strings)), dtype=np.int64)
        self._number[used] = [numbers.setdefault(trace.strings[i], len(numbers)) for i in used]
        self._trace = trace

    def of(self, rows: Ints) -> Ints:
        """The numbers of the names of event rows."""
        return self._number[self._trace.events.name[rows]]


def _roles(timed: _Side, told: _Side) -> Iterator[tuple[int, int]]:
    """Threads (timing, attribution) of one role: those with the steps, then the most alike of the others."""
    if timed.main in timed.rows and told.main in told.rows:
        yield timed.main, told.main
    counts = [{t: _per_step(side, rows) for t, rows in side.rows.items() if t != side.main} for side in (timed, told)]
    alike = sorted(
        (-_likeness(mine, other), here, there) for here, mine in counts[0].items() for there, other in counts[1].items()
    )
    free = set(counts[0]), set(counts[1])
    for likeness, here, there in alike:
        if -likeness >= ALIKE and here in free[0] and there in free[1]:
            free[0].discard(here)
            free[1].discard(there)
            yield here, there


def _per_step(side: _Side, rows: Ints) -> dict[str, float]:
    """How often each name occurs in a step."""
    names, counts = np.unique(side.trace.events.name[rows], return_counts=True)
    found = zip(names.tolist(), counts.tolist(), strict=True)
    return {side.trace.strings[name]: count / side.window.count for name, count in found}


def _likeness(first: dict[str, float], second: dict[str, float]) -> float:
    """What two threads have in common, of all that they have: 0 to 1."""
    common = sum(min(count, second.get(name, 0.0)) for name, count in first.items())
    return common / max(sum(first.values()), sum(second.values()), 1e-9)


def _pairs(timed: list[Ints], told: list[Ints], here: _Names, there: _Names) -> Pairs:
    """The pairs (attribution, timing) of one role, step by step."""
    known: dict[bytes, int] = {}
    names = [there.of(rows) for rows in told]
    for step, found in enumerate(names):
        known.setdefault(found.tobytes(), step)
    odd: dict[bytes, tuple[int, Pairs]] = {}
    pairs = []
    for rows in timed:
        wanted = here.of(rows)
        key = wanted.tobytes()
        if key in known:
            pairs.append((told[known[key]], rows))
            continue
        if key not in odd:
            nearest = _nearest(wanted, names)
            odd[key] = nearest, align(names[nearest], wanted)
        step, (theirs, ours) = odd[key]
        pairs.append((told[step][theirs], rows[ours]))
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def _nearest(wanted: Ints, steps: list[Ints]) -> int:
    """The step that shares most names with ``wanted``, and has fewest others."""
    size = 1 + max(int(names.max(initial=0)) for names in (wanted, *steps))
    counts = np.bincount(wanted, minlength=size)
    away = [int(np.abs(np.bincount(names, minlength=size) - counts).sum()) for names in steps]
    return int(np.argmin(away))


# -- carrying over --------------------------------------------------------------------------------------------------


class _Carrier:
    """Carries ranges of the attribution trace over the pairs of rows."""

    def __init__(self, timed: _Side, told: _Side, timed_rows: Ints, told_rows: Ints) -> None:
        self._timed, self._told = timed, told
        self._timed_rows, self._told_rows = timed_rows, told_rows
        self._steps = timed.step_of(timed_rows)

    def carry(self, ranges: Ranges, main: int | None) -> Ranges:
        """The same ranges on the timing trace; with ``main`` what other threads do counts for those of that thread."""
        events = self._timed.trace.events
        position = ranges.at(self._told.trace, self._told_rows)
        threads = events.thread[self._timed_rows].astype(np.int64)
        if main is not None:
            elsewhere = np.flatnonzero(position < 0)
            position[elsewhere] = ranges.on_thread(self._told.trace, main, self._told_rows[elsewhere])
            threads = np.full(len(threads), self._timed.main)
        inside = np.flatnonzero(position >= 0)
        rows = self._timed_rows[inside]
        group = self._steps[inside] * max(1, len(ranges.rows)) + position[inside]
        spans = _spans(group, threads[inside], events.ts_ns[rows], events.end_ns[rows])
        return _around(ranges, spans)


Spans = tuple[Ints, Ints, Ints, Ints]  # group, thread, start, end


def _spans(group: Ints, threads: Ints, starts: Ints, ends: Ints) -> Spans:
    """From the first start to the last end of each group."""
    groups, first, member = np.unique(group, return_index=True, return_inverse=True)
    least, most = np.full(len(groups), np.iinfo(np.int64).max), np.full(len(groups), np.iinfo(np.int64).min)
    np.minimum.at(least, member.reshape(-1), starts)
    np.maximum.at(most, member.reshape(-1), ends)
    return groups, threads[first], least, most


def _around(ranges: Ranges, spans: Spans) -> Ranges:
    """The spans of ranges and, around them, of the ranges in which these lie; nested anew."""
    size = max(1, len(ranges.rows))
    levels = [spans]
    while len(levels[-1][0]):
        group, threads, starts, ends = levels[-1]
        outer = ranges.parent[group % size]
        has = outer >= 0
        levels.append(_spans((group - group % size + outer)[has], threads[has], starts[has], ends[has]))
    joined: Callable[[int], Ints] = lambda i: np.concatenate([level[i] for level in levels])  # noqa: E731
    group, threads, starts, ends = _spans(joined(0), joined(1), joined(2), joined(3))
    order = np.lexsort((group, -ends, starts, threads))  # positions ascend from the outer to the inner
    group = group[order]
    carried = np.full(len(group), CARRIED, dtype=np.int64)
    return ranges_of(carried, ranges.labels[group % size], threads[order], starts[order], ends[order])
