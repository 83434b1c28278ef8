"""What the families of causes look at, and how a cause is made: with what the replay saves if it goes.

    def find(case: Case) -> Iterator[Claim]: ...

A family yields *claims*: a cause, and the nodes of the replay's graph that go with it. What a specific cause claims is
not blamed again by a general one (``general.py``), so that "many small kernels" is only what no optimizer, metric or
wait explains.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from msgspec.structs import replace

from stallscope.analysis.causes.facts import Facts
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.contract.causes import Cause
from stallscope.analysis.replay.counterfactual import Replayed
from stallscope.analysis.replay.graph import NEVER, Graph, Link
from stallscope.analysis.replay.replay import Program
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Bools, Floats, Ints, Trace

MOSTLY: Final = 0.5
WORTH: Final = 0.01  # share of the step below which nothing is a cause


@dataclass(frozen=True, slots=True)
class Claim:
    """A cause and the nodes of the graph that go with it, (n,); None: no graph, or none that can be named."""

    cause: Cause
    nodes: Bools | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run: the steps that count, what is known of them, and their replay."""

    stages: Stages
    facts: Facts
    manifest: Manifest | None
    replayed: Replayed | None  # None: nothing to replay
    kind: str  # of the verdict
    claimed: Bools | None = field(default=None)  # nodes that specific causes have claimed

    @property
    def trace(self) -> Trace:
        """The trace."""
        return self.stages.trace

    @property
    def step_us(self) -> float:
        """The step."""
        return self.stages.completion.step_ns / 1000

    @property
    def on_cpu(self) -> bool:
        """Whether the run used no GPU."""
        return self.facts.vendor == "cpu" and self.facts.recording.absent is None

    @property
    def graph(self) -> Graph | None:
        """The graph of the replayed steps; None where there is none that can be trusted."""
        return self.replayed.graph if self.replayed is not None and self.replayed.savings else None

    @cached_property
    def _program(self) -> tuple[Program, int, float] | None:
        """(the program, passes, its step in ns)."""
        graph, replayed = self.graph, self.replayed
        if graph is None or replayed is None:
            return None
        program, passes = Program(graph), replayed.passes
        return program, passes, program.run(graph.duration_ns, passes=passes).step_ns

    def saving_us(self, nodes: Bools, kept: float | Floats = 0.0) -> float | None:
        """What a step would take less without these nodes (n,): no time of their own, and nothing they wait for, µs.

        ``kept``: a part of their time that stays, one for all or one a node, (n,).
        """
        graph, program = self.graph, self._program
        if graph is None or program is None:
            return None
        waits = nodes[graph.edges.target] & ~graph.on_device[graph.edges.target]
        gone = replace(
            graph,
            duration_ns=np.where(nodes, np.rint(kept * graph.duration_ns).astype(np.int64), graph.duration_ns),
            gap_ns=np.where(nodes, np.minimum(graph.gap_ns, 0), graph.gap_ns),
            edges=replace(graph.edges, lag_ns=np.where(waits, NEVER, graph.edges.lag_ns)),
        )
        made, passes, base = program
        return max(0.0, base - made.of(gone).run(gone.duration_ns, passes=passes).step_ns) / 1000

    # -- nodes of the graph ----------------------------------------------------------------------------------------

    def none(self) -> Bools:
        """No node, (n,)."""
        return np.zeros(0 if self.graph is None else len(self.graph), dtype=np.bool_)

    def nodes_of(self, rows: Ints) -> Bools:
        """The nodes of event rows: of calls (of nested ones the outermost) and of device work, (n,)."""
        graph = self.graph
        return self.none() if graph is None else np.isin(graph.row, rows) & (graph.row >= 0)

    def is_claimed(self, rows: Ints) -> bool:
        """Whether specific causes have claimed most of the nodes of these event rows."""
        nodes = self.nodes_of(rows)
        if self.claimed is None or not nodes.any():
            return False
        return bool(self.claimed[nodes].mean() > MOSTLY)

    def nodes_inside(self, times: Intervals, threads: Iterable[int] | None = None) -> Bools:
        """Host nodes that lie in ``times`` (trace's clock), on ``threads`` (indices of the trace) or any, (n,)."""
        graph, replayed = self.graph, self.replayed
        if graph is None or replayed is None:
            return self.none()
        offset = replayed.part.window.start
        middle = offset + (graph.start_ns + graph.end_ns) // 2
        inside: Bools = intervals.covers(times, middle) & ~graph.on_device
        return inside if threads is None else inside & np.isin(self._threads, list(threads))

    @cached_property
    def _threads(self) -> Ints:
        """The trace's thread of each host node, -1 of device nodes, (n,)."""
        graph = self.graph
        if graph is None:
            return np.zeros(0, dtype=np.int64)
        found = np.full(len(graph), -1, dtype=np.int64)
        for resource in range(graph.threads):
            mine = np.flatnonzero((graph.resource == resource) & (graph.row >= 0))
            if len(mine):
                found[graph.resource == resource] = self.trace.events.thread[graph.row[mine[0]]]
        return found

    def with_launched(self, nodes: Bools) -> Bools:
        """The nodes and the device work that they started, (n,)."""
        graph = self.graph
        if graph is None:
            return nodes
        of_launch = graph.edges.link == Link.LAUNCH
        found = nodes.copy()
        found[graph.edges.target[of_launch]] |= nodes[graph.edges.source[of_launch]]
        return found

    # -- causes ----------------------------------------------------------------------------------------------------

    def claim(
        self,
        name: str,
        title: str,
        *,
        evidence: str,
        advice: str,
        nodes: Bools | None = None,
        cost_us: float | None = None,
        saves_us: float | None = None,
        kept: float | Floats = 0.0,
        where: Sequence[str] = (),
        fix: str | None = None,
        bars: Sequence[str] = (),
        confidence: str = "ok",
        unknown: bool = False,
    ) -> Claim:
        """A cause. Without ``saves_us`` it saves what the replay says of its ``nodes``; on a CPU run what it costs.

        ``kept``: the part of the nodes' time that stays even then. ``unknown``: what it saves cannot be told.
        """
        if saves_us is None and nodes is not None and nodes.any():
            saves_us = self.saving_us(nodes, kept)
        if saves_us is None and self.on_cpu and not unknown:
            saves_us = cost_us
        step = self.step_us
        cause = Cause(
            name=name,
            title=title,
            saves_us=saves_us,
            saves_share=None if saves_us is None or not step else saves_us / step,
            cost_us=cost_us,
            share=None if cost_us is None or not step else cost_us / step,
            evidence=evidence,
            where=list(where),
            advice=advice,
            fix=fix,
            bars=list(bars),
            confidence=confidence,
        )
        return Claim(cause, nodes)
