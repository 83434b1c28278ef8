"""Which fix was made between two runs, by what their traces hold; never by what the user says of it.

Fewer calls of ``aten::item``: ``record_every``. Graph launches where there were none: ``cuda_graph``, or, where
compiled code ran, ``compile_reduce_overhead``. ``aten::_fused_…`` or ``aten::_foreach_…`` where there were none: the
optimizers. Worker processes, pinned copies where they were pageable: ``dataloader_workers``, ``pinned_memory``. From
GPU to CPU: ``cpu``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stallscope.analysis.contract.compare import ArgumentChange
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.fixes.reads import READ

FEWER: Final = 0.6  # of what there was: enough fewer to be a change and no chance
_COMPILED: Final = re.compile(r"Torch-Compiled Region|CompiledFunction|## Call CompiledFxGraph|CompiledFxGraph")
_EVERY: Final = re.compile(r"every|interval|freq|period", re.IGNORECASE)
_WORKERS: Final = re.compile(r"worker", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Recognised:
    """A fix by its name, and its number where it has one: every ``number``-th step, so many workers."""

    fix: str
    number: float | None = None


def recognise(before: Summary, after: Summary, changed: Sequence[ArgumentChange] | None = None) -> list[Recognised]:
    """The fixes that ``after`` has and ``before`` has not; ``changed``: the differences of their command lines."""
    if (before.trace.vendor == "cpu") != (after.trace.vendor == "cpu"):
        return [Recognised("cpu")] if after.trace.vendor == "cpu" else []
    found = (
        _reads(before, after, changed or ()),
        _graphs(before, after),
        _optimizer(before, after),
        _workers(before, after, changed or ()),
        _pinned(before, after),
    )
    return [each for each in found if each is not None]


def _reads(before: Summary, after: Summary, changed: Sequence[ArgumentChange]) -> Recognised | None:
    old, new = _calls(before, READ), _calls(after, READ)
    if old <= 0 or new > FEWER * old:
        return None
    told = _argument(changed, _EVERY)  # a window of 20 steps holds none of what happens every 100th
    return Recognised("record_every", old / new if new else told)


def _graphs(before: Summary, after: Summary) -> Recognised | None:
    if before.per_step.graph_launches or not after.per_step.graph_launches:
        return None
    compiled = any(_COMPILED.search(row.name) for row in after.operators)
    return Recognised("compile_reduce_overhead" if compiled else "cuda_graph")


def _optimizer(before: Summary, after: Summary) -> Recognised | None:
    for prefix, fix in (("aten::_fused_", "fused_optimizer"), ("aten::_foreach_", "foreach_optimizer")):
        if _any(after, prefix) and not _any(before, prefix) and (fix[:5] == "fused" or not _any(before, "aten::_f")):
            return Recognised(fix)
    return None


def _workers(before: Summary, after: Summary, changed: Sequence[ArgumentChange]) -> Recognised | None:
    if before.loader_workers is not False or after.loader_workers is not True:
        return None
    return Recognised("dataloader_workers", _argument(changed, _WORKERS))


def _pinned(before: Summary, after: Summary) -> Recognised | None:
    old, new = _copied(before), _copied(after)
    if old["pageable"] > 0 and new["pinned"] > old["pinned"] and new["pageable"] < FEWER * old["pageable"]:
        return Recognised("pinned_memory")
    return None


def _copied(summary: Summary) -> dict[str, float]:
    """Bytes a step copied to the GPU, by the host memory they lay in."""
    found = {"pageable": 0.0, "pinned": 0.0}
    for row in summary.memcpy or []:
        if row.direction == "HtoD" and row.memory in found:
            found[row.memory] += row.bytes_per_step or 0.0
    return found


def _calls(summary: Summary, name: str) -> float:
    return sum(row.calls_per_step for row in summary.operators if row.name == name)


def _any(summary: Summary, prefix: str) -> bool:
    return any(row.name.startswith(prefix) for row in summary.operators)


def every(changed: Sequence[ArgumentChange]) -> tuple[str, int, int] | None:
    """The argument that says every how many steps something happens, before and after; not given is each step."""
    for each in changed:
        told = [value or "1" for value in (each.baseline, each.candidate)]
        if _EVERY.search(each.name) and all(value.isdecimal() and int(value) for value in told):
            return each.name, int(told[0]), int(told[1])
    return None


def _argument(changed: Sequence[ArgumentChange], pattern: re.Pattern[str]) -> float | None:
    """The number given after the change to the argument of such a name."""
    for each in changed:
        if pattern.search(each.name) and each.candidate is not None and each.candidate.isdecimal():
            return float(each.candidate)
    return None
