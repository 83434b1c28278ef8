"""The GPU's memory: calls that allocate and free it inside the loop, and what makes the script do so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from stallscope.analysis.causes.case import Case, Claim
from stallscope.analysis.causes.facts import GpuFacts
from stallscope.analysis.columns.rows import grouped
from stallscope.analysis.stages.gpu.room import ROOM, Room
from stallscope.analysis.units import count, microseconds, percent, quantity, times_as_large
from stallscope.traces.model.fields import CALLS, CallKind
from stallscope.traces.model.trace import Bools, Ints

BURST: Final = 3  # frees in a row, from which they are a call to empty the cache
BURSTS: Final = 0.8  # of the frees, in such rows: tensors that die one by one are freed one by one
MOST: Final = 0.5
MANY: Final = 10  # allocations a step
PINNED_WORTH: Final = 0.02
LARGER: Final = 1.5  # times the batch, from which a larger one is worth a word
BEFORE: Final = "since before the recording"
_EXPANDABLE: Final = ",{}PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True."  # what ROCm lacks


def find(case: Case) -> Iterator[Claim]:
    """Allocations in steady steps, by what shows in them; and the room that is left."""
    yield from _allocating(case)
    yield from _room(case)


def _room(case: Case) -> Iterator[Claim]:
    """Room for a larger batch where that is advice; none where the memory is nearly full."""
    room, facts = case.stages.room, case.facts
    times = None if room is None else room.times
    if room is None or times is None or not isinstance(facts, GpuFacts):
        return
    if times[1] < ROOM:
        yield case.claim(
            "memory_room",
            "the GPU's memory is nearly full",
            evidence=_held(room),
            advice="No larger batch fits. What needs less: bfloat16 by torch.autocast"
            + (", torch.utils.checkpoint for the largest layers." if facts.host.trains else "."),
            bars=("larger_batch",),
        )
    elif facts.launches_dominate and (case.kind == "launch-bound" or "host" in case.kind) and times[0] >= LARGER:
        yield case.claim(
            "memory_room",
            "the GPU's memory has room for a larger batch",
            evidence=_held(room),
            advice=f"A batch {times_as_large(*times)} as large would fit, if 90 % may be filled and no other process "
            "needs memory.",
            fix="larger_batch",
        )


def _held(room: Room) -> str:
    """How full it was, and what held most."""
    held = [] if room.peak is None else [(BEFORE, room.peak.before), *room.peak.holders[:3]]
    told = ", ".join(f"{quantity(size)} {what}" for what, size in held if size)
    return (
        f"At its peak {quantity(room.peak_allocated)} in use, {quantity(room.peak_reserved)} reserved, of "
        f"{quantity(room.total)}{f': {told}' if told else ''}."
    )


def _allocating(case: Case) -> Iterator[Claim]:
    """Allocations in steady steps, by what shows in them."""
    events, window = case.trace.events, case.stages.window
    rows = events.calls(CallKind.DEVICE_ALLOCATION, CallKind.DEVICE_FREE)
    rows = rows[window.holds(events.ts_ns[rows])]
    if not len(rows) or case.is_claimed(rows):
        yield from _pinned(case)
        return
    allocates = events.is_call(rows, CallKind.DEVICE_ALLOCATION)
    parent = case.stages.operators.parent[rows]
    loose = rows[~allocates & (parent < 0)]
    retried = _retries(case, rows, allocates, parent)
    asked = case.stages.per_step(int(allocates.sum()))
    wanted = case.stages.per_step(_tensors(case))
    each = asked >= MANY and asked >= MOST * wanted and len(rows) - allocates.sum() >= MOST * allocates.sum()
    if each and not _in_bursts(case, rows[~allocates]):
        yield _no_caching(case, rows, asked, wanted)
    elif len(retried):
        yield _retry(case, rows, len(retried))
    elif len(loose) >= BURST * max(1, window.count // 2):
        yield _emptied(case, _since(case, rows, loose), loose)
    elif window.from_steps and not _captures(case):
        yield _allocations(case, rows)
    yield from _pinned(case)


def _in_bursts(case: Case, frees: Ints) -> bool:
    """Whether most of these calls come in rows, with no operator and no other call between them."""
    events = case.trace.events
    others = np.setdiff1d(np.concatenate((events.rows(*CALLS), case.stages.operators.rows)), frees)
    held = 0
    for thread, mine in grouped(events.thread[frees]):
        between = np.sort(events.ts_ns[others[events.thread[others] == thread]])
        burst = np.searchsorted(between, np.sort(events.ts_ns[frees[mine]]))  # so many others came before each
        _, size = np.unique(burst, return_counts=True)
        held += int(size[size >= BURST].sum())
    return held >= BURSTS * len(frees)


def _since(case: Case, rows: Ints, loose: Ints) -> Ints:
    """What the freed memory costs. Without steps, what came before the first such free was the run's own start."""
    if case.stages.window.from_steps:
        return rows
    starts = case.trace.events.ts_ns
    later: Ints = rows[starts[rows] >= starts[loose].min()]
    return later


