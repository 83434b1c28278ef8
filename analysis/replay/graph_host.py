"""The host's half of the graph: each thread's window, cut into calls, segments between them, and waits.

Threads are those that make runtime or driver calls, and the one that holds the steps. Of nested calls the outermost is
the node. Segments are cut where a DataLoader fetch, an optimizer step, an ``aten::item`` or a step begins or ends.

*Hand-off*: a thread in no operator, call, fetch or optimizer step may be waiting for another: the autograd engine's
thread for the main one, and the main one for it. A gap counts as such a wait, until the other thread's last operator or
call in it ends, where that thread was busy in 40 % of it and ended its last one at most 1 ms (or a quarter of the gap)
before its end.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import both, distinct, grouped, matches, rows_named
from stallscope.analysis.replay.graph import Kind, Small, Tag
from stallscope.analysis.replay.graph_device import Device
from stallscope.analysis.stages.activity import is_dataloader
from stallscope.analysis.stages.overhead import overhead
from stallscope.analysis.stages.where.fetches import Fetches, find_fetches
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model import fields
from stallscope.traces.model.fields import CALLS, LAUNCHES, Category
from stallscope.traces.model.trace import Bools, Ints, Trace

MOST_THREADS: Final = 8  # that hand work to each other
SHORTEST_WAIT_NS: Final = 5_000
BUSY_SHARE: Final = 0.4
SOON_NS: Final = 1_000_000
SOON_SHARE: Final = 0.25

_is_item: Final = matches(re.compile(r"aten::(item|is_nonzero|_local_scalar_dense)$"))
_is_node: Final = matches(re.compile(r"autograd::engine::evaluate_function"))
_is_optimizer: Final = matches(re.compile(r"Optimizer\.step#"))


class Line(msgspec.Struct, frozen=True):
    """The windows of all host threads one after the other, so that one sort does for all of them."""

    threads: NDArray[np.int32]  # (t,) index into ``trace.threads``
    start: int
    length: int

    def number(self, trace: Trace, rows: Ints) -> tuple[Ints, Bools]:
        """(which of the threads each event row is on, whether on any)."""
        place = np.minimum(np.searchsorted(self.threads, trace.events.thread[rows]), len(self.threads) - 1)
        return place, self.threads[place] == trace.events.thread[rows]

    def place(self, thread: Ints, ts_ns: Ints) -> Ints:
        """Where an instant of a thread lies on the line; instants outside the window at its ends."""
        return thread * (self.length + 1) + np.clip(ts_ns - self.start, 0, self.length)

    def cover(self, trace: Trace, rows: Ints) -> Intervals:
        """The union of event rows on their threads."""
        thread, known = self.number(trace, rows)
        rows, thread = rows[known], thread[known]
        starts = self.place(thread, trace.events.ts_ns[rows])
        return intervals.union(starts, self.place(thread, trace.events.end_ns[rows]))


class Host(msgspec.Struct, frozen=True):
    """h nodes of t threads, in order; times are places on ``line``."""

    line: Line
    main: int
    start: Ints
    end: Ints
    kind: Small
    tag: Small
    row: Ints  # (h,) event row of the call, -1 for others
    handed_by: Ints  # (h,) of waits the node whose end ends them, -1 for others
    call_rows: Ints  # event rows of all calls of the window, ascending …
    call_node: Ints  # … and the node of each: that of the outermost call around it

    @property
    def thread(self) -> Ints:
        """The thread of each node, (h,)."""
        return self.start // (self.line.length + 1)

    def node_of(self, rows: Ints) -> Ints:
        """The node of each call row; -1: not in the window."""
        place = np.minimum(np.searchsorted(self.call_rows, rows), max(0, len(self.call_rows) - 1))
        if not len(self.call_rows):
            return np.full(len(rows), -1, dtype=np.int64)
        return np.where(self.call_rows[place] == rows, self.call_node[place], -1)


class Parts(msgspec.Struct, frozen=True):
    """What the builder knows of the calls; all event rows."""

    launches: Ints
    synchronize: Ints
    copies: Ints  # that block


class Calls(msgspec.Struct, frozen=True):
    """The outermost calls of all threads, c of them, in order; times are places on the line."""

    began: Ints  # (c,)
    start: Ints  # (c,) when the one before has ended, and an upload is staged
    end: Ints  # (c,)
    row: Ints  # (c,) event row
    kind: Ints  # (c,)
    rows: Ints  # (n,) event rows of all calls, ascending …
    holder: Ints  # (n,) … and which of the c is or holds each


class HandOffs(msgspec.Struct, frozen=True):
    """Waits for another thread, w of them; times are places on the line."""

    start: Ints  # (w,)
    end: Ints  # (w,)
    ended: Ints  # (w,) the other thread's work, on its part of the line


def find_host(trace: Trace, window: Window, parts: Parts, device: Device) -> Host | None:
    """The host nodes; None where the window holds no call, or its threads are too many to number."""
    calls = trace.events.rows(*CALLS)
    ends_in = (trace.events.end_ns[calls] > window.start) | (trace.events.ts_ns[calls] >= window.start)
    calls = calls[ends_in & (trace.events.ts_ns[calls] < window.end + (not window.from_steps))]
    steps = _step_rows(trace)
    threads = distinct(np.concatenate((trace.events.thread[calls], trace.events.thread[steps]))).astype(np.int32)
    if not len(calls) or len(threads) * (window.length + 1) > np.iinfo(np.int64).max // 4:
        return None
    line = Line(threads, window.start, window.length)
    launches = both(parts.launches, trace.events.calls(*LAUNCHES))  # those of a capture start nothing
    main = _main(trace, line, steps, launches if len(launches) else calls)
    waits = _hand_offs(trace, window, line, calls, main)
    tags = _ranges(trace, line, parts, find_fetches(trace, window))
    bounds = line.place(np.full(window.count, main), np.append(window.step_starts[1:], window.step_ends[-1:]))
    cuts = [bounds, waits.ended, *(each.starts for each in tags.values()), *(each.ends for each in tags.values())]
    return _assemble(line, main, _outermost(trace, line, calls, device, parts), waits, tags, np.concatenate(cuts))


def _step_rows(trace: Trace) -> Ints:
    return rows_named(trace, trace.events.rows(Category.ANNOTATION), lambda name: fields.step_number(name) is not None)


def _main(trace: Trace, line: Line, steps: Ints, launches: Ints) -> int:
    """The thread that holds the steps, else the one that launches most outside the backward pass."""
    if not len(steps):  # a backward pass launches more than what asked for it, on a thread of its own
        nodes = line.cover(trace, rows_named(trace, trace.events.rows(Category.CPU_OP), _is_node))
        thread, known = line.number(trace, launches)
        at = trace.events.ts_ns[launches]
        forward = known & (at >= line.start) & ~intervals.covers(nodes, line.place(thread, at))
        launches = launches[forward] if forward.any() else launches
    thread, known = line.number(trace, steps if len(steps) else launches)
    return int(np.bincount(thread[known]).argmax()) if known.any() else 0


def _outermost(trace: Trace, line: Line, calls: Ints, device: Device, parts: Parts) -> Calls:
    """The calls that no other holds; of one that begins in another the part after that one."""
    thread, _ = line.number(trace, calls)
    start, end = line.place(thread, trace.events.ts_ns[calls]), line.place(thread, trace.events.end_ns[calls])
    order = np.lexsort((calls, -end, start))
    start, end, rows = start[order], end[order], calls[order]
    reach = np.maximum.accumulate(end)
    before = np.concatenate(([-1], reach[:-1]))
    outer = end > before
    holder = np.empty(len(calls), dtype=np.int64)
    holder[order] = np.cumsum(outer) - 1
    began, start, end, rows = start[outer], np.maximum(start, before)[outer], end[outer], rows[outer]
    staged = np.flatnonzero(device.staging)
    chosen = holder[np.searchsorted(calls, device.call[staged])]
    start[chosen] = np.minimum(start[chosen] + device.staging[staged], end[chosen])
    return Calls(began, start, end, rows, _kinds(rows, parts), calls, holder)


def _ranges(trace: Trace, line: Line, parts: Parts, fetches: Fetches) -> dict[Tag, Intervals]:
    """Where on the line each tag holds, the stronger first."""
    rows = trace.events.rows(Category.CPU_OP, Category.ANNOTATION)
    waits = both(parts.synchronize, parts.copies)
    items = line.cover(trace, rows_named(trace, rows, _is_item))
    thread, known = line.number(trace, waits)
    at = np.sort(line.place(thread[known], trace.events.ts_ns[waits[known]]))
    holds = np.searchsorted(at, items.ends) > np.searchsorted(at, items.starts)
    return {
        Tag.PROFILER: _overhead(trace, line),
        Tag.ITEM: Intervals(items.starts[holds], items.ends[holds]),
        Tag.INPUT: intervals.join(
            line.cover(trace, rows_named(trace, rows, is_dataloader)), _starts(trace, line, fetches)
        ),
        Tag.OPTIMIZER: line.cover(trace, rows_named(trace, rows, _is_optimizer)),
    }


def _starts(trace: Trace, line: Line, fetches: Fetches) -> Intervals:
    """Where the DataLoader's workers are made."""
    thread, known = line.number(trace, fetches.rows[fetches.starting])
    starts, ends = line.place(thread, fetches.starts.starts), line.place(thread, fetches.starts.ends)
    return intervals.union(starts[known], ends[known])


