"""What the fixes look at: the graph, who launched what, which nodes belong to a read, a copy, the optimizer.

A fix is found by looking at the trace as it is (``Subject``), and made by changing a graph with the same nodes: so
several can be made one after another.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

import msgspec
import numpy as np

from stallscope.analysis.causes.facts import GpuFacts
from stallscope.analysis.causes.python_time import python_nodes
from stallscope.analysis.causes.waiting import after_check
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import matches, rows_named
from stallscope.analysis.replay.graph import Graph, Kind, Link, Tag, Work
from stallscope.analysis.stages.activity import is_dataloader
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.fields import Category, Direction, KernelFamily, Memory
from stallscope.traces.model.manifest import CpuRun
from stallscope.traces.model.trace import Bools, Ints
from stallscope.traces.vendors.kernels import kernel_kind

MERGED: Final = ("pointwise", "reduction")
LONG_NS: Final = 300_000  # that no launch is prepared for
IN_OPERATORS: Final = 0.5  # of a stretch, from which it is operators that take the time
_is_read: Final = matches(re.compile(r"aten::item$"))
_is_optimizer: Final = matches(re.compile(r"Optimizer\.step#"))


class Subject(msgspec.Struct, frozen=True, dict=True):
    """A trace as the fixes see it. Masks have shape (n,), n nodes."""

    stages: Stages
    facts: GpuFacts
    graph: Graph
    cpu_run: CpuRun | None = None
    part: str | None = None  # what was replayed, where that is not all

    @property
    def passes(self) -> int:
        """Passes over the window that time a step: two where it has steps, so that the second is in a steady state."""
        return 1 if self.stages.window.source == "whole_trace" else 2

    @cached_property
    def launcher(self) -> Ints:
        """The call that started each device node; -1: none, or no device node."""
        edges = self.graph.edges
        found = np.full(len(self.graph), -1, dtype=np.int64)
        of_launch = edges.link == Link.LAUNCH
        found[edges.target[of_launch]] = edges.source[of_launch]
        return found

    def launched_by(self, callers: Bools) -> Bools:
        """The device nodes that the given host nodes started."""
        found: Bools = (self.launcher >= 0) & callers[np.maximum(self.launcher, 0)]
        return found

    @cached_property
    def host(self) -> Bools:
        """The host's nodes."""
        return ~self.graph.on_device

    @cached_property
    def input(self) -> Bools:
        """Host nodes inside the DataLoader."""
        found: Bools = self.host & (self.graph.tag == Tag.INPUT)
        return found

    @cached_property
    def reads(self) -> Bools:
        """Host nodes of ``.item()`` and its like that wait for the device, and the copies they start."""
        callers: Bools = self.host & (self.graph.tag == Tag.ITEM)
        return callers | self.launched_by(callers)

    @cached_property
    def losses(self) -> Bools:
        """Those of the reads that the script makes to know a value: it may do so less often, or later.

        No read of the optimizer's, of GradScaler's, in a backward pass, in a fetch, or in a test of ``if``.
        """
        graph, trace, offset = self.graph, self.stages.trace, self.stages.window.start
        rows = self.read_rows
        held = intervals.union(trace.events.ts_ns[rows] - offset, trace.events.end_ns[rows] - offset)
        middle = (graph.start_ns + graph.end_ns) // 2
        callers: Bools = self.host & (graph.tag == Tag.ITEM) & (graph.resource == graph.main)
        callers &= intervals.covers(held, middle)
        return callers | self.launched_by(callers)

    @cached_property
    def read_rows(self) -> Ints:
        """Event rows of the operators of such reads, ``aten::item``."""
        trace, operators = self.stages.trace, self.stages.operators
        named = rows_named(trace, operators.rows, _is_read)
        named = named[operators.parent[named] < 0] if len(named) else named
        kept = (trace.events.thread[named] == self._main_thread) & ~after_check(self.stages, named)
        others = trace.events.rows(Category.ANNOTATION)
        others = rows_named(trace, others, lambda name: _is_optimizer(name) or is_dataloader(name))
        held = intervals.union(trace.events.ts_ns[others], trace.events.end_ns[others])
        found: Ints = named[kept & ~intervals.covers(held, trace.events.ts_ns[named])]
        return found

    @property
    def _main_thread(self) -> int:
        """Index into ``trace.threads``; -1: the main thread makes no call."""
        graph = self.graph
        called = np.flatnonzero((graph.resource == graph.main) & (graph.row >= 0))
        return int(self.stages.trace.events.thread[graph.row[called[0]]]) if len(called) else -1

    @cached_property
    def optimizer(self) -> Bools:
        """Host nodes in ``Optimizer.step``, and the device work they start."""
        callers: Bools = self.host & (self.graph.tag == Tag.OPTIMIZER)
        return callers | self.launched_by(callers)

    @cached_property
    def uploads(self) -> Bools:
        """Device nodes: copies to the device."""
        found: Bools = (self.graph.kind == Kind.MEMCPY) & (
            self.stages.trace.work.direction[self.work] == Direction.HtoD
        )
        return found

    @cached_property
    def pageable_uploads(self) -> Bools:
        """Device nodes: copies to the device from pageable memory."""
        found: Bools = self.uploads & (self.stages.trace.work.memory[self.work] == Memory.pageable)
        return found

    @cached_property
    def work(self) -> Ints:
        """Index into ``trace.work`` of each device node; of other nodes it means nothing."""
        rows = self.stages.trace.work.row
        return np.minimum(np.searchsorted(rows, self.graph.row), len(rows) - 1)

    @cached_property
    def kernels(self) -> Bools:
        """Device nodes: kernels launched in the window's steps."""
        found: Bools = (self.graph.kind == Kind.KERNEL) & ~self.graph.carried
        return found

    @cached_property
    def python(self) -> Bools:
        """Host nodes in the script's own Python: no compiler and no graph makes it faster."""
        return python_nodes(self.stages, self.graph)

    @cached_property
    def cpu_operators(self) -> Bools:
        """Host nodes in operators that take long and launch nothing, so on the CPU: they stay as well."""
        graph, trace, offset = self.graph, self.stages.trace, self.stages.window.start
        found: Bools = (graph.kind == Kind.SEGMENT) & (graph.resource == graph.main) & (graph.tag == Tag.NONE)
        found &= graph.duration_ns >= LONG_NS
        at = np.flatnonzero(found)
        operators = trace.events.rows(Category.CPU_OP)
        operators = operators[trace.events.thread[operators] == self._main_thread]
        calls = self.stages.launches.calls
        called = np.sort(trace.events.ts_ns[calls[trace.events.thread[calls] == self._main_thread]])
        starts, ends = trace.events.ts_ns[operators], trace.events.end_ns[operators]
        quiet = np.searchsorted(called, ends) == np.searchsorted(called, starts)
        busy = intervals.union(starts[quiet], ends[quiet])
        start, end = graph.start_ns[at] + offset, graph.end_ns[at] + offset
        held = intervals.covered_before(busy, end) - intervals.covered_before(busy, start)
        found[at] = held >= IN_OPERATORS * (end - start)
        return found

    @cached_property
    def mergeable(self) -> Bools:
        """Kernels that a compiler merges with their neighbours: pointwise ones and reductions."""
        trace = self.stages.trace
        merged = [name for name, text in enumerate(trace.strings) if kernel_kind(text).family in MERGED]
        found: Bools = self.kernels & np.isin(trace.events.name[self.graph.row], merged)
        return found

    @cached_property
    def products(self) -> Bools:
        """Kernels that a compiler cannot merge: matrix products, convolutions, attention, communication."""
        found: Bools = self.kernels & (self.stages.trace.work.family[self.work] != KernelFamily.OTHER)
        return found

    @cached_property
    def communicates(self) -> bool:
        """Whether collectives run."""
        return bool((self.graph.work == Work.COMMUNICATION).any())

    @cached_property
    def firsts(self) -> Ints:
        """The first node of the main thread in each step, (s,)."""
        graph = self.graph
        main = np.flatnonzero(graph.resource == graph.main)
        steps = graph.step[main]
        _, first = np.unique(steps, return_index=True)
        return main[first]

    def per_step(self, nodes: Bools) -> float:
        """How many of the nodes there are a step."""
        return int(nodes.sum()) / self.graph.steps

    def us_per_step(self, nodes: Bools) -> float:
        """Time of the nodes a step, µs."""
        return float(self.graph.duration_ns[nodes].sum()) / (1000 * self.graph.steps)

    @cached_property
    def sequences(self) -> tuple[int, int]:
        """(steps that launch the most frequent sequence of kernels and grids, all): whether one can be replayed."""
        graph, blocks = self.graph, self.stages.trace.work.blocks
        nodes = np.flatnonzero(self.kernels)
        nodes = nodes[np.lexsort((graph.start_ns[nodes], graph.step[nodes]))]
        names, place = self.stages.trace.events.name[graph.row[nodes]].astype(np.int64), self.work[nodes]
        kinds = np.column_stack((names, np.where(blocks.known[place], blocks.values[place], -1)))
        seen: dict[bytes, int] = {}
        for step in range(graph.steps):
            key = kinds[graph.step[nodes] == step].tobytes()
            seen[key] = seen.get(key, 0) + 1
        return max(seen.values(), default=0), graph.steps

    @cached_property
    def recorded_rows(self) -> Ints:
        """How many operators, ranges and calls began in each host node: what recording them cost lies there."""
        trace, graph, offset = self.stages.trace, self.graph, self.stages.window.start
        found = np.zeros(len(graph), dtype=np.int64)
        rows = trace.events.rows(Category.CPU_OP, Category.ANNOTATION, Category.RUNTIME, Category.DRIVER)
        threads = trace.events.thread[rows]
        for resource in range(graph.threads):
            nodes = np.flatnonzero((graph.resource == resource) & self.host)
            known = nodes[graph.row[nodes] >= 0]
            if not len(known):
                continue
            mine = rows[threads == trace.events.thread[graph.row[known[0]]]]
            place = np.searchsorted(graph.start_ns[nodes], trace.events.ts_ns[mine] - offset, side="right") - 1
            inside = place >= 0
            np.add.at(found, nodes[place[inside]], 1)
        return found
