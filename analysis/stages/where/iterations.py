"""Iterations of a training in a trace that marks no steps, or whose one step holds several of them.

What a loop does once an iteration marks it, in this order: the step of its optimizer (``Optimizer.step#…``), the fetch
of a batch (``enumerate(DataLoader)#…``), a device's copy of the steps, an annotation of the program's own that comes
back again and again. An iteration begins with the first fetch after an optimizer step, or, where none is fetched, when
the optimizer step before it ends: what is read and logged belongs to the iteration that it follows.

What comes before the first whole iteration and after the last is no part of any: start-up and shut-down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from stallscope.analysis.columns.rows import matches, rows_named
from stallscope.traces.model import fields
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Ints, Trace

Source = Literal["profiler_step", "optimizer", "dataloader", "annotation", "whole_trace"]

FEWEST: Final = 2  # whole iterations: fewer tell nothing of what a loop repeats
COUNTED: Final = 0.5  # of the ranges, that have a name of their own where its number counts them
COVERED: Final = 0.5  # of the time from its first to its last, from which an annotation is the loop's body
SEVERAL: Final = 8  # iterations in each of several marked steps, from which the marks are not the iterations

is_optimizer_step: Final = matches(re.compile(r"Optimizer\.step#"))
is_fetch: Final = matches(re.compile(r"enumerate\(Data(Loader|Pipe)\)#"))
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Iterations:
    """n whole iterations that follow each other without a gap."""

    bounds: Ints  # (n + 1,) ns, ascending
    source: Source

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.bounds) - 1

    def within(self, start: int, end: int) -> Iterations:
        """Those that lie inside a stretch of time."""
        return Iterations(self.bounds[(self.bounds >= start) & (self.bounds <= end)], self.source)


def find_iterations(trace: Trace) -> Iterations | None:
    """The iterations of a trace without marked steps; None: nothing in it repeats."""
    candidates = (_by_optimizer(trace), _by_fetch(trace), _by_device_marks(trace), _by_annotation(trace))
    return next((found for found in candidates if found is not None and found.count >= FEWEST), None)


def inside_steps(trace: Trace, starts: Ints, ends: Ints) -> Iterations | None:
    """The iterations inside marked steps, where each of these holds several; None: a step is an iteration.

    One step that holds three or more optimizer steps or fetches is an epoch, or a whole recording. Of several steps
    each must hold eight or more fetches, and as many in one as in another: two networks that are trained in turn
    make a few optimizer steps an iteration.
    """
    iterations = _by_optimizer(trace) or _by_fetch(trace)
    if iterations is None or not len(starts):
        return None
    if len(starts) == 1:
        inside = iterations.within(int(starts[0]), int(ends[0]))
        return inside if inside.count >= FEWEST else None
    fetches = _by_fetch(trace)
    if fetches is None:
        return None
    held = np.searchsorted(fetches.bounds, ends) - np.searchsorted(fetches.bounds, starts)
    inside = fetches.within(int(starts[0]), int(ends[-1]))
    return inside if held.min() >= SEVERAL and held.max() - held.min() <= 1 else None


def _by_optimizer(trace: Trace) -> Iterations | None:
    """By the optimizer that steps least often: of two that are stepped in turn either would do."""
    rows = rows_named(trace, trace.events.rows(Category.ANNOTATION, Category.CPU_OP), is_optimizer_step)
    if not len(rows):
        return None
    names, counts = np.unique(trace.events.name[rows], return_counts=True)
    chosen = rows[trace.events.name[rows] == names[np.argmin(counts)]]
    ends = np.sort(trace.events.end_ns[chosen])
    fetches = _fetch_starts(trace)
    if len(fetches) < FEWEST:
        return _iterations(ends, "optimizer")
    after = np.searchsorted(fetches, ends)
    opens = np.concatenate((fetches[:1], fetches[after[after < len(fetches)]]))
    begun = opens[opens < ends[-1]]
    closes = fetches[fetches >= ends[-1]][:1]
    return _iterations(np.concatenate((begun, closes if len(closes) else ends[-1:])), "optimizer")


def _by_fetch(trace: Trace) -> Iterations | None:
    return _iterations(_fetch_starts(trace), "dataloader")


def _fetch_starts(trace: Trace) -> Ints:
    rows = rows_named(trace, trace.events.rows(Category.ANNOTATION, Category.CPU_OP), is_fetch)
    starts: Ints = np.sort(trace.events.ts_ns[rows])
    return starts


def _by_device_marks(trace: Trace) -> Iterations | None:
    """By the starts of the device's copies of steps: their ends follow one thread and one stream."""
    rows = rows_named(
        trace, trace.events.rows(Category.DEVICE_ANNOTATION), lambda name: fields.step_number(name) is not None
    )
    _, first = np.unique(trace.events.name[rows], return_index=True)  # rows ascend in time
    return _iterations(np.sort(trace.events.ts_ns[rows[first]]), "annotation")


def _by_annotation(trace: Trace) -> Iterations | None:
    """By the annotation whose ranges follow each other and hold most of the time."""
    best, held = None, 0
    for rows in _alike(trace, trace.events.rows(Category.ANNOTATION)):
        bounds, covered = _back_to_back(trace, rows)
        if bounds is not None and covered > held:
            best, held = bounds, covered
    return None if best is None else _iterations(best, "annotation")


def _alike(trace: Trace, rows: Ints) -> Iterator[Ints]:
    """The ranges of each name, or of all that differ in a number alone where that counts: most come once."""
    kinds: dict[str, list[int]] = {}
    for name in np.unique(trace.events.name[rows]).tolist():
        kinds.setdefault(_NUMBER.sub("#", trace.strings[name]), []).append(name)
    for names in kinds.values():
        mine = rows[np.isin(trace.events.name[rows], names)]
        if len(names) >= COUNTED * len(mine):
            yield mine
        else:
            yield from (rows[trace.events.name[rows] == name] for name in names)


def _back_to_back(trace: Trace, rows: Ints) -> tuple[Ints | None, int]:
    """(starts of the ranges and the end of the last, ns they hold); None where they overlap or hold too little."""
    starts, ends = trace.events.ts_ns[rows], trace.events.end_ns[rows]
    if len(rows) <= FEWEST or (ends[:-1] > starts[1:]).any() or len(np.unique(trace.events.thread[rows])) > 1:
        return None, 0
    covered = len(rows) * int(np.median(ends - starts))  # by the usual one: a single long range is no loop
    return (np.append(starts, ends[-1]), covered) if covered >= COVERED * int(ends[-1] - starts[0]) else (None, 0)


def _iterations(bounds: Ints, source: Source) -> Iterations | None:
    distinct = np.unique(bounds)
    return Iterations(distinct, source) if len(distinct) > FEWEST else None
