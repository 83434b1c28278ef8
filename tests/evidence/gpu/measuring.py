"""Times steps without a profiler, records them with torch's, and counts what a trace holds."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any, TypeVar

import torch

from stallscope.traces.model.fields import SYNCHRONIZES, CallKind
from stallscope.traces.vendors.calls import call_kind
from tests.evidence.gpu.pairs import PerStep
from tests.evidence.gpu.steps import Step

WARMUP, TRACED, ATTRIBUTED = 30, 20, 5  # steps
HOST, DEVICE = ("cpu_op", "cuda_runtime", "cuda_driver"), ("kernel", "gpu_memcpy", "gpu_memset")


Anything = TypeVar("Anything")


def synchronize(device: str) -> None:
    """Wait until the device has done everything asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()


def timed(step: Step, device: str, steps: int) -> tuple[float, float]:
    """(synchronized, host) µs per step of ``steps`` unprofiled steps."""
    synchronize(device)
    began = perf_counter_ns()
    for _ in range(steps):
        step()
    looped = perf_counter_ns()
    synchronize(device)
    return (perf_counter_ns() - began) / steps / 1000, (looped - began) / steps / 1000


def affordable(step: Step, device: str, seconds: float, fewest: int) -> int:
    """Steps that take about ``seconds``, at least ``fewest``; the steps tried for that warm up as well."""
    timed(step, device, 5)
    us, _ = timed(step, device, 5)
    if us < 20_000:
        us, _ = timed(step, device, WARMUP)
    return max(fewest, int(seconds * 1e6 / us))


def rotated(cases: Sequence[Anything], repeat: int) -> list[Anything]:
    """The cases, another one first in each repeat."""
    start = repeat % len(cases)
    return [*cases[start:], *cases[:start]]


def traced(step: Step, device: str, path: Path, *, attribution: bool = False) -> None:
    """Record ``TRACED`` steps with torch's own profiler and write the trace, gzipped.

    ``attribution``: fewer, with stacks and shapes, which say where; else without, for the times.
    """
    from torch.profiler import ProfilerActivity, _ExperimentalConfig, profile, schedule

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    active = ATTRIBUTED if attribution else TRACED
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "trace.json"
        with profile(
            activities=activities,
            schedule=schedule(wait=2, warmup=5, active=active, repeat=1),
            on_trace_ready=lambda done: done.export_chrome_trace(str(plain)),
            experimental_config=_ExperimentalConfig(enable_cuda_sync_events=True),
            record_shapes=attribution,
            with_stack=attribution,
        ) as profiler:
            for _ in range(7 + active):
                step()
                profiler.step()
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))


def counted(path: Path) -> tuple[int, float, PerStep]:
    """(steps, µs per step, counts per step) of a trace: calls that start in its steps, and the work they started."""
    rows = [row for row in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"] if row.get("ph") == "X"]
    steps = [row for row in rows if row["name"].startswith("ProfilerStep#") and row["cat"] == "user_annotation"]
    if not steps:
        raise ValueError(f"{path.name}: no steps were recorded")
    first, last = min(row["ts"] for row in steps), max(row["ts"] + row["dur"] for row in steps)
    host = [row for row in rows if first <= row["ts"] < last and row.get("cat") in HOST]
    calls = {row["args"]["correlation"]: row["name"] for row in host if row["cat"] != "cpu_op"}
    work = Counter(
        row["cat"] for row in rows if row.get("cat") in DEVICE and row.get("args", {}).get("correlation") in calls
    )
    found = per_step(list(calls.values()), host, work, len(steps))
    return len(steps), (last - first) / len(steps), found


def per_step(calls: Sequence[str], host: Sequence[dict[str, Any]], work: Counter[str], steps: int) -> PerStep:
    """The counts, divided by the steps."""
    kinds = Counter(map(call_kind, calls))

    def of(*wanted: CallKind) -> float:
        return sum(kinds[kind] for kind in wanted) / steps

    return PerStep(
        kernel_launches=of(CallKind.KERNEL_LAUNCH),
        graph_launches=of(CallKind.GRAPH_LAUNCH),
        kernels=work["kernel"] / steps,
        memcpys=work["gpu_memcpy"] / steps,
        memsets=work["gpu_memset"] / steps,
        sync_calls=of(*SYNCHRONIZES),
        cpu_ops=sum(row["cat"] == "cpu_op" for row in host) / steps,
        items=sum(row["name"] == "aten::item" for row in host) / steps,
    )
