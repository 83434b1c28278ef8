"""The stages of a trace → its dependency graph: nodes of host and device put together, every edge, and its order."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from stallscope.analysis.columns.rows import distinct
from stallscope.analysis.replay.graph import NEVER, Constants, Edges, Graph, Kind, Link, Small, Tag, Work
from stallscope.analysis.replay.graph_device import Device, find_device
from stallscope.analysis.replay.graph_edges import (
    Waits,
    blocking_copies,
    copy_waits,
    edges_of,
    hand_offs,
    joined,
    launch_edges,
    loader_waits,
    lock_waits,
    queue_waits,
    sync_waits,
    usual_call_ns,
    waits_for_device,
)
from stallscope.analysis.replay.graph_host import Host, Parts, find_host
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.fields import CallKind
from stallscope.traces.model.trace import Bools, Ints


def build(stages: Stages) -> Graph | None:
    """The graph of the window; None where there is nothing to replay: no device work, or no calls."""
    trace, window = stages.trace, stages.window
    if not (stages.measured and stages.launches.known and len(trace.work) and window.length):
        return None
    calls = stages.launches.work_call
    parts = Parts(
        launches=distinct(calls[calls >= 0]),
        synchronize=stages.syncs.ledger.rows[waits_for_device(stages)],
        copies=blocking_copies(stages),
    )
    device = find_device(trace, window, stages.launches, parts.copies)
    host = find_host(trace, window, parts, device)
    if host is None or not len(device):
        return None
    return _graph(stages, host, device, parts)


def _graph(stages: Stages, host: Host, device: Device, parts: Parts) -> Graph:
    waits = [
        sync_waits(stages, host, device),
        queue_waits(stages, host, device),
        copy_waits(stages, host, device, parts.copies),
        lock_waits(stages, host),
        loader_waits(stages, host),
    ]
    edges = joined(
        launch_edges(stages, host, device),
        hand_offs(host),
        _orphans(host, device),
        *(each.edges for each in waits),
    )
    constants = device.constants(waits[0].sync_return_ns, usual_call_ns(stages), stages.queue.full_depth)
    graph = _nodes(stages, host, device, waits, edges, constants)
    forward = graph.in_order()
    graph = replace(graph.keep_edges(forward), contradicted=int((~forward).sum()))
    return _pinned(graph, device)


def _pinned(graph: Graph, device: Device) -> Graph:
    """Device work whose launch edge had to go starts as measured; what follows the host needs no release."""
    launched = np.zeros(len(graph), dtype=np.bool_)
    launched[graph.edges.target[graph.edges.link == Link.LAUNCH]] = True
    called = np.zeros(len(graph), dtype=np.bool_)
    called[len(graph) - len(device) :] = device.call >= 0
    followed = np.zeros(len(graph), dtype=np.bool_)
    followed[graph.edges.target[graph.edges.link == Link.ORPHAN]] = True
    release = np.where(called & ~launched, graph.start_ns, graph.release_ns)
    return replace(graph, release_ns=np.where(followed, NEVER, release))


def _orphans(host: Host, device: Device) -> Edges:
    """The main thread, as far as it was when it would have launched them → orphans that a gap stood before."""
    orphans = np.flatnonzero((device.call < 0) & ~device.carried & (device.release > NEVER))
    mine = np.flatnonzero(host.thread == host.main)
    begins = host.start[mine] % (host.line.length + 1)
    asked = device.start[orphans] - device.latency[orphans]
    node = mine[np.maximum(np.searchsorted(begins, asked, side="right") - 1, 0)]
    lag = device.start[orphans] - host.start[node] % (host.line.length + 1)
    return edges_of(node, len(host.start) + orphans, Link.ORPHAN, lag=lag, from_end=False)


def _nodes(stages: Stages, host: Host, device: Device, waits: list[Waits], edges: Edges, constants: Constants) -> Graph:
    line, window = host.line, stages.window
    thread = host.thread
    begin, end = host.start - thread * (line.length + 1), host.end - thread * (line.length + 1)
    duration = np.where(host.kind == Kind.WAIT, 0, end - begin)
    for each in waits:
        duration[each.node] = each.own_ns
    last = np.append(thread[1:] != thread[:-1], True)
    duration[last & (thread != host.main) & (host.kind == Kind.SEGMENT)] = 0  # nothing waits for what comes after
    bounds = np.append(window.step_starts[1:], window.step_ends[-1:]) - window.start
    mine = np.flatnonzero(thread == host.main)
    step_last = mine[np.maximum(np.searchsorted(end[mine], bounds, side="right") - 1, 0)]
    launched = np.where(device.call >= 0, stages.trace.events.ts_ns[device.call] - window.start, device.start)
    opened = window.step_starts - window.start
    step = np.maximum(np.searchsorted(opened, np.concatenate((begin, launched)), side="right") - 1, 0)
    zeros = np.zeros(len(thread), dtype=np.int64)
    start_ns, end_ns = np.concatenate((begin, device.start)), np.concatenate((end, device.end))
    return Graph(
        kind=np.concatenate((host.kind, device.kind)),
        work=np.concatenate((_classes(stages, host), device.classes)),
        tag=np.concatenate((host.tag, np.full(len(device), Tag.NONE, dtype=np.uint8))),
        resource=np.concatenate((thread, len(line.threads) + device.stream)).astype(np.int32),
        row=np.concatenate((host.row, stages.trace.work.row[device.work])),
        step=step.astype(np.int32),
        start_ns=start_ns,
        end_ns=end_ns,
        duration_ns=np.concatenate((duration, device.end - device.start)),
        gap_ns=np.concatenate((zeros, device.gap)),
        release_ns=np.concatenate((zeros + NEVER, device.release)),
        carried=np.concatenate((zeros > 0, device.carried)),
        key=np.concatenate((4 * end + (host.kind == Kind.WAIT), _device_keys(stages, device))),
        edges=edges,
        threads=len(line.threads),
        main=host.main,
        step_last=step_last,
        step_ends_ns=bounds,
        constants=constants,
        late_ns=device.late_ns,
        contradicted=0,
    )


def _device_keys(stages: Stages, device: Device) -> Ints:
    """When device work is evaluated: at its start, after its call, after the work before it on its stream."""
    events, begin = stages.trace.events, stages.window.start
    called = np.where(device.from_end, events.end_ns[device.call], events.ts_ns[device.call]) - begin
    at = np.maximum(device.start, np.where(device.call >= 0, called, 0))
    beyond = 2 * int(at.max()) + 2
    at = np.maximum.accumulate(at + device.stream * beyond) - device.stream * beyond
    return 4 * at + 2


def _classes(stages: Stages, host: Host) -> Small:
    """The class of each host node."""
    found = np.full(len(host.start), Work.HOST, dtype=np.uint8)
    found[(host.kind == Kind.COPY_CALL) | (host.tag == Tag.STAGING)] = Work.COPY
    found[(host.kind == Kind.SYNC) | (host.tag == Tag.ITEM) | _turns_memory_over(stages, host)] = Work.SYNC
    found[host.tag == Tag.INPUT] = Work.INPUT
    found[(host.tag == Tag.PROFILER) & (found == Work.HOST)] = Work.NONE
    found[np.isin(host.row, stages.syncs.by_profiler) & (host.row >= 0)] = Work.NONE
    return found


def _turns_memory_over(stages: Stages, host: Host) -> Bools:
    """Calls that free the device's memory, which waits for the device, and those that ask for it again, (h,).

    In the loop alone: a run that begins asks for memory once.
    """
    events = stages.trace.events
    frees = events.is_call(host.row, CallKind.DEVICE_FREE)
    loops = frees.any() and stages.window.from_steps
    return (frees | events.is_call(host.row, CallKind.DEVICE_ALLOCATION)) & loops
