"""The six rules of ``torch.profiler._trace_validator``, written anew and counted; torch is not imported.

Torch's rules are narrower than Stallscope's issues: they name kernels by ``External id``, know CUDA's names only and
look at waits as CUDA spells them. They are counted as torch 2.13 counts them, so that both can be set side by side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stallscope.traces.describe.details import KERNEL, Rows
from stallscope.traces.model.trace import Bools, Ints
from stallscope.traces.text.values import NO_ID
from stallscope.traces.vendors.peers import (
    TORCH_EVENT_SYNC,
    TORCH_LAUNCH,
    TORCH_RECORDS,
    TORCH_STREAM_SYNC,
    TORCH_STREAM_WAIT,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """How often one rule is broken."""

    name: str  # torch's, without the leading ``_check_``
    meaning: str
    violations: int


def validate(rows: Rows) -> tuple[Rule, ...]:
    """Every rule, in torch's order."""
    return tuple(Rule(name, meaning, count(rows)) for name, meaning, count in RULES)


def _kernels_before_their_launch(rows: Rows) -> int:
    """External ids whose first kernel starts before the first ``cudaLaunchKernel`` of that id."""
    known = rows.external_id != NO_ID  # torch does not know the spelling of 2021
    launches = known & rows.of_category("cuda_runtime") & rows.named(TORCH_LAUNCH)
    launched, launch = _first(rows.external_id[launches], rows.start[launches])
    ran, kernel = _first(*(column[known & rows.of_category(KERNEL)] for column in (rows.external_id, rows.start)))
    _, of_launch, of_kernel = np.intersect1d(launched, ran, assume_unique=True, return_indices=True)
    return int((kernel[of_kernel] < launch[of_launch]).sum())


def _first(ids: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """(the distinct ids, the first start of each)."""
    order = np.lexsort((starts, ids))
    distinct, first = np.unique(ids[order], return_index=True)
    return distinct, starts[order][first]


def _waits_for_nothing(rows: Rows) -> int:
    """Waits on an event that do not name the call that recorded it."""
    return sum(wait.recorded_by is None for wait in rows.waits if wait.kind in (TORCH_STREAM_WAIT, TORCH_EVENT_SYNC))


def _kernels_in_a_synchronize(rows: Rows) -> int:
    """Pairs of a stream synchronize and a kernel of that stream that still runs when it starts."""
    synchronize = np.zeros(len(rows.start), np.bool_)
    synchronize[[wait.row for wait in rows.waits if wait.kind == TORCH_STREAM_SYNC]] = True
    synchronize &= rows.of_category("cuda_sync")
    kernels = rows.of_category(KERNEL)
    return sum(_running(rows, synchronize, kernels, queue) for queue in np.unique(rows.queue[synchronize]).tolist())


def _running(rows: Rows, synchronize: Bools, kernels: Bools, queue: int) -> int:
    """The same of one queue."""
    starts = np.sort(rows.start[synchronize & (rows.queue == queue)])
    mine = kernels & (rows.queue == queue)
    found = np.searchsorted(starts, rows.end[mine]) - np.searchsorted(starts, rows.start[mine], side="right")
    return int(np.maximum(0, found).sum())


def _waits_for_the_future(rows: Rows) -> int:
    """Stream waits whose event was recorded later, or by no call in the trace."""
    records = rows.of_category("cuda_runtime", "cuda_driver") & rows.named(*TORCH_RECORDS)
    numbers = np.concatenate((rows.external_id[records], rows.correlation[records]))
    distinct, first = _first(numbers, np.tile(rows.start[records], 2))
    recorded = dict(zip(distinct.tolist(), first.tolist(), strict=True))
    waits = [(int(rows.start[wait.row]), wait.recorded_by) for wait in rows.waits if wait.kind == TORCH_STREAM_WAIT]
    return sum(number is not None and recorded.get(number, at + 1) > at for at, number in waits)


def _collectives_without_metadata(rows: Rows) -> int:
    """Collectives that do not say name, type, sizes and group size."""
    return rows.bare_collectives


def _shared_sequence_numbers(rows: Rows) -> int:
    """Sequence numbers that backward operators of several names carry."""
    names: dict[int, set[str]] = defaultdict(set)
    for row, sequence in rows.backward:
        if sequence is not None:
            names[sequence].add(rows.names[rows.name[row]].split(":", 1)[-1].strip())
    return sum(len(each) > 1 for each in names.values())


RULES: tuple[tuple[str, str, Callable[[Rows], int]], ...] = (
    ("gpu_kernel_causality", "no kernel starts before its launch", _kernels_before_their_launch),
    ("stream_wait_corr_id_populated", "a wait on an event names the call that recorded it", _waits_for_nothing),
    ("stream_sync_overlap", "no kernel of a stream runs on when it is synchronized", _kernels_in_a_synchronize),
    ("stream_wait_corr_id_in_past", "a stream waits for an event recorded before", _waits_for_the_future),
    ("nccl_metadata", "collectives say name, type, sizes and group size", _collectives_without_metadata),
    ("backward_seq_id_uniqueness", "a sequence number has one backward operator", _shared_sequence_numbers),
)
