"""Blocks of typed events → the columns of a ``Trace``: intern, collect, sort.

The rows come out in the order that ``Events`` documents, strings and threads sorted by their text, so the order of
the events in the file never shows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stallscope.traces.model import fields
from stallscope.traces.model.fields import Category
from stallscope.traces.model.interner import Interner
from stallscope.traces.model.trace import Bools, DeviceWork, Events, Ints, MemorySamples, OptionalInts, Origins, Thread
from stallscope.traces.read.decode import Args, Block
from stallscope.traces.read.kinds import call_kinds
from stallscope.traces.read.origins import OriginArrays, OriginStore
from stallscope.traces.read.work import WorkArrays, WorkStore, ordinal
from stallscope.traces.text.values import NO_ID, integer

WORK = frozenset({Category.KERNEL, Category.MEMCPY, Category.MEMSET})
Ids = NDArray[np.int32]


@dataclass(slots=True)
class Counts:
    """What was met on the way and is told as issues."""

    total: int = 0
    malformed: int = 0
    paired: int = 0
    negative: int = 0
    unfinished: int = 0


@dataclass(frozen=True, slots=True)
class Columns:
    """Everything of a ``Trace`` that comes from its events."""

    events: Events
    work: DeviceWork
    memory: MemorySamples
    origins: Origins
    strings: tuple[str, ...]
    threads: tuple[Thread, ...]
    categories: Mapping[str, int]  # as spelled → count
    counts: Counts


class ColumnStore:
    """Collects blocks with ``add`` and makes the columns with ``finish``."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._rows = 0
        self._names, self._cats, self._pids, self._tids = Interner(), Interner(), Interner(), Interner()
        self._event_parts: list[tuple[NDArray[Any], ...]] = []
        self._origins = OriginStore()
        self._work = WorkStore()
        self._memory: list[tuple[int, bool, int, int | None, int | None, int | None, int | None]] = []
        self._thread_names: dict[tuple[str, str], str] = {}

    # -- collecting -------------------------------------------------------------------------------------------------

    def add(self, block: Block) -> None:
        """Take in one block.

        Raises:
            OverflowError: a correlation id does not fit 64 bits.

        """
        events, ts, dur = block.complete, block.ts_ns, block.dur_ns
        cat = self._cats.column("cat", events)
        instant = self._cats.get("cpu_instant_event", -1)
        if (cat == instant).any():  # torch's Python exporter writes [memory] instants as complete events
            self._add_memory([events[i] for i in np.flatnonzero(cat == instant)], ts[cat == instant])
            events = [events[i] for i in np.flatnonzero(cat != instant)]
            ts, dur, cat = ts[cat != instant], dur[cat != instant], cat[cat != instant]
        args = list(map(attrgetter("args"), events))
        correlation = np.fromiter(map(attrgetter("correlation"), args), np.int64, len(args))
        ids = (self._names.column("name", events), self._pids.column("pid", events), self._tids.column("tid", events))
        self._origins.add(self._kinds()[cat], args, self._rows)
        self._add_shapes(ids[0], args)
        self._event_parts.append((ts, np.maximum(dur, 0), cat.astype(np.int16), *ids, correlation))
        self._add_work(cat, events, args)
        self._add_memory(block.memory, block.memory_ns)
        self._add_thread_names(block)
        self._count(block, dur, args)
        self._rows += len(events)

    def _count(self, block: Block, dur: Ints, args: list[Args]) -> None:
        self.counts.total += block.total
        self.counts.malformed += block.malformed
        self.counts.paired += block.paired
        self.counts.negative += int((dur < 0).sum())
        self.counts.unfinished += len(args) - sum(map(attrgetter("finished"), args))

    def _kinds(self) -> NDArray[np.uint8]:
        """The category of each spelling met so far; of a 2021 ``Operator``, not yet told from an annotation."""
        return np.array([fields.CATEGORIES.get(name, Category.OTHER) for name in self._cats], np.uint8)

    def _add_work(self, cat: Ids, events: list[Any], args: list[Args]) -> None:
        is_work = np.array([fields.CATEGORIES.get(name) in WORK for name in self._cats], np.bool_)
        rows = np.flatnonzero(is_work[cat])
        if len(rows):
            chosen = rows.tolist()
            self._work.add(rows + self._rows, [events[i] for i in chosen], [args[i] for i in chosen])

    def _add_shapes(self, name: Ids, args: list[Args]) -> None:
        wanted = [self._names[text] for text in fields.WITH_SHAPES if text in self._names]
        rows = np.flatnonzero(np.isin(name, wanted))
        self._origins.add_shapes(rows + self._rows, [args[i] for i in rows.tolist()])

    def _add_memory(self, events: list[Any], at_ns: Ints) -> None:
        for event, ts in zip(events, at_ns.tolist(), strict=True):
            if event.name == fields.MEMORY_EVENT:
                args = event.args
                host = args.device_type in (None, fields.MEMORY_DEVICE_HOST)
                device = 0 if host else max(0, ordinal(args.device_id))
                totals = integer(args.total_allocated), integer(args.total_reserved)
                self._memory.append((ts, not host, device, *totals, integer(args.size), integer(args.address)))

    def _add_thread_names(self, block: Block) -> None:
        for event in block.names:
            name, key = event.args.name, (str(event.pid), str(event.tid))
            if name is not None:  # told twice: the first by text, so that order never shows
                self._thread_names[key] = min(name, self._thread_names.get(key, name))

    # -- finishing --------------------------------------------------------------------------------------------------

    def finish(self) -> Columns:
        """The columns of everything taken in, in canonical order. Call once."""
        ts, dur, cat, name, pid, tid, correlation = self._joined()
        strings, text_rank = _sorted_strings(self._names)
        category = self._categories(cat, name, strings, text_rank)
        name = text_rank[name]
        threads, thread = self._threads(pid, tid)
        work = self._work.finish()
        origins = self._origins.finish()
        order = _canonical_order((ts, -dur, category, name, thread, correlation), work, origins)
        known = correlation != NO_ID
        ids = OptionalInts(np.where(known, correlation, 0), known)
        kinds = call_kinds(category, name, strings)
        events = Events(ts, dur, category, kinds, name, thread, ids).of(order)
        spelled = {
            str(text): int(n) for text, n in zip(self._cats, np.bincount(cat, minlength=len(self._cats)), strict=True)
        }
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        found = work.ordered(place, events, strings), self._memory_samples(), origins.ordered(place)
        return Columns(events, *found, strings, threads, spelled, self.counts)

    def _joined(self) -> list[NDArray[Any]]:
        empty: list[NDArray[Any]] = [np.zeros(0, kind) for kind in ("i8", "i8", "i2", "i4", "i4", "i4", "i8")]
        joined = [np.concatenate(parts) for parts in zip(empty, *self._event_parts, strict=True)]
        self._event_parts.clear()
        return joined

    def _categories(self, cat: NDArray[Any], name: Ids, strings: tuple[str, ...], rank: Ids) -> NDArray[np.uint8]:
        kinds = self._kinds()
        category: NDArray[np.uint8] = kinds[cat] if len(kinds) else np.zeros(0, np.uint8)
        operator = self._cats.get(fields.OPERATOR_2021)
        if operator is not None:
            annotation = np.array([fields.is_annotation(text) for text in strings], np.bool_)[rank]
            category[(cat == operator) & annotation[name]] = Category.ANNOTATION
        first, last = bisect_left(strings, fields.MARK_PREFIX), bisect_left(strings, fields.BEYOND_MARKS)
        if first < last:  # marks made by _RecordFunctionFast have the category of operators
            place = rank[name]
            category[(place >= first) & (place < last) & (category == Category.CPU_OP)] = Category.ANNOTATION
        return category

    def _threads(self, pid: Ids, tid: Ids) -> tuple[tuple[Thread, ...], Ids]:
        pids, tids = [str(p) for p in self._pids], [str(t) for t in self._tids]
        pair = pid.astype(np.int64) * len(tids) + tid
        used = np.unique(pair)
        place = np.searchsorted(used, pair)  # few are distinct: quicker than sorting them all
        keys = [(pids[p // len(tids)], tids[p % len(tids)]) for p in used.tolist()]
        ordered = sorted(set(keys))
        rank = {key: i for i, key in enumerate(ordered)}
        threads = tuple(Thread(pid, tid, self._thread_names.get((pid, tid))) for pid, tid in ordered)
        return threads, np.array([rank[key] for key in keys], np.int32)[place]

    def _memory_samples(self) -> MemorySamples:
        rows = sorted(self._memory, key=lambda row: tuple(-1 if value is None else value for value in row))
        ts, on_device, device, *others = zip(*rows, strict=True) if rows else ((),) * 7
        return MemorySamples(
            np.array(ts, np.int64),
            np.array(on_device, np.bool_),
            np.array(device, np.int32),
            *map(_optional, others),
        )


def _sorted_strings(names: Interner) -> tuple[tuple[str, ...], Ids]:
    """The strings in order of text, and for each interned id its place there."""
    texts = list(names)
    order = sorted(range(len(texts)), key=texts.__getitem__)
    rank = np.empty(len(texts), np.int32)
    rank[order] = np.arange(len(texts), dtype=np.int32)
    return tuple(texts[i] for i in order), rank


def _optional(values: Any) -> OptionalInts:
    known = np.array([value is not None for value in values], np.bool_)
    return OptionalInts(np.array([0 if value is None else value for value in values], np.int64), known)


def _canonical_order(keys: tuple[NDArray[Any], ...], work: WorkArrays, origins: OriginArrays) -> Ints:
    """The order by ``keys``, first one first: by time at once, the rest only within ties."""
    ts = keys[0]
    order = np.argsort(ts, kind="stable")
    tied = _tied(ts[order])
    if tied.any():
        places = np.flatnonzero(tied)
        rows = order[places]
        extra = [*work.tie_keys(rows, len(ts)), *origins.tie_keys(rows, len(ts))]
        within = np.lexsort([*reversed(extra), *(key[rows] for key in reversed(keys))])
        order[places] = rows[within]
    return order


def _tied(ordered: Ints) -> Bools:
    """Which entries of the sorted ``ordered`` equal a neighbour."""
    same = ordered[1:] == ordered[:-1]
    tied = np.zeros(len(ordered), np.bool_)
    tied[:-1] |= same
    tied[1:] |= same
    return tied