def _overhead(trace: Trace, line: Line) -> Intervals:
    """The profiler's own work on each thread, where that made no call meanwhile: else it ran on another."""
    held = overhead(trace)
    starts, ends = trace.events.ts_ns[held], trace.events.end_ns[held]
    threads = np.repeat(np.arange(len(line.threads)), len(held))
    starts, ends = (
        line.place(threads, np.tile(starts, len(line.threads))),
        line.place(threads, np.tile(ends, len(line.threads))),
    )
    rows = trace.events.rows(Category.CPU_OP, *CALLS)
    thread, known = line.number(trace, rows)
    began = np.sort(line.place(thread[known], trace.events.ts_ns[rows[known]]))
    still = np.searchsorted(began, ends, side="left") == np.searchsorted(began, starts, side="right")
    return intervals.union(starts[still], ends[still])


def _hand_offs(trace: Trace, window: Window, line: Line, calls: Ints, main: int) -> HandOffs:
    """The waits of the main thread, and of those that make most calls, for each other."""
    none = np.zeros(0, dtype=np.int64)
    ranges = rows_named(trace, trace.events.rows(Category.ANNOTATION), lambda n: is_dataloader(n) or _is_optimizer(n))
    operators = np.concatenate((trace.events.rows(Category.CPU_OP), ranges))
    inside = (trace.events.end_ns[operators] > window.start) & (trace.events.ts_ns[operators] < window.end)
    operators = operators[inside]
    thread, _ = line.number(trace, calls)
    busiest = np.argsort(-np.bincount(thread, minlength=len(line.threads)), kind="stable")[:MOST_THREADS]
    chosen = sorted({main, *busiest.tolist()})
    if len(chosen) < 2:  # noqa: PLR2004 - a hand-off needs two
        return HandOffs(none, none, none)
    rows = np.concatenate((operators, calls))
    by_thread = dict(grouped(trace.events.thread[rows]))
    busy = {}
    for each in chosen:
        mine = rows[by_thread.get(int(line.threads[each]), none)]
        busy[each] = _window_cover(trace, window, mine)
    steps = np.append(window.step_starts, window.step_ends) - window.start
    waits = [_waits_of(each, busy, line, main, steps if each == main else none) for each in chosen]
    return HandOffs(*(np.concatenate(column) for column in zip(*map(astuple, waits), strict=True)))


