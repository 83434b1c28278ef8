"""Matrix products and convolutions that the CPU computes: in which type, and how fast."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from stallscope.analysis.stages.gpu.flops import flops_of
from stallscope.traces.model.trace import Trace

LARGE = 1e6  # operations, from which the speed of a product tells something
DOUBLE = ("double", "c10::complex<double>")


@dataclass(frozen=True, slots=True)
class HostProducts:
    """The products of one recording whose shapes are known."""

    ns: int  # that they take
    double_ns: int  # those in float64
    best_gflops: float | None  # 10**9 operations a second, of the fastest that is large; None: none is

    @property
    def double_share(self) -> float:
        """Part of their time in float64, 0 to 1."""
        return self.double_ns / self.ns if self.ns else 0.0


def find_host_products(trace: Trace) -> HostProducts | None:
    """The products of a trace without GPU work; None where it tells no shapes."""
    origins, events = trace.origins, trace.events
    if not len(origins.shape_row) or len(trace.work):
        return None
    ns, flops, double = events.dur_ns[origins.shape_row], np.zeros(len(origins.shape_row)), []
    parsed = [_parsed(text) for text in origins.shapes]
    for at, (row, shape) in enumerate(zip(origins.shape_row.tolist(), origins.shape.tolist(), strict=True)):
        sizes, values, types = parsed[shape]
        flops[at] = flops_of(trace.name_of(row), sizes, values, types) or 0.0
        double.append(any(name in DOUBLE for name in types if isinstance(name, str)))
    large = (flops >= LARGE) & (ns > 0)
    return HostProducts(
        ns=int(ns.sum()),
        double_ns=int(ns[np.array(double, np.bool_)].sum()),
        best_gflops=float((flops[large] / ns[large]).max()) if large.any() else None,
    )


def _parsed(text: str) -> tuple[list[object], list[object], list[object]]:
    try:
        sizes, values, types = json.loads(text)
    except (ValueError, RecursionError):
        return [], [], []
    return (sizes, values, types) if all(isinstance(each, list) for each in (sizes, values, types)) else ([], [], [])
