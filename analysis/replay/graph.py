"""The dependency graph of a window: what had to happen before what, as numpy columns.

    graph = graph_build.build(stages)          # Graph, or None where there is nothing to replay
    times = replay.replay(graph)               # Times: when everything happens, and the time of a step

A *node* is something that takes time on one *resource*: a host thread or a stream of a device. The nodes are sorted by
resource and, on each, in order of time. The nodes of a host thread fill the window without a gap: runtime calls, the
segments of Python and operators between them, and waits for another thread. Two dependencies are in this order and
stand in no list: each host node starts when the one before it on its thread ends (*program order*), each device node
no sooner than ``gap_ns`` after the end of the one before it on its stream (*stream order*, ``Link.STREAM``).

All other dependencies are *edges* from the start or the end of a node to a node: "not before that + ``lag_ns``". An
edge to a device node holds back its start, an edge to a host node its end: a call that waits returns late. Their kinds:

    LAUNCH    call → device work: start of the call (or its end, whichever predicts better) + launch latency
    EVENT     device work → device work on another stream that waited for it
    SYNC      device work → Synchronize call: last work launched before it, on the stream it waits for or on all
    COPY      a copy → the call that blocked until it was done
    QUEUE     start of a launch's work → the launch call as many launches later as the queue holds
    HANDOFF   end of a host node → end of another thread's wait for it
    LOCK      end of a call → end of another thread's call that waited for the runtime's lock
    LOADER    end of a fetch → end of the next, where the DataLoader's workers are behind: batches come at their pace
    ORPHAN    what the host did → device work after a gap whose launch is not in the trace
    RANK      end of a collective → start of the next one's exchange, where other ranks are late (in forecasts only)
    CLOSING   as SYNC, of the profiler's own synchronize: never a cost of the script

``duration_ns`` is what a node takes by itself: of a waiting call the cost of the call without the wait. Latencies
(``Constants``) are one figure for the trace, durations are as measured. Times are ns after the start of the window.

What a change to the program does is a change of these columns: ``without(nodes)`` takes nodes out, ``keep_edges(mask)``
edges, and ``msgspec.structs.replace`` changes any column; ``free(classes)`` makes classes of work free. Nodes and
edges may be added too, as long as nodes stay sorted and every edge leads to a later ``key`` (the order of evaluation;
``in_order`` tells).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from stallscope.traces.model.trace import Bools, Ints

NEVER: Final = -(2**60)  # earlier than any time: a bound that does not bind
Small = NDArray[np.uint8]


class Kind(IntEnum):
    """What a node is. The kinds up to ``COPY_CALL`` are the host's."""

    SEGMENT = 0  # Python, operators: whatever the thread does between calls
    WAIT = 1  # for another thread
    CALL = 2  # any other runtime call
    LAUNCH = 3  # that started device work
    SYNC = 4
    COPY_CALL = 5  # a copy that blocks
    KERNEL = 6
    MEMCPY = 7
    MEMSET = 8


class Work(IntEnum):
    """The classes of work, disjoint; a verdict makes one of them free."""

    HOST = 0  # every other host node
    SYNC = 1  # Synchronize calls, all of an ``aten::item`` that waits, frees of device memory and what asks again
    INPUT = 2  # inside the DataLoader
    COPY = 3  # copies between host and device, the calls that block for them, their staging
    COMMUNICATION = 4  # NCCL, RCCL kernels
    COMPUTE = 5  # all other device work
    NONE = 6  # the profiler's own


class Tag(IntEnum):
    """Which range of the program a host node lies in."""

    NONE = 0
    INPUT = 1  # a DataLoader fetch
    ITEM = 2  # an ``aten::item`` or its like that waits for the device
    OPTIMIZER = 3  # Optimizer.step
    STAGING = 4  # the host copies pageable memory before the device can
    PROFILER = 5  # the profiler makes room for what it records, and the thread stands still


class Link(IntEnum):
    """Kinds of dependencies; ``STREAM`` is in the order of the nodes."""

    LAUNCH = 0
    STREAM = 1
    EVENT = 2
    SYNC = 3
    COPY = 4
    QUEUE = 5
    HANDOFF = 6
    LOCK = 7
    CLOSING = 8
    ORPHAN = 9
    LOADER = 10
    RANK = 11


class Edges(msgspec.Struct, frozen=True, kw_only=True):
    """e dependencies."""

    source: Ints  # (e,) node
    from_end: Bools  # (e,) from its end, else from its start
    target: Ints  # (e,) node: its start is held back if it is a device node, its end if it is a host node
    lag_ns: Ints  # (e,)
    link: Small  # (e,) of Link

    def __len__(self) -> int:
        return len(self.source)

    def and_of(self, others: Edges) -> Edges:
        """These and the others."""
        return Edges(
            source=np.concatenate((self.source, others.source)),
            from_end=np.concatenate((self.from_end, others.from_end)),
            target=np.concatenate((self.target, others.target)),
            lag_ns=np.concatenate((self.lag_ns, others.lag_ns)),
            link=np.concatenate((self.link, others.link)),
        )

    def of(self, chosen: Bools | Ints) -> Edges:
        """Those of the edges."""
        return Edges(
            source=self.source[chosen],
            from_end=self.from_end[chosen],
            target=self.target[chosen],
            lag_ns=self.lag_ns[chosen],
            link=self.link[chosen],
        )


