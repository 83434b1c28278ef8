"""The critical path of a window: the chain of work and waiting that its end hangs on, instant by instant.

Found backwards from what completes last. The replay (``replay.py``) tells of each node what let it start or end when
it did: what came before it on its thread or stream, or one of its dependencies; the path goes on there. The stretches
have the times that were measured, and tile the time from where the path begins to the completion of the last step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from stallscope.analysis.replay.graph import NEVER, Graph, Kind, Link, Tag
from stallscope.analysis.replay.graph_build import build
from stallscope.analysis.replay.replay import replay
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.trace import Bools, Ints

LATENCIES: Final = {
    Link.LAUNCH: "a launch on its way to the GPU",
    Link.STREAM: "between two pieces of GPU work",
    Link.EVENT: "between the work of two streams",
    Link.SYNC: "the CPU returns from waiting for the GPU",
    Link.COPY: "the CPU returns from a copy",
    Link.CLOSING: "the CPU returns from waiting for the GPU",
    Link.QUEUE: "the queue of launches is full",
    Link.HANDOFF: "from one CPU thread to another",
    Link.LOCK: "a CPU thread waits for another's call",
    Link.LOADER: "the DataLoader's workers make the next batch",
    Link.ORPHAN: "a launch that is not in the trace",
    Link.RANK: "another rank is late",
}
TAGS: Final = {Tag.INPUT: "loading data", Tag.OPTIMIZER: "Optimizer.step", Tag.STAGING: "staging a copy"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """One part of the path, ns on the trace's clock; ``link``: the latency that it is, None: the node's own work."""

    start_ns: int
    end_ns: int
    node: int
    link: Link | None
    name: str
    row: int  # event row of the call or device work, -1: none


def find_critical_path(stages: Stages) -> tuple[Stretch, ...]:
    """The path, ascending in time, without gap or overlap; nothing where the trace gives no graph."""
    graph = build(stages)
    if graph is None:
        return ()
    zero = stages.window.start
    found = [
        Stretch(zero + start, zero + end, node, link, _name(stages, graph, node, link), int(graph.row[node]))
        for start, end, node, link in _Walk(graph).back()
    ]
    return tuple(_joined(found[::-1]))


def tiles(path: tuple[Stretch, ...]) -> bool:
    """Whether each stretch begins where the one before it ends."""
    return all(a.end_ns == b.start_ns for a, b in pairwise(path))


class _Move(NamedTuple):
    """A step back on the path: to the end or the start of ``node``, since when the stretch lasted, and what it was."""

    node: int
    since_ns: int
    link: Link | None
    at_end: bool = True


class _Walk:
    """A graph, with what held each of its nodes back in its replay."""

    def __init__(self, graph: Graph) -> None:
        times, edges = replay(graph), graph.edges
        reached = np.where(edges.from_end, times.end_ns[edges.source], times.start_ns[edges.source]) + edges.lag_ns
        order = np.lexsort((reached, edges.target))
        last = np.append(edges.target[order][1:] != edges.target[order][:-1], np.ones(min(1, len(order)), dtype=bool))
        latest = order[last]  # the edge that binds last, of each target
        self._edge = np.full(len(graph), -1, dtype=np.int64)
        self._edge[edges.target[latest]] = latest
        bound = np.full(len(graph), NEVER)
        bound[edges.target[latest]] = reached[latest]
        first = np.searchsorted(graph.resource, graph.resource) == np.arange(len(graph))
        before = np.where(first, NEVER, np.roll(times.end_ns, 1) + graph.gap_ns)
        self._device, self._first, self._graph = graph.on_device, first, graph
        self._held: Bools = bound > np.where(self._device, before, times.start_ns + graph.duration_ns)
        self._released: Bools = self._device & (graph.release_ns >= np.maximum(bound, before))
        self._last = self._completing(times.end_ns)

    def _completing(self, end_ns: Ints) -> int:
        """The node whose end completes the last step."""
        own = np.flatnonzero(self._device & ~self._graph.carried)
        host = int(self._graph.step_last[-1])
        last = int(own[np.argmax(end_ns[own])]) if len(own) else host
        return last if end_ns[last] > end_ns[host] else host

    def back(self) -> Iterator[tuple[int, int, int, Link | None]]:
        """(start, end, node, link) of each stretch as measured, from the last to the first."""
        graph, node, at_end = self._graph, self._last, True
        time = int(graph.end_ns[node])
        while True:
            waits = at_end and self._held[node] and not self._device[node]  # a call that waits returns late
            move = self._over_edge(node) if waits else self._own(node, at_end=at_end)
            if move is None:
                return
            if move.since_ns < time:
                yield move.since_ns, time, node, move.link
                time = move.since_ns
            node, at_end = move.node, move.at_end

    def _own(self, node: int, *, at_end: bool) -> _Move | None:
        """From a node's end to its start, or from its start to what it follows; None: nothing held it."""
        graph = self._graph
        if at_end:
            return _Move(node, int(graph.start_ns[node]), None, at_end=False)
        if not self._device[node]:
            return None if self._first[node] else _Move(node - 1, int(graph.start_ns[node]), None)
        if self._released[node]:
            return None
        if self._held[node]:
            return self._over_edge(node)
        return None if self._first[node] else _Move(node - 1, int(graph.end_ns[node - 1]), Link.STREAM)

    def _over_edge(self, node: int) -> _Move:
        edges, edge = self._graph.edges, int(self._edge[node])
        source, from_end = int(edges.source[edge]), bool(edges.from_end[edge])
        since = (self._graph.end_ns if from_end else self._graph.start_ns)[source]
        return _Move(source, int(since), Link(int(edges.link[edge])), from_end)


def _name(stages: Stages, graph: Graph, node: int, link: Link | None) -> str:
    if link is not None:
        return LATENCIES[link]
    row, tag = int(graph.row[node]), Tag(int(graph.tag[node]))
    if graph.kind[node] >= Kind.KERNEL:
        return f"GPU: {stages.trace.name_of(row)}"
    if row >= 0:
        return f"CPU: {stages.trace.name_of(row)}"
    return f"CPU: {TAGS.get(tag, 'Python and operators')}"


def _joined(path: list[Stretch]) -> Iterator[Stretch]:
    """The path, stretches of one name without a call of their own that follow each other made one."""
    held: Stretch | None = None
    for each in path:
        if held is not None and (held.name, held.row, each.row) == (each.name, -1, -1):
            held = Stretch(held.start_ns, each.end_ns, held.node, held.link, held.name, -1)
            continue
        if held is not None:
            yield held
        held = each
    if held is not None:
        yield held