def _captures(case: Case) -> bool:
    """A graph that is being captured gets memory of its own, once."""
    return case.facts.calls is not None and case.facts.calls.capturing


def _retries(case: Case, rows: Ints, allocates: Bools, parent: Ints) -> list[int]:
    """Operators in which memory was asked for, freed, and asked for again."""
    found = []
    for operator, mine in grouped(parent):
        kinds = allocates[mine[np.argsort(case.trace.events.ts_ns[rows[mine]], kind="stable")]]
        if operator >= 0 and kinds.any() and not kinds.all() and kinds[0] and kinds[-1]:
            found.append(int(operator))
    return found


def _tensors(case: Case) -> int:
    """Operators of the window that make a tensor."""
    wanted = [total.calls for total in case.stages.operators.totals if total.name.startswith("aten::empty")]
    return sum(wanted)


def _cost_us(case: Case, rows: Ints) -> float:
    return case.stages.us(int(case.stages.window.durations(case.trace, rows).sum()))


def _no_caching(case: Case, rows: Ints, asked: float, wanted: float) -> Claim:
    return case.claim(
        "no_caching_allocator",
        "PyTorch's memory cache is off",
        nodes=case.nodes_of(rows),
        cost_us=_cost_us(case, rows),
        evidence=f"{count(asked)} allocations of the GPU's memory a step, as many as tensors are made "
        f"({count(wanted)}), and as many frees: {microseconds(_cost_us(case, rows))}.",
        advice="Unset PYTORCH_NO_CUDA_MEMORY_CACHING: it is meant for finding errors.",
        bars=("compile_reduce_overhead", "cuda_graph"),
    )


def _retry(case: Case, rows: Ints, times: int) -> Claim:
    return case.claim(
        "allocation_retries",
        "the GPU's memory is full, and PyTorch gives its cache back and asks again",
        nodes=case.nodes_of(rows),
        cost_us=_cost_us(case, rows),
        evidence=f"{times} times an operator asked for memory, got none, freed the cache and asked again: "
        f"{microseconds(_cost_us(case, rows))} a step.",
        advice="Use a smaller batch" + (_EXPANDABLE.format(" or less waste: ") if case.facts.vendor == "cuda" else "."),
        bars=("larger_batch", "compile_reduce_overhead", "cuda_graph"),
    )


def _emptied(case: Case, rows: Ints, loose: Ints) -> Claim:
    places = case.stages.places.of(loose)
    where = [place.call_site or place.function for place in places]
    return case.claim(
        "empty_cache",
        "torch.cuda.empty_cache() in the loop" if case.stages.window.from_steps else "torch.cuda.empty_cache()",
        nodes=case.nodes_of(rows),
        cost_us=_cost_us(case, rows),
        evidence=f"{count(case.stages.per_step(len(loose)))} frees a step outside any operator, and what they freed is "
        f"asked for again: {microseconds(_cost_us(case, rows))}.",
        where=[told for told in dict.fromkeys(where) if told],
        advice="Remove the call: PyTorch keeps freed memory to use it again, and gives it back by itself when it must.",
        bars=("compile_reduce_overhead", "cuda_graph"),
    )


def _allocations(case: Case, rows: Ints) -> Claim:
    number = case.stages.per_step(len(rows))
    calls = f"{count(number)} call" if number == 1 else f"{count(number)} calls"
    return case.claim(
        "allocations",
        "allocating GPU memory in the loop",
        nodes=case.nodes_of(rows),
        cost_us=_cost_us(case, rows),
        evidence=f"{calls} a step that allocate or free GPU memory, {microseconds(_cost_us(case, rows))}; PyTorch's "
        "cache should hold the memory after the first steps.",
        advice="Keep shapes the same from step to step"
        + (_EXPANDABLE.format(" or set ") if case.facts.vendor == "cuda" else "."),
    )


def _pinned(case: Case) -> Iterator[Claim]:
    """Pinned memory that is made in steady steps."""
    events, window = case.trace.events, case.stages.window
    rows = events.calls(CallKind.PINNED_ALLOCATION, CallKind.PINNED_FREE)
    rows = rows[window.holds(events.ts_ns[rows])]
    us = _cost_us(case, rows)
    if not window.from_steps or us < PINNED_WORTH * case.step_us or len(rows) < window.count / 2:
        return
    yield case.claim(
        "pinned_allocation",
        "pinned memory is made anew in each step",
        nodes=case.nodes_of(rows),
        cost_us=us,
        evidence=f"{count(case.stages.per_step(len(rows)))} calls a step, {microseconds(us)} "
        f"({percent(us / case.step_us)}).",
        advice="Make the pinned buffer once and copy into it, or let the DataLoader pin: pin_memory=True.",
    )