class Constants(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of the machine as the trace shows them, ns; None: no sample, an assumption took its place."""

    launch_ns: int | None  # launch (see ``launch_from_end``) → start of a kernel on an idle stream
    launch_from_end: bool  # of the call; else from its start
    gap_ns: int | None  # between kernels that were queued
    sync_return_ns: int | None  # end of the last work → return of the Synchronize call
    launch_call_ns: int | None  # what a launch call takes, median
    queue_depth: int | None  # launches that the queue holds, where it was full


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """n nodes, sorted by ``resource`` and in order on each; see the module's description."""

    kind: Small  # (n,) of Kind
    work: Small  # (n,) of Work
    tag: Small  # (n,) of Tag
    resource: NDArray[np.int32]  # (n,) 0 … threads-1: host threads, then streams
    row: Ints  # (n,) event row of a call or device work; -1: none
    step: NDArray[np.int32]  # (n,) in which it starts, of device work: in which it was launched; from 0
    start_ns: Ints  # (n,) as measured, after the start of the window
    end_ns: Ints  # (n,) as measured
    duration_ns: Ints  # (n,) by itself
    gap_ns: Ints  # (n,) device nodes: after the end of the one before it on its stream, may be negative
    release_ns: Ints  # (n,) device nodes that nothing recorded lets start: not before; else NEVER
    carried: Bools  # (n,) launched before the window: no work of its steps
    key: Ints  # (n,) order of evaluation: of device nodes by start, of host nodes by end
    edges: Edges
    threads: int  # host threads
    main: int  # the thread that holds the steps
    step_last: Ints  # (s,) the last node of the main thread in each step
    step_ends_ns: Ints  # (s,) as measured
    constants: Constants
    late_ns: int  # device work that started later than anything recorded explains: sum, over 10 µs each
    contradicted: int  # dependencies that the measured times contradict, left out

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def on_device(self) -> Bools:
        """Which nodes are device work."""
        return self.kind >= Kind.KERNEL

    @property
    def steps(self) -> int:
        """Number of steps, at least 1."""
        return len(self.step_last)

    @property
    def measured_completion_ns(self) -> Ints:
        """When each step was complete: its end on the host and the end of all work launched in it; (s,), ascending."""
        return self.completion_ns(self.step_ends_ns, self.end_ns)

    def holders(self) -> tuple[Ints, Ints]:
        """For each node the one whose value holds at its start, and at its end; -1: none; (n,) each.

        A device node holds for itself. On a host thread everything between two waits moves together, so what holds is
        the last node before that some edge leads to.
        """
        nodes = np.arange(len(self))
        valued = self.on_device
        valued[self.edges.target] = True
        first = np.searchsorted(self.resource, self.resource)  # node with which each node's resource begins
        latest = np.maximum.accumulate(np.where(valued, nodes, -1))
        earlier = np.concatenate(([-1], latest))[:-1]
        at_end = np.where(latest >= first, latest, -1)
        return np.where(self.on_device, nodes, np.where(earlier >= first, earlier, -1)), at_end

    def in_order(self) -> Bools:
        """Which edges lead to a later key: the others cannot be replayed; (e,)."""
        at_start, at_end = self.holders()
        edges = self.edges
        source = np.where(edges.from_end, at_end[edges.source], at_start[edges.source])
        place = np.empty(len(self), dtype=np.int64)
        place[np.lexsort((np.arange(len(self)), self.key))] = np.arange(len(self))
        found: Bools = (source < 0) | (place[np.maximum(source, 0)] < place[edges.target])
        return found

    def completion_ns(self, host_ns: Ints, end_ns: Ints) -> Ints:
        """The same for any times: ``host_ns`` (s,) the ends of the steps on the host, ``end_ns`` (n,)."""
        found = host_ns.copy()
        own = np.flatnonzero(self.on_device & ~self.carried)
        np.maximum.at(found, np.clip(self.step[own], 0, self.steps - 1), end_ns[own])
        return np.maximum.accumulate(found)

    def keep_edges(self, chosen: Bools) -> Graph:
        """The graph with those of its edges."""
        return structs.replace(self, edges=self.edges.of(chosen))

    def without_links(self, *links: Link) -> Graph:
        """The graph without the edges of some kinds."""
        return self.keep_edges(~np.isin(self.edges.link, [int(link) for link in links]))

    def without(self, nodes: Bools) -> Graph:
        """The graph as if these nodes took no time and had no dependencies: (n,) True for each that goes.

        They stay in the columns, with a duration of 0 and no edges, so that numbers of nodes keep their meaning.
        """
        kept = self.keep_edges(~(nodes[self.edges.source] | nodes[self.edges.target]))
        return structs.replace(
            kept,
            duration_ns=np.where(nodes, 0, self.duration_ns),
            gap_ns=np.where(nodes, 0, self.gap_ns),
            release_ns=np.where(nodes, NEVER, self.release_ns),
        )

    def free(self, classes: Iterable[Work]) -> Graph:
        """The graph with these classes of work free: no duration, and no waits of the class.

        Without SYNC no call waits for the device; without COMPUTE nor are there gaps between kernels.
        """
        chosen = [int(each) for each in classes]
        freed = np.isin(self.work, chosen)
        kept = self
        if Work.SYNC in chosen:
            kept = self.without_links(Link.SYNC, Link.COPY)
        if Work.INPUT in chosen:
            kept = kept.without_links(Link.LOADER)
        return structs.replace(
            kept,
            duration_ns=np.where(freed, 0, self.duration_ns),
            gap_ns=np.where(freed, np.minimum(self.gap_ns, 0), self.gap_ns),
        )
