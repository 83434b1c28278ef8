"""Loading data: the training process in its DataLoader while it could do something else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from stallscope.analysis.causes.case import Case, Claim
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import matches, rows_named
from stallscope.analysis.replay.graph import Tag
from stallscope.analysis.stages.where.fetches import OFTEN, find_fetches
from stallscope.analysis.units import count, microseconds, percent
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Ints

MOST: Final = 0.5
ROWS: Final = 8  # samples picked one by one in a fetch
SHORT_FETCH_US: Final = 1000.0  # a worker costs about as much to hand a batch over
WORKERS: Final = 4  # processes of a DataLoader to begin with, where there are cores for them
GRAPHS: Final = ("cuda_graph", "compile_reduce_overhead")

_is_pick: Final = matches(re.compile(r"aten::(select|index|slice|__getitem__)$"))


def find(case: Case) -> Iterator[Claim]:
    """The DataLoader, by what its fetches look like."""
    facts, fetches = case.facts, find_fetches(case.trace, case.stages.window)
    if not facts.input.dataloader_ns or not len(fetches):
        return
    graph = case.graph
    nodes = None if graph is None else ~graph.on_device & (graph.tag == Tag.INPUT)
    lengths, long = fetches.length_ns, fetches.long
    usual = float(np.median(lengths))
    spent = float(lengths[long].sum()) / max(1, int(lengths.sum()))
    cost = facts.us(facts.input.dataloader_ns)
    fetch = f"A fetch takes {microseconds(facts.input.fetch_us)}"
    picks = _picks(case, fetches.rows)
    if picks >= ROWS and not facts.input.workers and _launches(case, fetches.rows):
        yield case.claim(
            "loader_row_by_row",
            "samples are picked one by one from data that is on the GPU already",
            nodes=None if nodes is None else case.with_launched(nodes),
            cost_us=cost,
            evidence=f"{fetch}; it picks {count(picks)} samples one by one, with kernels for each.",
            advice="Take whole batches by index, without a DataLoader: idx = torch.randperm(n, device=x.device); "
            "x[idx[i : i + b]].",
            bars=("dataloader_workers", "pinned_memory"),
        )
    elif facts.input.workers and spent >= MOST and int(long.sum()) >= OFTEN and not fetches.in_bursts:
        yield case.claim(
            "loader_restart",
            "the DataLoader's workers are started anew each epoch",
            nodes=nodes,
            cost_us=cost + case.stages.us(intervals.total(fetches.starts)),
            evidence=f"{int(long.sum())} of {len(fetches)} fetches take {_us(lengths[long].mean())} each, "
            f"{percent(spent)} of all loading; the others take {_us(usual)}.",
            advice="DataLoader(..., persistent_workers=True) keeps them from epoch to epoch.",
            bars=GRAPHS,
        )
    elif facts.input.workers and spent >= MOST and int(long.sum()) == 1 and bool(long[0]):
        yield case.claim(
            "loader_first_fetch",
            "the first fetch starts the DataLoader's workers",
            nodes=nodes,
            cost_us=cost,
            evidence=f"The first of {len(fetches)} fetches takes {_us(lengths[0])}, the others {_us(usual)}.",
            advice="A longer recording, begun later, shows the steady state.",
            confidence="low",
        )
    else:
        yield _plain(case, cost, fetch)


def _plain(case: Case, cost: float, fetch: str) -> Claim:
    graph = case.graph
    slow = case.facts.input.workers is True
    return case.claim(
        "loader_workers_slow" if slow else "loader_main_process",
        "waiting for the DataLoader's workers" if slow else "loading data in the main process",
        nodes=None if graph is None else ~graph.on_device & (graph.tag == Tag.INPUT),
        cost_us=cost,
        evidence=f"{fetch}.",
        advice=_advice(case, on_cpu=case.on_cpu),
        fix="dataloader_workers",
        bars=GRAPHS if slow else (),
    )


def _us(ns: float) -> str:
    return microseconds(float(ns) / 1000)


def _picks(case: Case, fetches: Ints) -> float:
    """Samples picked in a fetch by operators of the training process."""
    trace = case.trace
    rows = rows_named(trace, trace.events.rows(Category.CPU_OP), _is_pick)
    rows = rows[np.isin(case.stages.operators.parent[rows], [-1, *fetches.tolist()])]
    inside = intervals.covers(case.stages.window.cover(trace, fetches), trace.events.ts_ns[rows])
    return float(inside.sum()) / len(fetches)


def _launches(case: Case, fetches: Ints) -> bool:
    """Whether most fetches launch kernels."""
    trace = case.trace
    inside = intervals.covers(case.stages.window.cover(trace, fetches), trace.events.ts_ns[case.stages.launches.calls])
    return bool(inside.sum() >= len(fetches))


def _advice(case: Case, *, on_cpu: bool) -> str:
    """What to do about loading: more workers, some, or none where they would not pay; never what is set already."""
    facts, set_up = case.facts, None if case.manifest is None else case.manifest.settings
    workers_now = max((each.workers for each in set_up.loaders), default=0) if set_up is not None else 0
    if facts.input.workers and facts.host.cores is not None and workers_now >= facts.host.cores:
        return (
            f"The DataLoader has {workers_now} workers for {facts.host.cores} cores already: make the transforms "
            "cheaper, do them once and keep the result, or do them for whole batches (on the GPU where there is one)."
        )
    if facts.input.workers:
        return (
            "The DataLoader has workers, and they are too slow: raise num_workers (up to the CPU cores) and "
            "prefetch_factor, or make the transforms cheaper."
        )
    workers = WORKERS if facts.host.cores is None else min(WORKERS, facts.host.cores - 1)
    fetch_us = facts.input.fetch_us
    if fetch_us is not None and 0 < fetch_us < SHORT_FETCH_US:
        return (
            f"A fetch takes {microseconds(fetch_us)}, less than handing it over from a worker process may cost: where "
            f"the data fit in memory, keep them as tensors{'' if on_cpu else ' on the GPU'} and index those "
            "(x[i : i + n]) instead of a DataLoader."
        )
    if workers < 1:
        return "Make the transforms cheaper, or do them once and keep the result: no core is free for workers."
    pinned = "" if on_cpu else ", pin_memory=True"
    return f"Load in the background: DataLoader(..., num_workers={workers}, persistent_workers=True{pinned})."
