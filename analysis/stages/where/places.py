"""Where in the program a runtime call was made: operators around it, module, Python function, line.

A line is claimed only where the file holds it: the ``Call stack`` of an operator (files of 2021 and Meta's builds)
gives the lines of the calls. A Python frame (``with_stack=True``) is named ``train.py(6): helper`` after the line where
the function is *defined*, so it tells the function, never the line of the call.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns.ranges import nest
from stallscope.analysis.columns.rows import distinct, numbered, rows_named
from stallscope.analysis.stages.where.backward import Backward
from stallscope.analysis.stages.where.frames import function_name, user_frame, user_line
from stallscope.analysis.stages.where.joined import Joined
from stallscope.analysis.stages.where.modules import Modules
from stallscope.analysis.stages.where.operators import Operators
from stallscope.analysis.stages.where.site_names import SiteName
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Bools, Ints, Trace

DEEPEST: Final = 64  # operators around a call that are looked at
CHAIN: Final = " < "  # aten::to < aten::_to_copy < aten::copy_: the outer operator first
Chain = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Place:
    """One place in the program; what the trace does not tell is None."""

    operator: str | None  # as the user wrote it: "aten::to"
    chain: str | None  # from that operator to the innermost: "aten::to < aten::_to_copy < aten::copy_"
    module: str | None  # innermost nn.Module to whose forward or backward it belongs: "Linear_3", "encoder.layers.3"
    function: str | None  # innermost function of the user's: "helper (train.py:6)", the line of its definition
    call_site: str | None  # "train.py:47", the line of the call
    thread: str
    site: SiteName | None = None  # of ``call_site``, where an attribution window told it


NOWHERE: Final = Place(None, None, None, None, None, "")


@dataclass(frozen=True, slots=True)
class Places:
    """Tells the places of calls: by the trace's own rows, and by the marks of an attribution trace joined to it."""

    trace: Trace
    operators: Operators
    modules: Modules
    backward: Backward
    joined: Joined | None = None

    def of(self, rows: Ints) -> list[Place]:
        """The place of each of the given calls (event rows), in their order."""
        trace, operators = self.trace, self.operators
        parents = operators.parent[rows].tolist()
        chains = _chains(trace, operators, operators.parent[rows])
        told = _lines(trace, operators, set(parents))
        threads = [_thread_name(trace, thread) for thread in trace.events.thread[rows].tolist()]
        modules, functions, sites = self._modules(rows), self._functions(rows), self._sites(rows)
        lines = [site.line if site else told.get(parent) for site, parent in zip(sites, parents, strict=True)]
        columns = zip(chains, modules, functions, lines, threads, sites, strict=True)
        return [Place(outer, chain, *rest) for (outer, chain), *rest in columns]

    def _modules(self, rows: Ints) -> list[str | None]:
        names = (*self.modules.names, None)  # position -1 is the last
        return [names[i] for i in self.backward.homes(self.trace, self.modules.calls, rows)[0].tolist()]

    def _functions(self, rows: Ints) -> list[str | None]:
        if self.joined is not None and len(self.joined.functions.rows):
            found, names = self.joined.functions, (*self.joined.function_names, None)
            labels = np.append(found.labels, -1)[found.at(self.trace, rows)]
            return [names[i] for i in labels.tolist()]
        return _functions(self.trace, rows)

    def _sites(self, rows: Ints) -> list[SiteName | None]:
        if self.joined is None:
            return [None] * len(rows)
        names = (*self.joined.site_names, None)
        return [names[i] for i in self.joined.site_of(self.trace, rows).tolist()]


def _chains(trace: Trace, operators: Operators, inner: Ints) -> list[Chain]:
    """The chain around each operator row ``inner`` (-1: none), outwards as far as the innermost's library goes."""
    levels = [inner]
    libraries: dict[str, int] = {}
    number = {
        n: libraries.setdefault(_library(trace.strings[n]), len(libraries)) for n in _names_around(trace, operators)
    }
    library = np.full(len(trace.strings) + 1, -1, dtype=np.int64)
    library[list(number)] = list(number.values())
    while (levels[-1] >= 0).any() and len(levels) < DEEPEST:
        here = levels[-1]
        around = np.where(here >= 0, operators.parent[here], -1)
        same = (around >= 0) & (library[trace.events.name[around]] == library[trace.events.name[here]])
        levels.append(np.where(same, around, -1))
    names = [np.where(level >= 0, trace.events.name[level], -1) for level in levels]
    equal = [_equal(trace, below, above) for below, above in itertools.pairwise(levels)]
    group = np.zeros(len(inner), dtype=np.int64)
    for column in (*names, *equal):
        _, group = numbered(group * (len(trace.strings) + 1) + column)
    _, first = np.unique(group, return_index=True)
    texts = [_text(trace, [n[i] for n in names], [e[i] for e in equal]) for i in first.tolist()]
    return [texts[each] for each in group.tolist()]


def _names_around(trace: Trace, operators: Operators) -> list[int]:
    found: list[int] = distinct(trace.events.name[operators.rows]).tolist()
    return found


def _library(name: str) -> str:
    return name.partition("::")[0]


def _equal(trace: Trace, below: Ints, above: Ints) -> Ints:
    """Whether two ranges, one in the other, begin and end together."""
    starts, ends = trace.events.ts_ns, trace.events.end_ns
    same: Bools = (above >= 0) & (starts[below] == starts[above]) & (ends[below] == ends[above])
    return same.astype(np.int64)


def _text(trace: Trace, names: list[int], equal: list[int]) -> Chain:
    """(the outer operator, the chain from it inwards) of names from the inner to the outer, -1 for none.

    Where rounding to µs made two ranges equal, the one whose name begins with ``_`` is the inner.
    """
    told = [trace.strings[name] for name in names if name >= 0]
    for i in reversed(range(len(told) - 1)):
        if equal[i] and _is_inner(told[i + 1]) and not _is_inner(told[i]):
            told[i : i + 2] = told[i + 1], told[i]
    return (told[-1], CHAIN.join(reversed(told))) if told else (None, None)


def _is_inner(name: str) -> bool:
    return name.rpartition("::")[2].startswith("_")


def _thread_name(trace: Trace, number: int) -> str:
    thread = trace.threads[number]
    return thread.name or f"thread {thread.tid}"


def _functions(trace: Trace, rows: Ints) -> list[str | None]:
    """The innermost function of the user's around each row, where the trace holds Python frames."""
    frames = nest(
        trace, rows_named(trace, trace.events.rows(Category.PYTHON), lambda name: user_frame(name) is not None)
    )
    labels = np.append(frames.labels, -1)[frames.at(trace, rows)].tolist()
    names = {i: function_name(trace.strings[i]) for i in set(labels) if i >= 0}
    return [names.get(i) for i in labels]


def _lines(trace: Trace, operators: Operators, parents: set[int]) -> dict[int, str]:
    """For each operator row the line of the user's that led to it, where it or one around it has a call stack."""
    stack_of = dict(zip(trace.origins.stack_row.tolist(), trace.origins.stack.tolist(), strict=True))
    found: dict[int, str] = {}
    for parent in parents if stack_of else ():
        row = parent
        for _ in range(DEEPEST):
            if row < 0 or row in stack_of:
                break
            row = int(operators.parent[row])
        line = user_line(trace.origins.stacks[stack_of[row]]) if row in stack_of else None
        if line is not None:
            found[parent] = line
    return found
