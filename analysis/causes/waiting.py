"""Waits of the host for the device, a cause a kind: what was read, copied, tested or sized by what the GPU knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from stallscope.analysis.causes.case import Case, Claim
from stallscope.analysis.causes.wait_kinds import find_wait_kinds
from stallscope.analysis.causes.waits import WAITS
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import grouped
from stallscope.analysis.replay.graph import Tag
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.sync import STALLS, Site
from stallscope.analysis.stages.where.places import Place
from stallscope.analysis.units import count, microseconds
from stallscope.traces.model.fields import Memory
from stallscope.traces.model.trace import Bools, Floats, Ints

HALF: Final = 0.5
PINNED_GB_S: Final = 12.0  # or bytes a ns: what PCIe 3.0 x16 moves from pinned memory
BEFORE: Final = 6  # operators before a read, among which the scaler's check stands
MOVES: Final = " The CPU may then wait at its next read instead."
READS: Final = frozenset({"item", "if_tensor", "print", "tolist", "to_host"})  # without them all of the read goes
FIXES: Final = {"item": "record_every_100", "to_device": "pinned_memory"}


def find(case: Case) -> Iterator[Claim]:
    """One cause for each kind of wait, all places of it together."""
    stages = case.stages
    groups: dict[str, list[Site]] = {}
    rows = _rows_of_sites(stages)
    for site, kind in find_wait_kinds(stages).items():
        own = rows.get(_key(site), _NONE)
        scaler = kind == "item" and len(own) and after_check(stages, own).mean() > HALF
        name = "grad_scaler" if scaler else kind
        groups.setdefault(name, []).append(site)
    reads = () if "item" in groups else ("record_every", "deferred_read")  # what is read here is not the loss
    for name, sites in groups.items():
        wait = WAITS[name]
        own = np.concatenate([rows.get(_key(site), _NONE) for site in sites])
        if case.is_claimed(own):
            continue
        nodes = _nodes(case, own, whole=name in READS)
        nodes, kept = _uploads(case, nodes) if name == "to_device" else (nodes, 0.0)
        yield case.claim(
            name if name == "grad_scaler" else f"wait_{name}",
            wait.title,
            nodes=nodes,
            kept=kept,
            cost_us=stages.us(sum(site.blocked_ns for site in sites)),
            evidence=_evidence(stages, sites),
            where=[told for told in dict.fromkeys(_told(site.place) for site in sites) if told],
            advice=wait.advice + MOVES,
            fix=FIXES.get(name),
            bars=reads if name in ("if_tensor", "grad_scaler") else (),
        )


_NONE: Final = np.zeros(0, dtype=np.int64)


def _key(site: Site) -> tuple[str, str, Place]:
    return site.kind, site.api, site.place


def after_check(stages: Stages, rows: Ints) -> Bools:
    """Which of these reads come right after a check of gradients, ``_amp_foreach_non_finite_check…``: GradScaler's."""
    trace, operators = stages.trace, stages.operators
    outer = operators.rows[operators.parent[operators.rows] < 0]
    amp = [name for name, text in enumerate(trace.strings) if text.startswith("aten::_amp_")]
    found = np.zeros(len(rows), dtype=np.bool_)
    for number, row in enumerate(rows.tolist() if amp else ()):
        mine = outer[trace.events.thread[outer] == trace.events.thread[row]]
        at = int(np.searchsorted(trace.events.ts_ns[mine], trace.events.ts_ns[row], side="right")) - 1
        found[number] = np.isin(trace.events.name[mine[max(0, at - BEFORE) : at]], amp).any()
    return found


def _rows_of_sites(stages: Stages) -> dict[tuple[str, str, Place], Ints]:
    """The event rows of the waits of each site, by the site's kind, call and place."""
    ledger = stages.syncs.ledger
    chosen = np.isin(ledger.kind, STALLS) & ~np.isin(ledger.rows, stages.syncs.by_profiler)
    rows, kinds = ledger.rows[chosen], ledger.kind[chosen].tolist()
    places = stages.places.of(rows)
    keys = [
        (kind, stages.trace.name_of(row), place) for kind, row, place in zip(kinds, rows.tolist(), places, strict=True)
    ]
    number = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    told = list(number)
    return {told[at]: rows[mine] for at, mine in grouped(np.array([number[key] for key in keys], dtype=np.int64))}


def _nodes(case: Case, rows: Ints, *, whole: bool) -> Bools:
    """The nodes that go: the calls that wait; of a read the whole outer operator, and the copy that it starts."""
    nodes = case.nodes_of(rows)
    if not whole:
        return nodes
    operators = case.stages.operators
    outer = operators.parent[rows]
    while True:
        above = np.where(outer >= 0, operators.parent[outer], -1)
        if (above < 0).all():
            break
        outer = np.where(above >= 0, above, outer)
    around = np.unique(outer[outer >= 0])
    events = case.trace.events
    times = intervals.union(events.ts_ns[around], events.end_ns[around])
    threads = np.unique(events.thread[rows]).tolist()
    return case.with_launched(nodes | case.nodes_inside(times, threads))


def _uploads(case: Case, nodes: Bools) -> tuple[Bools, Floats]:
    """(the waits, their staging and the copies that they wait for, (n,); what stays of each from pinned memory)."""
    graph, work, trace = case.graph, case.trace.work, case.trace
    if graph is None:
        return nodes, np.zeros(0)
    staging = np.flatnonzero((graph.tag == Tag.STAGING) & ~graph.on_device)
    found = case.with_launched(nodes)
    found[staging] |= nodes[np.minimum(staging + 1, len(graph) - 1)]
    kept = np.zeros(len(graph))
    copies = np.flatnonzero(found & graph.on_device)
    at = np.searchsorted(work.row, graph.row[copies])
    ns = np.maximum(trace.events.dur_ns[work.row[at]], 1)
    pinned_ns = np.where(work.bytes.known[at], work.bytes.values[at] / PINNED_GB_S, ns)
    kept[copies] = np.where(work.memory[at] == Memory.pinned, 1.0, np.minimum(1.0, pinned_ns / ns))
    return found, kept


def _evidence(stages: Stages, sites: list[Site]) -> str:
    """How often, how long, where most, and how long the GPU idles after."""
    calls, blocked = sum(site.calls for site in sites), sum(site.blocked_ns for site in sites)
    most = max(sites, key=lambda site: site.blocked_ns)
    idle = sum(site.idle_after_ns or 0 for site in sites)
    where = _where(most.place, len({_told(site.place) for site in sites}))
    block = "blocks" if calls == stages.window.count else "block"
    for_work = sum(site.waited_ns for site in sites if site.drained_share is not None and site.drained_share < HALF)
    queued = " Most of the blocking is waiting for work that the GPU still had to do."
    queued = queued if for_work > HALF * blocked else ""
    number = stages.per_step(calls)
    times = f"{count(number)} call" if number == 1 else f"{count(number)} calls"
    return (
        f"{times} {block} the CPU for {microseconds(stages.us(blocked))}{where}; the GPU then idles "
        f"{microseconds(stages.us(idle))}.{queued}"
    )


def _where(place: Place, places: int) -> str:
    """``, most of it at train.py:47``: line, else function, else module, else operators."""
    told = _told(place)
    if told is None:
        return ""
    return f", {'most of it ' if places > 1 else ''}{'at' if place.call_site else 'in'} {told}"


def _told(place: Place) -> str | None:
    return place.call_site or place.function or place.module or place.chain
