"""The six rules of ``torch.profiler._trace_validator``, written anew and counted; torch is not imported.

Torch's rules are narrower than Stallscope's issues: they name kernels by ``External id``, know CUDA's names only and
look at waits as CUDA spells them. They are counted as torch 2.13 counts them, so that both can be set side by side.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from msgspec import UNSET

from stallscope.traces.describe.details import BACKWARD, COLLECTIVE, Args, Row
from stallscope.traces.text.values import integer
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


def validate(rows: Iterable[Row]) -> tuple[Rule, ...]:
    """Every rule, in torch's order."""
    rows = tuple(rows)
    return tuple(Rule(name, meaning, count(rows)) for name, meaning, count in RULES)


def _kernels_before_their_launch(rows: Iterable[Row]) -> int:
    """External ids whose first kernel starts before the first ``cudaLaunchKernel`` of that id."""
    launched: dict[int, int] = {}
    ran: dict[int, int] = {}
    for row in rows:
        external = integer(row.args.external)  # torch does not know the spelling of 2021
        if external is None:
            continue
        if row.category == "cuda_runtime" and row.name == TORCH_LAUNCH:
            launched[external] = min(row.start, launched.get(external, row.start))
        elif row.category == "kernel":
            ran[external] = min(row.start, ran.get(external, row.start))
    return sum(external in launched and start < launched[external] for external, start in ran.items())


def _waits_for_nothing(rows: Iterable[Row]) -> int:
    """Waits on an event that do not name the call that recorded it."""
    return sum(
        _recorded_by(row.args) is None for row in rows if row.args.sync_kind in (TORCH_STREAM_WAIT, TORCH_EVENT_SYNC)
    )


def _recorded_by(args: Args) -> int | None:
    number = integer(args.waited_for)
    return number if number is not None and number >= 0 else None


def _kernels_in_a_synchronize(rows: tuple[Row, ...]) -> int:
    """Pairs of a stream synchronize and a kernel of that stream that still runs when it starts."""
    syncs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        if row.category == "cuda_sync" and row.args.sync_kind == TORCH_STREAM_SYNC:
            syncs[_queue(row.args)].append(row.start)
    for starts in syncs.values():
        starts.sort()
    kernels = ((row.start, row.end, syncs[_queue(row.args)]) for row in rows if row.category == "kernel")
    return sum(max(0, bisect_left(starts, end) - bisect_right(starts, start)) for start, end, starts in kernels)


def _queue(args: Args) -> tuple[str, str]:
    return repr(args.device), repr(args.stream)


def _waits_for_the_future(rows: tuple[Row, ...]) -> int:
    """Stream waits whose event was recorded later, or by no call in the trace."""
    recorded: dict[int, int] = {}
    for row in rows:
        if row.category in ("cuda_runtime", "cuda_driver") and row.name in TORCH_RECORDS:
            for number in (integer(row.args.external), row.correlation):
                if number is not None:
                    recorded[number] = min(row.start, recorded.get(number, row.start))
    waits = [(row.start, _recorded_by(row.args)) for row in rows if row.args.sync_kind == TORCH_STREAM_WAIT]
    return sum(number is not None and recorded.get(number, at + 1) > at for at, number in waits)


def _collectives_without_metadata(rows: Iterable[Row]) -> int:
    """Collectives that do not say name, type, sizes and group size."""
    return sum(
        UNSET in (row.args.collective, row.args.dtype, row.args.in_elements, row.args.out_elements, row.args.group_size)
        for row in rows
        if row.name == COLLECTIVE
    )


def _shared_sequence_numbers(rows: Iterable[Row]) -> int:
    """Sequence numbers that backward operators of several names carry."""
    names: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        if BACKWARD in row.name:
            number = integer(row.args.sequence or row.args.sequence_number)
            if number is not None:
                names[number].add(row.name.split(":", 1)[-1].strip())
    return sum(len(each) > 1 for each in names.values())


RULES: tuple[tuple[str, str, Callable[[tuple[Row, ...]], int]], ...] = (
    ("gpu_kernel_causality", "no kernel starts before its launch", _kernels_before_their_launch),
    ("stream_wait_corr_id_populated", "a wait on an event names the call that recorded it", _waits_for_nothing),
    ("stream_sync_overlap", "no kernel of a stream runs on when it is synchronized", _kernels_in_a_synchronize),
    ("stream_wait_corr_id_in_past", "a stream waits for an event recorded before", _waits_for_the_future),
    ("nccl_metadata", "collectives say name, type, sizes and group size", _collectives_without_metadata),
    ("backward_seq_id_uniqueness", "a sequence number has one backward operator", _shared_sequence_numbers),
)
