"""Arithmetic of products, convolutions and attention, where the trace holds the shapes of their inputs.

A multiplication and an addition are two operations. Counted is what the operator asks for: a convolution made by
another algorithm (Winograd, FFT) may do less. The backward pass of attention computes the scores again, which counts.
An operator counts in the window in which its first kernel starts. In which type it computes its kernel's name tells;
where that does not, the type of its inputs, but for float32, which may run as TF32.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from stallscope.analysis.columns.rows import grouped
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.operators import Operators
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import ATTENTION, CONVOLUTIONS, PRODUCTS, Category
from stallscope.traces.model.trace import Bools, Ints, Trace
from stallscope.traces.vendors.kernels import Type, kernel_kind

ITSELF: Final = ("product", "convolution", "attention")  # families of kernels that do what is counted here
BACKWARD_PRODUCTS: Final = 2.5  # of attention: five products where the forward pass has two
_PLACES: Final = {  # of the first matrix among the inputs
    **dict.fromkeys(("aten::addmm", "aten::baddbmm", "aten::addmv", "aten::_addmm_activation"), 1),
}
_CAUSAL: Final = {  # where attention is told that it is causal, among its inputs
    "aten::_scaled_dot_product_flash_attention": 4,
    "aten::_scaled_dot_product_efficient_attention": 6,
    "aten::_scaled_dot_product_cudnn_attention": 6,
    "aten::_scaled_dot_product_flash_attention_backward": 11,
    "aten::_scaled_dot_product_efficient_attention_backward": 11,
    "aten::_scaled_dot_product_cudnn_attention_backward": 14,
}
_TYPES: Final[dict[str, Type]] = {"c10::BFloat16": "bf16", "c10::Half": "f16", "double": "f64"}
Kind = tuple[Type, bool | None]  # of number, and whether tensor cores do it


@dataclass(frozen=True, slots=True)
class Flops:
    """What was counted over the window."""

    steps: int  # that the window holds
    by_kind: dict[Kind, float]  # floating-point operations
    device_ns: int  # sum of the kernels that did them
    known_share: float  # of the time of all kernels that multiply matrices, convolve or attend

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self.by_kind.values())


def find_flops(trace: Trace, window: Window, launches: Launches, operators: Operators) -> Flops | None:
    """The arithmetic of the window of the device; None where no operator in it tells shapes that can be counted."""
    kernels = np.flatnonzero(trace.events.category[trace.work.row] == Category.KERNEL)
    kernels = kernels[window.holds(trace.events.ts_ns[trace.work.row[kernels]])]
    if not len(trace.origins.shape_row) or not len(kernels):
        return None
    by_work = _asked_by(trace, launches, operators)
    asked_by, starts, flops = by_work[kernels], _first_kernels(trace, by_work), _flops_of_shapes(trace)
    by_kind: dict[Kind, float] = {}
    counted = np.zeros(len(kernels), dtype=np.bool_)
    for at, mine in grouped(asked_by):
        number = flops[int(trace.origins.shape[at])] if at >= 0 else {}
        operations = number.get(trace.name_of(int(trace.origins.shape_row[at])))
        if operations is None:
            continue
        counted[mine] = True
        if starts[at] == kernels[mine[0]]:  # else it began before the window
            kind = _kind(trace, kernels[mine], int(trace.origins.shape[at]))
            by_kind[kind] = by_kind.get(kind, 0.0) + operations
    return Flops(window.count, by_kind, *_times(trace, kernels, counted)) if counted.any() else None


def _times(trace: Trace, kernels: Ints, counted: Bools) -> tuple[int, float]:
    """(sum of the kernels counted in ns, their part of all that do such work)."""
    rows = trace.work.row[kernels]
    ns, names = trace.events.dur_ns[rows], trace.events.name[rows]
    of_family = [i for i in np.unique(names).tolist() if kernel_kind(trace.strings[i]).family in ITSELF]
    wanted = int(ns[counted | np.isin(names, of_family)].sum())
    known = int(ns[counted].sum())
    return known, known / wanted if wanted else 0.0


def _asked_by(trace: Trace, launches: Launches, operators: Operators) -> Ints:
    """For each row of ``trace.work`` the outermost operator with shapes around its call, as a place, -1: none, (m,)."""
    calls = launches.work_call
    at = np.where(calls >= 0, operators.parent[np.maximum(calls, 0)], -1)
    place = np.full(len(trace.events), -1, dtype=np.int64)
    place[trace.origins.shape_row] = np.arange(len(trace.origins.shape_row))
    found = np.full(len(calls), -1, dtype=np.int64)
    while (at >= 0).any():
        here = np.where(at >= 0, place[np.maximum(at, 0)], -1)
        found = np.where(here >= 0, here, found)
        at = np.where(at >= 0, operators.parent[np.maximum(at, 0)], -1)
    return found


def _first_kernels(trace: Trace, asked_by: Ints) -> Ints:
    """For each operator with shapes its first kernel, an index into ``trace.work``; -1: it started none."""
    is_kernel = trace.events.category[trace.work.row] == Category.KERNEL
    first = np.full(len(trace.origins.shape_row), -1, dtype=np.int64)
    mine = np.flatnonzero((asked_by >= 0) & is_kernel)[::-1]  # the earliest is written last
    first[asked_by[mine]] = mine
    return first


def _kind(trace: Trace, kernels: Ints, shape: int) -> Kind:
    """In which type its longest kernel computes, else of which type its inputs are."""
    rows = trace.work.row[kernels]
    kinds = [kernel_kind(trace.name_of(row)) for row in rows[np.argsort(-trace.events.dur_ns[rows])].tolist()]
    told = next((kind for kind in kinds if kind.family in ITSELF and kind.type != "unknown"), None)
    if told is not None:
        return told.type, told.tensor_cores
    types = _parsed(trace.origins.shapes[shape])[2]
    known = [_TYPES[name] for name in types if isinstance(name, str) and name in _TYPES]
    return (known[0] if known else "unknown"), None


# -- shapes -------------------------------------------------------------------------------------------------------


def _flops_of_shapes(trace: Trace) -> list[dict[str, float]]:
    """For each distinct set of shapes: the operations of each operator that has them, where they can be counted."""
    found: list[dict[str, float]] = [{} for _ in trace.origins.shapes]
    names = trace.events.name[trace.origins.shape_row]
    pairs = np.unique(np.stack((trace.origins.shape, names.astype(np.int64))), axis=1)
    for shape, name in pairs.T.tolist():
        operations = flops_of(trace.strings[name], *_parsed(trace.origins.shapes[shape]))
        if operations is not None:
            found[shape][trace.strings[name]] = operations
    return found


def _parsed(text: str) -> tuple[list[Any], list[Any], list[Any]]:
    """(sizes, values, types) of the inputs; empty where the file holds something else."""
    try:
        sizes, values, types = json.loads(text)
    except (ValueError, RecursionError):
        return [], [], []
    return sizes, values, types


def flops_of(name: str, sizes: Sequence[Any], values: Sequence[Any], _types: Sequence[Any] = ()) -> float | None:
    """The operations that an operator asks for, by the sizes and the values of its inputs; None: cannot be told."""
    try:
        if name in PRODUCTS:
            return _of_product(sizes[_PLACES.get(name, 0) :])
        if name in ATTENTION:
            return _of_attention(name, sizes, values)
        if name in CONVOLUTIONS:
            backward = name.endswith("_backward")
            return _of_backward_convolution(sizes, values) if backward else _of_convolution(sizes, values)
    except (IndexError, TypeError, ValueError, ZeroDivisionError):  # hostile or unknown shapes
        return None
    return None


def _of_product(sizes: Sequence[Any]) -> float | None:
    """``(…, n, k) × (…, k, m)``, or ``× (k,)``."""
    left, right = sizes[0], sizes[1]
    columns = right[-1] if len(right) > 1 else 1
    return float(2 * prod(left) * columns) if left[-1] == right[-2 if len(right) > 1 else -1] else None


def _of_attention(name: str, sizes: Sequence[Any], values: Sequence[Any]) -> float:
    """Queries ``(b, h, n, d)``, keys ``(b, h, m, d)``, values ``(b, h, m, e)``: two products of the scores."""
    backward = name.endswith("_backward")
    queries, keys, content = sizes[backward : backward + 3]
    causal = _CAUSAL[name] < len(values) and values[_CAUSAL[name]] == "True"
    scores = prod(queries[:-1]) * keys[-2] * (0.5 if causal else 1.0)
    return float(2 * scores * (queries[-1] + content[-1]) * (BACKWARD_PRODUCTS if backward else 1))


def _of_convolution(sizes: Sequence[Any], values: Sequence[Any]) -> float:
    """Input ``(n, c, …)``, weight ``(k, c ÷ groups, …)``; values: stride, padding, dilation, transposed."""
    data, weight = sizes[0], sizes[1]
    stride, padding, dilation = (_numbers(values[place], len(data) - 2) for place in (3, 4, 5))
    if values[6] == "True":  # each input value is multiplied by a weight for each output channel of its group
        return float(2 * prod(data) * prod(weight[1:]))
    ways = zip(data[2:], weight[2:], stride, padding, dilation, strict=True)
    out = [(size + 2 * pad - apart * (kernel - 1) - 1) // step + 1 for size, kernel, step, pad, apart in ways]
    return float(2 * data[0] * prod(out) * prod(weight))


def _of_backward_convolution(sizes: Sequence[Any], values: Sequence[Any]) -> float:
    """Gradient of the output, input, weight: as much again for each of the gradients that are asked for."""
    gradient, data, weight = sizes[0], sizes[1], sizes[2]
    transposed = values[7] == "True"
    asked = values[10].strip("[]").split(", ")[:2].count("True")
    each = prod(data) * prod(weight[1:]) if transposed else prod(gradient) * prod(weight[1:])
    return float(2 * each * asked)


def _numbers(text: str, count: int) -> list[int]:
    """``[1, 1]``, one for each axis; one alone is that of all."""
    found = [int(word) for word in text.strip("[]").split(",")]
    return found if len(found) == count else found * count
