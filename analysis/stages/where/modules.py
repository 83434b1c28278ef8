"""Host time, device time and launches by ``nn.Module``, forward and backward.

A trace recorded with stacks holds a row ``nn.Module: Linear_3`` for each call of a module through ``model(x)``; the
number tells the instances of a class apart, in order of their first call, and is no path: the tree comes from which
call lies in which. Work belongs to the innermost module open on its thread when its call starts; work of a backward
node belongs to the module of its forward operator, as backward. *Self* leaves out the modules inside, *total* does
not. Annotations of the same form count alike. Where an attribution trace was joined (``join.py``) its modules stand in
their place, with qualified names; a call then lasts from its first operator to its last.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.ranges import Ranges, nest, sums, sums_around
from stallscope.analysis.columns.rows import grouped, matches, rows_named
from stallscope.analysis.stages.where.backward import Backward
from stallscope.analysis.stages.where.joined import Joined
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Bools, Ints, Trace

NO_MODULE: Final = "(no module)"
PREFIX: Final = "nn.Module: "
_is_module: Final = matches(re.compile(re.escape(PREFIX)))


@dataclass(frozen=True, slots=True)
class ModuleTotals:
    """One module instance over the window; times in ns."""

    name: str  # "Linear_3"
    parent: str | None = None  # the module around it (the most frequent, where several are); None at the top
    calls: int = 0  # that start inside
    host_ns: int = 0  # in its calls, forward
    host_self_ns: int = 0
    device_forward_ns: int = 0
    device_forward_self_ns: int = 0
    device_backward_ns: int = 0
    device_backward_self_ns: int = 0
    launches: int = 0  # forward and backward
    launches_self: int = 0


@dataclass(frozen=True, slots=True)
class Modules:
    """The module calls of a trace and their totals by name."""

    calls: Ranges
    names: tuple[str, ...]  # (r,) of each call in ``calls.rows``
    totals: tuple[ModuleTotals, ...]  # most device time of their own first, then host time
    outside_device_ns: int  # device work that belongs to no module
    outside_launches: int

    @property
    def known(self) -> bool:
        """Whether the trace tells of any module."""
        return len(self.names) > 0

    def conserved(self, trace: Trace, window: Window, launches: Launches) -> bool:
        """Whether self figures and what lies outside sum to the totals of the window."""
        device = sum(m.device_forward_self_ns + m.device_backward_self_ns for m in self.totals)
        own = sum(m.host_self_ns for m in self.totals)
        calls = self.calls
        unions = (intervals.union(calls.starts[mine], calls.ends[mine]) for _, mine in grouped(calls.threads))
        covered = sum(intervals.total(window.clip(union)) for union in unions)
        return (
            device + self.outside_device_ns == int(window.durations(trace, trace.work.row).sum())
            and sum(m.launches_self for m in self.totals) + self.outside_launches == len(launches.calls)
            and own == covered
        )


def find_modules(
    trace: Trace, window: Window, launches: Launches, backward: Backward, joined: Joined | None = None
) -> Modules:
    """Give the window's device work, launches and host time to modules: those of ``joined``, else of the trace."""
    calls, names = _calls(trace, joined)
    work, is_backward = backward.homes(trace, calls, launches.work_call)
    started, _ = backward.homes(trace, calls, launches.calls)
    device_ns = window.durations(trace, trace.work.row)
    totals = _totals(window, calls, names, (work, is_backward, device_ns), started)
    return Modules(
        calls,
        names,
        tuple(sorted(totals, key=_own_most)),
        outside_device_ns=int(device_ns[work < 0].sum()),
        outside_launches=int((started < 0).sum()),
    )


def _calls(trace: Trace, joined: Joined | None) -> tuple[Ranges, tuple[str, ...]]:
    """The calls of modules and the name of each."""
    if joined is not None and len(joined.modules.labels):
        return joined.modules, tuple(joined.module_names[i] for i in joined.modules.labels.tolist())
    calls = nest(trace, rows_named(trace, trace.events.rows(Category.PYTHON, Category.ANNOTATION), _is_module))
    strings = {i: trace.strings[i].removeprefix(PREFIX) for i in np.unique(calls.labels).tolist()}
    return calls, tuple(strings[i] for i in calls.labels.tolist())


def _own_most(module: ModuleTotals) -> tuple[int, int, str]:
    return -(module.device_forward_self_ns + module.device_backward_self_ns), -module.host_self_ns, module.name


def _totals(
    window: Window,
    calls: Ranges,
    names: tuple[str, ...],
    work: tuple[Ints, Bools, Ints],  # position of each device row's module, whether backward, ns
    started: Ints,  # position of each launch's module
) -> list[ModuleTotals]:
    labels = sorted(set(names))
    number_of = {label: i for i, label in enumerate(labels)}
    group, size = np.array([number_of[name] for name in names], dtype=np.int64), len(labels)
    position, is_backward, ns = work
    inside, host_ns = window.holds(calls.starts), window.inside(calls.starts, calls.ends)

    def shared(of: Ints, values: Ints) -> tuple[Ints, Ints]:
        """(self, total) by name of ``values`` that belong to the positions ``of``."""
        return _own(group, of, values, size), sums_around(calls.parent, calls.outermost, group, of, values, size)

    forward = shared(position, np.where(is_backward, 0, ns))
    backward = shared(position, np.where(is_backward, ns, 0))
    counts = shared(started, np.ones(len(started), dtype=np.int64))
    host = (
        sums(group, np.where(calls.outermost, host_ns, 0), size),
        sums(group, calls.forest.self_ns(window.place), size),
    )
    number = sums(group, inside, size)
    parents = _parents(calls, names)
    columns = (number, *host, forward[1], forward[0], backward[1], backward[0], counts[1], counts[0])
    found = [
        ModuleTotals(label, parents[label], *(int(column[i]) for column in columns)) for i, label in enumerate(labels)
    ]
    return [module for module in found if module.calls or module.host_ns or module.device_backward_ns]


def _own(group: Ints, of: Ints, values: Ints, size: int) -> Ints:
    known = of >= 0
    return sums(group[of[known]], values[known], size)


def _parents(calls: Ranges, names: tuple[str, ...]) -> dict[str, str | None]:
    seen: dict[str, Counter[str]] = {name: Counter() for name in names}
    for name, parent in zip(names, calls.parent.tolist(), strict=True):
        if parent >= 0:
            seen[name][names[parent]] += 1
    return {name: min(counts, key=lambda p: (-counts[p], p)) if counts else None for name, counts in seen.items()}
