"""The time of a step as the longest path through a graph of moments, with nothing of the replay's own code.

Each node is two moments, its start and its end. Each pass over the window has moments of its own; a thread or stream
goes on where it ended in the pass before, and no thread begins a pass before the main one. What a moment waits for is
written down as plain lists, an order in which all can be told is found by counting (Kahn), and each moment is then
the latest of what it waits for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

import numpy as np

from stallscope.analysis.replay.graph import NEVER, Graph, Link, Work

WITH = {Work.SYNC: (Link.SYNC, Link.COPY), Work.INPUT: (Link.LOADER,)}  # waits that a class is made of


class Moments:
    """A graph unrolled over one or two passes; moment 2n is the start of node n, 2n + 1 its end."""

    def __init__(self, graph: Graph, passes: int) -> None:
        self.graph, self.passes, self.count = graph, passes, len(graph)
        self._device = graph.on_device.tolist()
        resource = graph.resource.tolist()
        self._first = {name: place for place, name in reversed(list(enumerate(resource)))}
        self._last = {name: place for place, name in enumerate(resource)}
        self._order = self._ordered(resource)
        self._resource = resource

    def _ordered(self, resource: list[int]) -> list[int]:
        """Moments of one pass so that each comes after all that it waits for."""
        edges = self.graph.edges
        waiting = [0] * (2 * self.count)
        then: list[list[int]] = [[] for _ in waiting]

        def before(a: int, b: int) -> None:
            then[a].append(b)
            waiting[b] += 1

        for node in range(self.count):
            before(2 * node, 2 * node + 1)
            if node and resource[node] == resource[node - 1]:
                before(2 * node - 1, 2 * node)
        self._into: list[list[tuple[int, int]]] = [[] for _ in waiting]
        columns = (edges.source.tolist(), edges.from_end.tolist(), edges.target.tolist())
        for edge, (source, from_end, target) in enumerate(zip(*columns, strict=True)):
            a, b = 2 * source + from_end, 2 * target + (not self._device[target])
            before(a, b)
            self._into[b].append((a, edge))
        ready, found = deque(moment for moment, needs in enumerate(waiting) if not needs), []
        while ready:
            moment = ready.popleft()
            found.append(moment)
            for other in then[moment]:
                waiting[other] -= 1
                if not waiting[other]:
                    ready.append(other)
        assert len(found) == 2 * self.count, "the graph has a ring"
        return found

    def step_ns(self, free: Collection[Work] = ()) -> float:
        """The step with these classes of work free."""
        graph = self.graph
        freed = np.isin(graph.work, [int(work) for work in free])
        duration = np.where(freed, 0, graph.duration_ns)
        if self.passes > 1:
            duration[graph.carried] = 0  # another pass takes the place of what was launched before
        gap = np.where(freed & (graph.gap_ns > 0), 0, graph.gap_ns).tolist()
        gone = {int(link) for work in free for link in WITH.get(work, ())}
        lag = [
            None if link in gone else lag
            for link, lag in zip(graph.edges.link.tolist(), graph.edges.lag_ns.tolist(), strict=True)
        ]
        release = graph.release_ns.copy()
        if self.passes > 1:
            release[graph.carried] = NEVER
        begin, ends, main = dict.fromkeys(self._first, 0), [], 0
        for _ in range(self.passes):
            at = self._pass(duration.tolist(), gap, lag, release.tolist(), begin, main)
            ends.append(self._complete(at))
            main = at[2 * self._last[graph.main] + 1]
            begin = {name: at[2 * last + 1] for name, last in self._last.items()}
            begin |= {name: max(begin[name], main) for name in begin if name < graph.threads}
        return (ends[-1] - (ends[0] if self.passes > 1 else 0)) / graph.steps

    def _pass(
        self,
        duration: list[int],
        gap: list[int],
        lag: list[int | None],
        release: list[int],
        begin: dict[int, int],
        zero: int,
    ) -> list[int]:
        """When every moment of a pass is: ``begin`` of each thread and stream, ``zero`` of the window."""
        at = [0] * (2 * self.count)
        for moment in self._order:
            node, ends = divmod(moment, 2)
            held = [at[source] + lag[edge] for source, edge in self._into[moment] if lag[edge] is not None]
            if ends:
                latest = at[moment - 1] + duration[node]
            else:
                name = self._resource[node]
                latest = begin[name] if self._first[name] == node else at[moment - 1]
                if self._device[node]:
                    latest = max(latest + gap[node], zero + release[node])
            at[moment] = max(latest, *held) if held else latest
        return at

    def _complete(self, at: list[int]) -> int:
        """When the last step is: its end on the host, and all work that the window launched."""
        graph = self.graph
        own = np.flatnonzero(graph.on_device & ~graph.carried).tolist()
        return max([at[2 * int(graph.step_last[-1]) + 1], *(at[2 * node + 1] for node in own)])
