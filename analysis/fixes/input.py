"""Getting data to the GPU: worker processes that load it, pinned memory that is copied without waiting."""

from __future__ import annotations

import numpy as np

from stallscope.analysis.fixes import constants
from stallscope.analysis.fixes.fix import Bound, Fix, cannot, lasting, plus, scaled
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.replay.graph import Graph, Kind, Link, Tag
from stallscope.analysis.replay.replay import replay
from stallscope.analysis.units import count, microseconds, quantity
from stallscope.traces.model.trace import Bools

LOADER_PRIOR, PINNED_PRIOR = 0.05, 0.03
FRUITLESS = 0.01  # of the step: below this a fix has nothing to save


def dataloader_workers(subject: Subject, wanted: Wanted) -> Fix:
    """Batches made by other processes while this one trains: fetching takes what is left of making one."""
    workers = wanted.number or 4.0
    now, share = subject.us_per_step(subject.input), subject.facts.share(subject.facts.input.dataloader_ns)
    if subject.facts.input.workers:
        return cannot(
            wanted, "the DataLoader has worker processes already; what a batch costs them, this trace does not say"
        )
    if not subject.input.any() or share < FRUITLESS:
        return cannot(
            wanted, "no time is spent in a DataLoader" if not now else "hardly any time is spent in the DataLoader"
        )

    def change(graph: Graph, bound: Bound) -> Graph:
        busier = scaled(graph, subject.host & ~subject.input, 1 + bound.of(constants.LOADER_CONTENTION))
        made = subject_us(graph, subject) * (1 + bound.of(constants.LOADER_OVERHEAD))
        rest = replay(lasting(busier, subject.input, 0), passes=subject.passes).step_ns / 1000
        fetch = max(bound.of(constants.LOADER_NEXT), made / workers - rest)
        return scaled(busier, subject.input, fetch / max(subject_us(graph, subject), 1e-3))

    return Fix(
        wanted=wanted,
        why=f"making a batch takes {microseconds(now)} of the main process; {workers:.0f} worker processes make "
        "them meanwhile, and compete with it for the CPU, which the interval allows for",
        change=change,
        prior=LOADER_PRIOR,
        family="input",
        bounded=True,
    )


def subject_us(graph: Graph, subject: Subject) -> float:
    """Time in the DataLoader a step, µs, as the graph has it now."""
    return float(graph.duration_ns[subject.input].sum()) / (1000 * graph.steps)


def pinned_memory(subject: Subject, wanted: Wanted) -> Fix:
    """Copies to the GPU from pinned memory: faster, and the host does not wait for them."""
    copies = subject.pageable_uploads & ~subject.graph.carried
    if not copies.any():
        return cannot(wanted, "no copy to the GPU comes from pageable memory")
    trace, graph = subject.stages.trace, subject.graph
    place = np.searchsorted(trace.work.row, graph.row[copies])
    known = trace.work.bytes.known[place]
    moved = np.where(known, trace.work.bytes.values[place], 0)
    calls = np.unique(subject.launcher[copies & (subject.launcher >= 0)])
    calls = calls[calls >= 0]
    waits = _waits_after(subject, calls)
    staging = subject.host & (graph.tag == Tag.STAGING)
    workers = subject.facts.input.workers is True  # a thread of the training process then pins, beside it
    firsts = subject.firsts
    rate = constants.pinned_rate(trace.devices[0].compute_capability if trace.devices else None)
    us_to_pin = float(moved.sum()) / (1000 * graph.steps)  # at 1 GB/s

    def change(graph: Graph, bound: Bound) -> Graph:
        took = graph.duration_ns[copies]
        faster = np.where(known, np.minimum(took, moved / bound.of_rate(rate) + 1000), took)
        quick = lasting(lasting(graph, copies, faster), calls, 1000 * bound.of(constants.PINNED_CALL))
        unblocked = _unblocked(lasting(quick, staging, 0).without(waits), calls)
        return unblocked if workers else plus(unblocked, firsts, us_to_pin / bound.of_rate(constants.HOST_COPY_RATE))

    return Fix(
        wanted=wanted,
        why=f"{count(subject.per_step(copies))} copies a step ({quantity(float(moved.sum()) / graph.steps)}) come from "
        f"pageable memory, and the CPU waits for each. {_pinning(workers=workers)}",
        change=change,
        prior=PINNED_PRIOR,
        bounded=True,
    )


def _pinning(*, workers: bool) -> str:
    """Who copies the batch into pinned memory."""
    if workers:
        return "With pin_memory=True a thread of the DataLoader's pins each batch meanwhile"
    return (
        "Without worker processes the main process itself pins each batch, DataLoader(pin_memory=True) or "
        "x.pin_memory(), which may cost what it saves"
    )


def _unblocked(graph: Graph, calls: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Graph:
    """The graph in which these calls do not wait for their copy."""
    held = np.isin(graph.edges.target, calls) & np.isin(graph.edges.link, (int(Link.COPY), int(Link.SYNC)))
    return graph.keep_edges(~held)


def _waits_after(subject: Subject, calls: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Bools:
    """The Synchronize call that ``copy_`` makes right after each of the copies, to wait for it."""
    graph = subject.graph
    found = np.zeros(len(graph), dtype=np.bool_)
    for distance in (1, 2):
        after = calls + distance
        after = after[after < len(graph)]
        same = graph.resource[after] == graph.resource[after - distance]
        found[after[same & (graph.kind[after] == Kind.SYNC)]] = True
    return found
