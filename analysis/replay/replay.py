"""Replaying a graph: when everything happens if each node starts as soon as its dependencies allow.

    times = replay(graph)                                  # identity: should give the measured times back
    replay(graph, graph.duration_ns * 2).step_ns           # what if everything took twice as long
    replay(graph, dropped={Link.SYNC}).step_ns             # what if no Synchronize call waited
    replay(graph.free([Work.HOST]), passes=2).step_ns      # what if the host cost nothing

The longest path through the graph. Host threads need no loop: on a thread a node ends at the sum of all durations up
to it plus a *shift*, which changes only where the thread waits. So what is evaluated one by one, in order of ``key``,
is the starts of device nodes and the shifts after waits; each is the maximum of two earlier values plus constants
(what depends on more is a chain of such pairs).

**The time of a step.** One pass over the window starts with empty queues and ends when the last work is done: it
carries the time to fill and drain them. So ``passes=2`` runs the window a second time right after the first, threads
and streams going on from where they are, and a step takes the time from the end of the first pass to that of the
second ÷ steps: the slope of completion in a steady state. Work launched before the window is left out of it: each
pass has its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

import msgspec
import numpy as np

from stallscope.analysis.replay.graph import NEVER, Graph, Link
from stallscope.traces.model.trace import Ints


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """When everything happens; ns after the start of the first pass. Of the last pass, but for ``first_ns``."""

    start_ns: Ints  # (n,)
    end_ns: Ints  # (n,)
    completion_ns: Ints  # (s,) of each step, ascending; see ``Graph.completion_ns``
    first_ns: int  # when the first pass was complete
    passes: int

    @property
    def span_ns(self) -> int:
        """When all is complete."""
        return int(self.completion_ns[-1])

    @property
    def step_ns(self) -> float:
        """Time of a step: with two passes in a steady state, with one the mean from the start on."""
        steps = len(self.completion_ns)
        if self.passes == 1:
            return self.span_ns / steps
        return (self.span_ns - self.first_ns) / (steps * (self.passes - 1))


def replay(graph: Graph, duration_ns: Ints | None = None, *, dropped: Iterable[Link] = (), passes: int = 1) -> Times:
    """Run the graph; ``duration_ns`` (n,) replaces its durations, ``dropped`` are kinds of dependencies to ignore.

    Needs no measured time but for ``release_ns`` and the order in ``key``.
    """
    return Program(graph).run(graph.duration_ns if duration_ns is None else duration_ns, dropped, passes)


class Program:
    """A graph made ready to run, for many runs with other durations or without some dependencies."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        device = graph.on_device
        valued = device.copy()
        valued[graph.edges.target] = True
        self._joins, self._device = np.flatnonzero(valued & ~device), np.flatnonzero(device)
        self._at_start, self._at_end = graph.holders()
        self._follows = np.arange(len(graph)) > np.searchsorted(graph.resource, graph.resource)
        self._slots = 2 + int(graph.resource[-1])  # values before all others: 0 for absolute times, then the resources'
        self._pair(*self._dependencies(), np.flatnonzero(valued))

    def _dependencies(self) -> tuple[Ints, Ints]:
        """(source, target) of edges, stream order, program order, releases: nodes, or as source -1 - slot."""
        graph, edges = self._graph, self._graph.edges
        slot = -2 - graph.resource.astype(np.int64)
        at_end = np.where(self._at_end >= 0, self._at_end, slot)
        at_start = np.where(self._at_start >= 0, self._at_start, slot)
        source = np.where(edges.from_end, at_end[edges.source], at_start[edges.source])
        before = np.where(self._follows[self._device], self._device - 1, slot[self._device])
        pinned = np.flatnonzero(graph.release_ns > NEVER)
        return (
            np.concatenate((source, before, at_start[self._joins], np.full(len(pinned), -1))),
            np.concatenate((edges.target, self._device, self._joins, pinned)),
        )

    def _pair(self, source: Ints, target: Ints, nodes: Ints) -> None:
        """Put the values of ``nodes`` in order and make each the maximum of two, or a chain of such."""
        graph = self._graph
        ordered = nodes[np.lexsort((nodes, graph.key[nodes]))]
        place = np.full(len(graph), -1, dtype=np.int64)
        place[ordered] = np.arange(len(ordered))
        known = np.maximum(source, 0)
        if ((place[known] >= place[target]) & (source >= 0)).any():
            message = "a dependency leads to a node that is not evaluated after its source"
            raise ValueError(message)
        by_target = np.argsort(place[target], kind="stable")
        at = place[target][by_target]
        count = np.bincount(at, minlength=len(ordered))
        nth = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
        needed = np.maximum(count - 1, 1)  # the first two of a node share an operation, each other one has its own
        operation = (np.cumsum(needed) - needed)[at] + np.maximum(nth - 1, 0)
        self._index = np.zeros(len(graph), dtype=np.int64)  # where the value of each node is
        self._index[ordered] = self._slots + np.cumsum(needed) - 1
        index = np.where(source >= 0, self._index[known], -1 - source)[by_target]
        first = nth == 0
        a = np.maximum(self._slots + np.arange(int(needed.sum())) - 1, 0)  # the operation before, but for the first
        b = np.zeros_like(a)
        a[operation[first]], b[operation[~first]] = index[first], index[~first]
        self._lists = a.tolist(), b.tolist()
        self._of_a, self._of_b = (by_target[first], operation[first]), (by_target[~first], operation[~first])

    def of(self, graph: Graph) -> Program:
        """The program of a graph with the same nodes, dependencies and releases, but other gaps or lags."""
        found = copy(self)
        found._graph = graph  # noqa: SLF001 - of our own kind
        return found

    def run(self, duration_ns: Ints, dropped: Iterable[Link] = (), passes: int = 1) -> Times:
        """The times with these durations; see ``replay``."""
        graph = self._graph
        gone = frozenset(dropped)
        ends = _host_ends(graph, duration_ns)
        if passes > 1:
            duration_ns = np.where(graph.carried, 0, duration_ns)
        lags = self._lags(duration_ns, ends, gone, steady=passes > 1)
        times = self._times(self._evaluate([0] * self._slots, lags), duration_ns, ends, None)
        for _ in range(passes - 1):
            times = self._times(self._evaluate(self._go_on(times), lags), duration_ns, ends, times)
        return times

    def _lags(self, duration_ns: Ints, ends: Ints, dropped: frozenset[Link], *, steady: bool = False) -> Ints:
        """The constant of every dependency."""
        graph, edges = self._graph, self._graph.edges
        on_device, device = graph.on_device, self._device
        host_source = np.where(edges.from_end, ends[edges.source], ends[edges.source] - duration_ns[edges.source])
        device_source = np.where(edges.from_end, duration_ns[edges.source], 0)
        lag = edges.lag_ns + np.where(on_device[edges.source], device_source, host_source)
        lag -= np.where(on_device[edges.target], 0, ends[edges.target])
        gone = np.isin(edges.link, [int(link) for link in dropped])
        previous = np.where(self._follows[device], duration_ns[device - 1], 0)
        stream = np.full(len(device), NEVER) if Link.STREAM in dropped else graph.gap_ns[device] + previous
        pinned = np.where(steady & graph.carried, NEVER, graph.release_ns)[graph.release_ns > NEVER]
        return np.concatenate((np.where(gone, NEVER, lag), stream, np.zeros(len(self._joins), dtype=np.int64), pinned))

    def _evaluate(self, starts: list[int], lags: Ints) -> Ints:
        """All values, after those that the resources begin with."""
        total = len(self._lists[0])
        a, b = np.zeros(total, dtype=np.int64), np.full(total, NEVER)
        a[self._of_a[1]] = lags[self._of_a[0]]
        b[self._of_b[1]] = lags[self._of_b[0]]
        values = starts
        append = values.append
        for i, x, j, y in zip(self._lists[0], a.tolist(), self._lists[1], b.tolist(), strict=True):
            first, second = values[i] + x, values[j] + y
            append(first if first > second else second)  # noqa: FURB136 - max() takes twice as long
        return np.array(values, dtype=np.int64)

    def _times(self, values: Ints, duration_ns: Ints, ends: Ints, before: Times | None) -> Times:
        graph = self._graph
        slot = 1 + graph.resource.astype(np.int64)
        at_end = values[np.where(self._at_end >= 0, self._index[self._at_end], slot)]
        at_start = values[np.where(self._at_start >= 0, self._index[self._at_start], slot)]
        own = values[self._index]
        start_ns = np.where(graph.on_device, own, at_start + ends - duration_ns)
        end_ns = np.where(graph.on_device, own + duration_ns, at_end + ends)
        completion = graph.completion_ns(end_ns[graph.step_last], end_ns)
        return Times(
            start_ns=start_ns,
            end_ns=end_ns,
            completion_ns=completion,
            first_ns=int(completion[-1]) if before is None else before.first_ns,
            passes=1 if before is None else before.passes + 1,
        )

    def _go_on(self, times: Times) -> list[int]:
        """What each resource begins the next pass with; threads do not begin before the main one."""
        graph = self._graph
        last = np.searchsorted(graph.resource, np.arange(self._slots - 1), side="right") - 1
        begin = times.end_ns[last]
        main = int(begin[graph.main])
        begin[: graph.threads] = np.maximum(begin[: graph.threads], main)
        return [main, *begin.tolist()]


def _host_ends(graph: Graph, duration_ns: Ints) -> Ints:
    """For each host node the sum of the durations on its thread up to its end, (n,); 0 for device nodes."""
    sums = np.cumsum(np.where(graph.on_device, 0, duration_ns))
    before = np.concatenate(([0], sums))[np.searchsorted(graph.resource, graph.resource)]
    found: Ints = np.where(graph.on_device, 0, sums - before)
    return found
