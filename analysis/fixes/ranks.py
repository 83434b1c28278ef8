"""Other ranks keep their pace: where collectives wait for them, what this rank saves only makes it wait longer.

A collective ends when the last rank has come. One that takes longer than the quickest at its place of a step, of the
same name, waited; ranks leave a collective together, so the late one needed the time from the end of the one before it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from stallscope.analysis.replay.graph import Edges, Graph, Kind, Link, Work
from stallscope.traces.model.trace import Ints

BEHIND: Final = 0.05  # of a step that collectives wait for others, from which these set the pace


def held_by_ranks(graph: Graph, names: NDArray[np.int32]) -> Graph:
    """The graph with collectives that start to exchange when the others have come; ``names``: of all event rows."""
    nodes = np.flatnonzero((graph.work == Work.COMMUNICATION) & (graph.kind == Kind.KERNEL) & ~graph.carried)
    nodes = nodes[np.lexsort((nodes, graph.key[nodes]))]
    own = _quickest(graph, nodes, names)
    waited = graph.duration_ns[nodes] - own
    if waited.sum() < BEHIND * int(graph.measured_completion_ns[-1]):
        return graph
    late = np.flatnonzero(waited[1:] > 0) + 1
    source, target = nodes[late - 1], nodes[late]
    waits = Edges(
        source=source,
        from_end=np.ones(len(late), dtype=np.bool_),
        target=target,
        lag_ns=graph.end_ns[target] - own[late] - graph.end_ns[source],
        link=np.full(len(late), Link.RANK, dtype=np.uint8),
    )
    durations = graph.duration_ns.copy()
    durations[target] = own[late]
    return replace(graph, duration_ns=durations, edges=graph.edges.and_of(waits))


def _quickest(graph: Graph, nodes: Ints, names: NDArray[np.int32]) -> Ints:
    """What each takes at least: the shortest of its name at that place of a step."""
    name, step = names[graph.row[nodes]].astype(np.int64), graph.step[nodes].astype(np.int64)
    order = np.lexsort((np.arange(len(nodes)), step, name))
    opens = np.flatnonzero(np.concatenate(([True], (np.diff(name[order]) != 0) | (np.diff(step[order]) != 0))))
    nth = np.empty(len(nodes), dtype=np.int64)
    nth[order] = np.arange(len(nodes)) - np.repeat(opens, np.diff(np.append(opens, len(nodes))))
    _, kind = np.unique(np.column_stack((name, nth)), axis=0, return_inverse=True)
    least = np.full(int(kind.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, kind.ravel(), graph.duration_ns[nodes])
    found: Ints = least[kind.ravel()]
    return found