def _window_cover(trace: Trace, window: Window, rows: Ints) -> Intervals:
    """Union of event rows as ns after the start of the window."""
    held = window.cover(trace, rows)
    return Intervals(held.starts - window.start, held.ends - window.start)


def _waits_of(thread: int, busy: dict[int, Intervals], line: Line, main: int, steps: Ints) -> HandOffs:
    """The waits of one thread for any of the others."""
    gaps = intervals.gaps(busy[thread], 0, line.length)
    long = gaps.ends - gaps.starts >= SHORTEST_WAIT_NS
    starts, ends = gaps.starts[long], gaps.ends[long]
    if len(steps):  # a step begins or ends in it: the thread does something of its own
        crossed = np.searchsorted(np.sort(steps), ends, side="left") > np.searchsorted(np.sort(steps), starts, "right")
        starts, ends = starts[~crossed], ends[~crossed]
    ended, by = np.full(len(starts), -1, dtype=np.int64), np.full(len(starts), -1, dtype=np.int64)
    for other, held in busy.items():
        if other == thread or not len(held):
            continue
        share = intervals.covered_before(held, ends) - intervals.covered_before(held, starts)
        last = np.searchsorted(held.ends, ends, side="right") - 1
        at = np.where(last >= 0, held.ends[np.maximum(last, 0)], -1)
        soon = ends - at <= np.maximum(SOON_NS, SOON_SHARE * (ends - starts))
        enough = 0.0 if other == main else BUSY_SHARE
        hands = (share >= enough * (ends - starts)) & (at > starts) & soon & (at > ended)
        hands &= ends < line.length  # the last gap is ended by nothing
        ended[hands], by[hands] = at[hands], other
    chosen = by >= 0
    here, there = thread * (line.length + 1), by[chosen] * (line.length + 1)
    return HandOffs(here + starts[chosen], here + ended[chosen], there + ended[chosen])


