"""Which forward operator a backward node belongs to, and what runs under it.

Autograd writes one sequence number on a forward operator and on the node of its backward pass. Several forward
operators may carry a number (those that peeked at it before the one that used it); the last before the node counts.
The node names its forward thread by autograd's own number, which no other row tells: it is the thread that holds most
of the numbers asked of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns.ranges import Ranges
from stallscope.analysis.stages.where.operators import Operators
from stallscope.traces.model.trace import Bools, Ints, Trace


@dataclass(frozen=True, slots=True)
class Backward:
    """The links from backward to forward. A row is an event row; -1 stands for none."""

    node: Ints  # (n + 1,) innermost backward node around (or at) each operator and call; the last slot is for row -1
    forward: Ints  # (n + 1,) forward operator of each backward node

    def homes(self, trace: Trace, ranges: Ranges, rows: Ints) -> tuple[Ints, Bools]:
        """(position in ``ranges`` that each operator or call row belongs to or -1, whether as backward work).

        A row belongs to the innermost range open when it starts; under a backward node that lies in that range, to
        the range of the node's forward operator. A node whose forward operator is not in the file tells nothing.
        """
        around = ranges.at(trace, rows)
        node = self.node[rows]
        forward = self.forward[node]
        starts = trace.events.ts_ns
        begun = np.append(ranges.starts, np.iinfo(np.int64).min)[around]  # the last slot stands for "none"
        is_backward: Bools = (forward >= 0) & (starts[node] >= begun)
        return np.where(is_backward, ranges.at(trace, np.where(is_backward, forward, -1)), around), is_backward


def find_backward(trace: Trace, operators: Operators) -> Backward:
    """Join backward nodes to forward operators by sequence number."""
    size = len(trace.events)
    forward = np.full(size + 1, -1, dtype=np.int64)
    origins = trace.origins
    is_node = origins.forward_thread > 0
    ahead, nodes = np.flatnonzero(~is_node), np.flatnonzero(is_node)
    for thread in np.unique(origins.forward_thread[nodes]).tolist():
        some = nodes[origins.forward_thread[nodes] == thread]
        wanted = origins.sequence[some]
        chosen = _of_one_thread(trace, ahead, wanted)
        forward[origins.autograd_row[some]] = _last_before(trace, chosen, wanted, origins.autograd_row[some])
    return Backward(nearest(operators, origins.autograd_row[nodes]), forward)


def nearest(operators: Operators, marked: Ints) -> Ints:
    """For each operator and call the nearest of ``marked`` (event rows) at it or around it; -1: none.

    Shape (n + 1,); the last slot is for row -1, "no row".
    """
    size = len(operators.parent)
    is_marked = np.zeros(size + 1, dtype=np.bool_)
    is_marked[marked] = True
    above = np.append(np.where(operators.parent < 0, size, operators.parent), size)  # ``size``: none
    above = np.where(is_marked, np.arange(size + 1), above)
    while not np.array_equal(farther := above[above], above):  # each round looks twice as far: stacks may be deep
        above = farther
    return np.where(above == size, -1, above)


def _of_one_thread(trace: Trace, ahead: Ints, wanted: Ints) -> Ints:
    """Those of ``ahead`` (places of forward rows in the origins) on the thread that holds most of ``wanted``."""
    held = ahead[np.isin(trace.origins.sequence[ahead], wanted)]
    threads = trace.events.thread[trace.origins.autograd_row[held]]
    names, counts = np.unique(threads, return_counts=True)
    return held[threads == names[np.argmax(counts)]] if len(names) else held


def _last_before(trace: Trace, chosen: Ints, wanted: Ints, nodes: Ints) -> Ints:
    """The row of the last of ``chosen`` with each wanted number that starts before the node; -1 where there is none."""
    numbers, rank = np.unique(trace.origins.sequence[chosen], return_inverse=True)
    size = len(trace.events)
    keys = np.sort(rank * size + trace.origins.autograd_row[chosen])  # rows ascend in time
    wanted_rank = np.searchsorted(numbers, wanted)
    place = np.searchsorted(keys, wanted_rank * size + nodes) - 1
    found = keys[np.maximum(place, 0)] if len(keys) else np.zeros(len(wanted), dtype=np.int64)
    known = (place >= 0) & np.isin(wanted, numbers) & (found // size == wanted_rank)
    return np.where(known, found % size, -1)
