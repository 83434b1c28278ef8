"""What makes the host wait: the edges that end in Synchronize calls, blocking copies, full queues, held locks."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from stallscope.analysis.columns.rows import both, grouped
from stallscope.analysis.replay.graph import Edges, Kind, Link, Tag
from stallscope.analysis.replay.graph_device import ASSUMED_GAP_NS, ENOUGH, SLACK_NS, Device
from stallscope.analysis.replay.graph_host import Host
from stallscope.analysis.replay.stream_waits import StreamWaits, find_stream_waits
from stallscope.analysis.stages.activity import is_dataloader
from stallscope.analysis.stages.awaited import ALL, SKEW_NS, scopes
from stallscope.analysis.stages.memcpy import SHORTEST_UPLOAD_NS
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.sync import LONG_WAIT_NS
from stallscope.analysis.stages.where.fetches import OFTEN, find_fetches
from stallscope.analysis.stages.where.launches import stream_numbers
from stallscope.traces.model.fields import Direction, Memory
from stallscope.traces.model.trace import Bools, Ints

BEHIND: Final = 0.05  # of a step that the median fetch waits, from which the workers are behind
READY: Final = 0.25  # of the fetches find their batch ready …
READY_NS: Final = 1_500_000  # … which takes no longer than this
LOCKED: Final = 3
LOCK_NS: Final = 5_000
ASSUMED_RETURN_NS: Final = 6_000


class Waits(msgspec.Struct, frozen=True):
    """Edges to host nodes, and what the calls that they end in take by themselves."""

    edges: Edges  # device nodes are numbered from the number of host nodes on
    node: Ints  # host nodes …
    own_ns: Ints  # … and their own durations
    sync_return_ns: int | None


def edges_of(source: Ints, target: Ints, link: Link, *, lag: Ints | int = 0, from_end: Bools | bool = True) -> Edges:
    """Edges of one kind."""
    size = len(source)
    return Edges(
        source=source.astype(np.int64),
        from_end=np.broadcast_to(np.asarray(from_end, dtype=np.bool_), size).copy(),
        target=target.astype(np.int64),
        lag_ns=np.broadcast_to(np.asarray(lag, dtype=np.int64), size).copy(),
        link=np.full(size, link, dtype=np.uint8),
    )


def joined(*parts: Edges) -> Edges:
    """All of them."""
    return Edges(
        source=np.concatenate([part.source for part in parts]),
        from_end=np.concatenate([part.from_end for part in parts]),
        target=np.concatenate([part.target for part in parts]),
        lag_ns=np.concatenate([part.lag_ns for part in parts]),
        link=np.concatenate([part.link for part in parts]),
    )


def launch_edges(stages: Stages, host: Host, device: Device) -> Edges:
    """Call → work, and work → work on another stream."""
    events, shift = stages.trace.events, len(host.start)
    launched = np.flatnonzero(device.call >= 0)
    call, node = device.call[launched], host.node_of(device.call[launched])
    outer, from_end = host.row[node], device.from_end[launched]
    inside = np.where(from_end, events.end_ns[call] - events.end_ns[outer], events.ts_ns[call] - events.ts_ns[outer])
    launches = edges_of(node, shift + launched, Link.LAUNCH, lag=device.latency[launched] + inside, from_end=from_end)
    told = stream_waits(stages, host, device)
    waited = np.flatnonzero(device.other >= 0)
    waited = waited[~np.isin(waited + shift, told.target)]  # what is told needs no guess
    other = device.other[waited]
    lag = device.start[waited] - device.end[other]
    return joined(launches, told, edges_of(shift + other, shift + waited, Link.EVENT, lag=lag))


def stream_waits(stages: Stages, host: Host, device: Device) -> Edges:
    """Work → the next work of a stream that was told to wait for it."""
    trace, begin = stages.trace, stages.window.start
    waits, none = find_stream_waits(trace), np.zeros(0, dtype=np.int64)
    if not len(waits.stream) or not len(device):
        return edges_of(none, none, Link.EVENT)
    launched = np.where(device.call >= 0, trace.events.ts_ns[device.call] - begin, -1)
    mine = {int(stream_numbers(trace)[device.work[rows[0]]]): rows for _, rows in grouped(device.stream)}
    pairs = [
        (before[-1], after[0])
        for stream, told, other, recorded in zip(*(each.tolist() for each in _moments(waits, begin)), strict=True)
        if stream in mine and other in mine
        if len(before := mine[other][launched[mine[other]] < recorded])
        and len(after := mine[stream][launched[mine[stream]] > told])
    ]
    columns = np.unique(np.array(pairs, dtype=np.int64).reshape(-1, 2), axis=0)
    source, target = columns[:, 0], columns[:, 1]
    usual = ASSUMED_GAP_NS if device.gap_ns is None else max(0, device.gap_ns)
    lag = np.minimum(usual, device.start[target] - device.end[source])
    kept = lag > -SLACK_NS  # else it started while the other was at work: it did not wait
    shift = len(host.start)
    return edges_of(shift + source[kept], shift + target[kept], Link.EVENT, lag=lag[kept])


def _moments(waits: StreamWaits, begin: int) -> tuple[Ints, Ints, Ints, Ints]:
    return waits.stream, waits.waits_from - begin, waits.other, waits.recorded - begin


def hand_offs(host: Host) -> Edges:
    """End of one thread's work → end of another's wait."""
    waits = np.flatnonzero(host.handed_by >= 0)
    return edges_of(host.handed_by[waits], waits, Link.HANDOFF)


def waits_for_device(stages: Stages) -> Bools:
    """Which calls of the ledger are waits: Synchronize calls, and those for memory that waited for the device."""
    ledger = stages.syncs.ledger
    waits: Bools = (ledger.kind == "synchronize") | ((ledger.kind == "allocation") & (ledger.waits.work >= 0))
    return waits


def sync_waits(stages: Stages, host: Host, device: Device) -> Waits:
    """Device work → Synchronize calls."""
    trace, ledger, start = stages.trace, stages.syncs.ledger, stages.window.start
    chosen = np.flatnonzero(waits_for_device(stages) & (host.node_of(ledger.rows) >= 0))
    rows = ledger.rows[chosen]
    call, work = _last_launched(stages, device, rows)
    ends = trace.events.end_ns[rows] - start
    possible = device.end[work] <= ends[call] + SKEW_NS
    call, work = call[possible], work[possible]
    told = _told(device, ledger.waits.work[chosen], np.isin(np.arange(len(rows)), call))
    call, work = np.concatenate((call, told[0])), np.concatenate((work, told[1]))
    last = np.full(len(rows), -1, dtype=np.int64)
    np.maximum.at(last, call, device.end[work])
    begins = trace.events.ts_ns[rows] - start
    waited = last > begins
    own_call = np.isin(rows, stages.syncs.by_profiler)
    sample = (ends - last)[waited & ~own_call]
    returns = int(np.median(sample)) if len(sample) >= ENOUGH else None
    node = host.node_of(rows)
    length = host.end[node] - host.start[node]
    own = np.where(waited, np.minimum(trace.events.dur_ns[rows] - ledger.waits.waited_ns[chosen], length), length)
    returned, closed = ends[call] - last[call], (ends - np.maximum(last, begins))[call]
    usual = ASSUMED_RETURN_NS if returns is None else returns
    back = np.where(own_call[call], closed, np.where(waited[call], usual, np.minimum(usual, returned)))
    edges = edges_of(len(host.start) + work, node[call], Link.SYNC, lag=back)
    edges.link[own_call[call]] = Link.CLOSING
    return Waits(edges, node, own, returns)


def _last_launched(stages: Stages, device: Device, rows: Ints) -> tuple[Ints, Ints]:
    """(which of the calls, which device work) for the last work launched before each call on each stream it waits for.

    What an earlier call of the same thread that waits for everything has waited for is not named again.
    """
    trace = stages.trace
    (scope, until), thread = scopes(trace, stages.launches, rows), trace.events.thread[rows]
    numbers = stream_numbers(trace)
    begins = until - stages.window.start
    calls, works = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    launched = np.where(device.call >= 0, trace.events.ts_ns[device.call] - stages.window.start, device.start)
    launched[device.carried] = -1
    for _, mine in grouped(device.stream):
        number = int(numbers[device.work[mine[0]]])
        waiting = np.flatnonzero((scope == number) | (scope == ALL))
        before = np.searchsorted(np.maximum.accumulate(launched[mine]), begins[waiting], side="left") - 1
        waiting, before = waiting[before >= 0], before[before >= 0]
        order = np.lexsort((waiting, thread[waiting]))
        waiting, before = waiting[order], before[order]
        wide = scope[waiting] == ALL
        same = np.zeros(len(waiting), dtype=np.bool_)
        same[1:] = wide[1:] & wide[:-1] & (thread[waiting[1:]] == thread[waiting[:-1]]) & (before[1:] == before[:-1])
        calls.append(waiting[~same])
        works.append(mine[before[~same]])
    return np.concatenate(calls), np.concatenate(works)


def _told(device: Device, work: Ints, known: Bools) -> tuple[Ints, Ints]:
    """(calls, work) of the calls without any, where something is known to have ended the wait."""
    place = dict(zip(device.work.tolist(), range(len(device)), strict=True))
    pairs = [(i, place[w]) for i, w in enumerate(work.tolist()) if w in place and not known[i]]
    return np.array([i for i, _ in pairs], dtype=np.int64), np.array([w for _, w in pairs], dtype=np.int64)


def blocking_copies(stages: Stages) -> Ints:
    """Event rows of the copy calls that wait for their copy: those that end after it, and uploads of pageable memory.

    Of an upload the call returns when the last piece is staged, up to 0.1 ms before the copy ends.
    """
    trace, calls = stages.trace, stages.launches.work_call
    staged = (trace.work.direction == Direction.HtoD) & (trace.work.memory != Memory.pinned)
    uploads = np.flatnonzero(staged & (calls >= 0))
    rows, calls = trace.work.row[uploads], calls[uploads]
    waits = trace.events.end_ns[calls] > trace.events.ts_ns[rows] + trace.events.dur_ns[rows] // 2
    waits &= trace.events.dur_ns[rows] >= SHORTEST_UPLOAD_NS
    return both(stages.copies.blocking_calls, calls[waits])


def copy_waits(stages: Stages, host: Host, device: Device, blocking: Ints) -> Waits:
    """Copies → the calls that blocked for them."""
    trace = stages.trace
    blocks = np.flatnonzero(np.isin(device.call, blocking) & (device.call >= 0))
    node = host.node_of(device.call[blocks])
    ends = host.end[node] % (host.line.length + 1)
    waited = device.start[blocks] < ends
    blocks, node, ends = blocks[waited], node[waited], ends[waited]
    lag = ends - device.end[blocks]
    for _, mine in grouped(trace.events.name[trace.work.row[device.work[blocks]]]):
        lag[mine] = int(np.median(lag[mine]))
    length = host.end[node] - host.start[node]
    usual = usual_call_ns(stages)
    edges = edges_of(len(host.start) + blocks, node, Link.COPY, lag=lag)
    return Waits(edges, node, length if usual is None else np.minimum(length, usual), None)


def queue_waits(stages: Stages, host: Host, device: Device) -> Waits:
    """Start of a launch's work → the launch call as many launches later as the stream's queue holds."""
    queue, shift, none = stages.queue, len(host.start), np.zeros(0, dtype=np.int64)
    kept = host.node_of(queue.blocked_calls) >= 0
    blocked, beyond = queue.blocked_calls[kept], queue.blocked_ns[kept]
    edges = [edges_of(none, none, Link.QUEUE)]
    for _, mine in grouped(device.stream):
        by_call = mine[np.lexsort((device.start[mine], device.call[mine]))]  # those launched before come first
        call = device.call[by_call]
        first = (call < 0) | np.concatenate(([True], call[1:] != call[:-1]))
        by_call, call = by_call[first], call[first]
        held = np.flatnonzero(np.isin(call, blocked))
        if not len(held):
            continue
        ends = stages.trace.events.end_ns[call] - stages.window.start
        left = np.searchsorted(np.sort(device.start[by_call]), ends[held], side="right")
        depth = int((held + 1 - left).max())
        held = held[held >= depth]
        if depth <= 0 or not len(held):
            continue
        lag = int(np.median(ends[held] - device.start[by_call[held - depth]]))
        later = np.arange(depth, len(by_call))
        later = later[call[later] >= 0]
        node = host.node_of(call[later])
        edges.append(edges_of(shift + by_call[later - depth], node, Link.QUEUE, lag=lag, from_end=False))
    node = host.node_of(blocked)
    own = np.maximum(host.end[node] - host.start[node] - beyond, 0)
    return Waits(joined(*edges), node, own, None)


def lock_waits(stages: Stages, host: Host) -> Waits:
    """End of a call → end of another thread's call that had to wait for it: the runtime lets one thread in at a time.

    Told by a call that began during the other, took three times as long as calls of its name usually take (and 5 µs
    more), and returned within 5 µs of the other's end.
    """
    names, none = stages.trace.events.name, np.zeros(0, dtype=np.int64)
    calls = np.flatnonzero((host.row >= 0) & np.isin(host.kind, (int(Kind.CALL), int(Kind.LAUNCH))))
    thread, size = host.thread[calls], host.line.length + 1
    start, end = host.start[calls] % size, host.end[calls] % size
    usual = np.zeros(len(calls), dtype=np.int64)
    for _, mine in grouped(names[host.row[calls]]):
        usual[mine] = int(np.median((end - start)[mine]))
    slow = np.flatnonzero(end - start > LOCKED * usual + LOCK_NS)
    if not len(slow) or len(np.unique(thread)) < 2:  # noqa: PLR2004 - it takes two
        return Waits(edges_of(none, none, Link.LOCK), none, none, None)
    holder = np.full(len(slow), -1, dtype=np.int64)
    for each, mine in grouped(thread):
        waiting = np.flatnonzero(thread[slow] != each)
        place = np.searchsorted(end[mine], end[slow[waiting]], side="right") - 1
        found = mine[np.maximum(place, 0)]
        began, ended = start[slow[waiting]], end[slow[waiting]]
        held = (place >= 0) & (start[found] <= began) & (end[found] > began) & (ended - end[found] <= LOCK_NS)
        holder[waiting[held]] = found[held]
    slow, holder = slow[holder >= 0], holder[holder >= 0]
    edges = edges_of(calls[holder], calls[slow], Link.LOCK, lag=end[slow] - end[holder])
    return Waits(edges, calls[slow], usual[slow], None)


def loader_waits(stages: Stages, host: Host) -> Waits:
    """End of a fetch → end of the next one, where the DataLoader's workers are behind in most steps.

    However fast the training is, the next batch comes when the workers have made it. A quarter of the fetches is taken
    to have found its batch ready, unless they took longer than that ever does: so much a fetch takes by itself. Where
    only some fetches are long (workers that start), nothing holds the others back; but where these come at the pace of
    workers that hand over their batches at one time, each is held back by the one before it.
    """
    none = np.zeros(0, dtype=np.int64)
    nothing = Waits(edges_of(none, none, Link.LOADER), none, none, None)
    nodes = np.flatnonzero((host.tag == Tag.INPUT) & (host.thread == host.main))
    workers = any("_MultiProcessing" in name and is_dataloader(name) for name in stages.trace.strings)
    if not workers or not len(nodes):
        return nothing
    first = np.flatnonzero(np.concatenate(([True], np.diff(nodes) > 1)))
    last = np.append(first[1:], len(nodes)) - 1
    fetch_ns = host.end[nodes[last]] - host.start[nodes[first]]
    waited = np.maximum(fetch_ns - min(int(np.quantile(fetch_ns, READY)), READY_NS), 0)
    long_ns = max(LONG_WAIT_NS, BEHIND * host.line.length / len(first))
    held = np.arange(len(first))
    if np.median(waited) < long_ns and find_fetches(stages.trace, stages.window).in_bursts:
        held = np.flatnonzero(waited >= long_ns)
    elif np.median(waited) < long_ns:
        return nothing
    if len(first) < ENOUGH or len(held) < OFTEN:
        return nothing
    longest = np.array([mine[np.argmax((host.end - host.start)[mine])] for mine in np.split(nodes, first[1:])])
    own = np.maximum((host.end - host.start)[longest] - waited, 0)
    ended = nodes[last[held]]
    edges = edges_of(ended[:-1], ended[1:], Link.LOADER, lag=np.diff(host.end[ended]))
    return Waits(edges, longest[held[1:]], own[held[1:]], None)


def usual_call_ns(stages: Stages) -> int | None:
    """What a launch call takes, median; None without any."""
    calls = stages.launches.calls
    return int(np.median(stages.trace.events.dur_ns[calls])) if len(calls) else None