def _assemble(line: Line, main: int, calls: Calls, waits: HandOffs, tags: dict[Tag, Intervals], cuts: Ints) -> Host:
    """Calls and waits in order, and the segments between them."""
    start, end = np.concatenate((calls.start, waits.start)), np.concatenate((calls.end, waits.end))
    order = np.lexsort((end, start))
    free = _segments(line, start[order], end[order], cuts)
    start, end = np.concatenate((start, free.starts)), np.concatenate((end, free.ends))
    kind = np.repeat((Kind.WAIT, Kind.SEGMENT), (len(waits.start), len(free)))
    kind = np.concatenate((calls.kind, kind))
    row = np.concatenate((calls.row, np.full(len(start) - len(calls.row), -1)))
    order = np.lexsort((np.arange(len(start)), end, start))
    start, end, kind, row = start[order], end[order], kind[order], row[order]
    node = np.empty(len(order), dtype=np.int64)
    node[order] = np.arange(len(order))
    handed = np.full(len(start), -1, dtype=np.int64)
    handed[node[len(calls.row) :][: len(waits.start)]] = _ending_at(start, end, waits.ended)
    tag = _tag(start, end, kind, tags, calls)
    return Host(line, main, start, end, kind.astype(np.uint8), tag, row, handed, calls.rows, node[calls.holder])


def _segments(line: Line, start: Ints, end: Ints, cuts: Ints) -> Intervals:
    """What the ordered (start, end) leave free of every thread's window, cut at ``cuts``."""
    threads = np.arange(len(line.threads))
    origin = threads * (line.length + 1)
    opens, closes = np.concatenate((origin, end)), np.concatenate((start, origin + line.length))
    opens, closes = np.sort(opens), np.sort(closes)  # nothing overlaps, so the n-th to open is the n-th to close
    real = closes > opens
    opens, closes = opens[real], closes[real]
    if not len(opens):
        return Intervals(opens, closes)
    cuts = np.unique(cuts)
    place = np.maximum(np.searchsorted(opens, cuts, side="right") - 1, 0)
    cuts = cuts[(cuts > opens[place]) & (cuts < closes[place])]
    starts = np.sort(np.concatenate((opens, cuts)))
    return Intervals(starts, np.sort(np.concatenate((closes, cuts))))


def _kinds(rows: Ints, parts: Parts) -> Ints:
    kind = np.full(len(rows), int(Kind.CALL))
    kind[np.isin(rows, parts.launches)] = Kind.LAUNCH
    kind[np.isin(rows, parts.synchronize)] = Kind.SYNC
    kind[np.isin(rows, parts.copies)] = Kind.COPY_CALL
    return kind


def _tag(start: Ints, end: Ints, kind: Ints, tags: dict[Tag, Intervals], calls: Calls) -> Small:
    """The strongest tag that holds at each node."""
    middle, found = (start + end) // 2, np.full(len(start), Tag.NONE, dtype=np.uint8)
    for tag, held in reversed(tags.items()):
        found[intervals.covers(held, middle)] = tag
    later = calls.began < calls.start
    staged = np.isin(end, calls.start[later]) & (kind == Kind.SEGMENT) & np.isin(start, calls.began[later])
    found[staged & (found == Tag.NONE)] = Tag.STAGING
    return found


def _ending_at(start: Ints, end: Ints, at: Ints) -> Ints:
    """The last node that ends at or before each place, on the same thread."""
    order = np.lexsort((np.arange(len(end)), start, end))
    found: Ints = order[np.maximum(np.searchsorted(end[order], at, side="right") - 1, 0)]
    return found
