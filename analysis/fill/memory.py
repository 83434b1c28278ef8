"""Device memory. The manifest knows the true peaks; a bare trace knows the samples it recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.contract.summary import Memory
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Bools, Ints, OptionalInts, Trace


@dataclass(frozen=True, slots=True)
class MemoryOverTime:
    """What PyTorch held of one device's memory; each value holds until the next."""

    device: int
    what: str  # "allocated": in tensors | "reserved": taken from the device
    ts_ns: Ints  # (n,) ascending, on the trace's clock
    bytes: Ints  # (n,)


def find_memory_over_time(trace: Trace, window: Window) -> tuple[MemoryOverTime, ...]:
    """The allocator's samples in the window, by device; nothing where the trace was recorded without them."""
    memory = trace.memory
    inside = memory.on_device & (memory.ts_ns >= window.start) & (memory.ts_ns <= window.end)
    found = []
    for device in np.unique(memory.device[inside]).tolist():
        for what, column in (("reserved", memory.reserved_bytes), ("allocated", memory.allocated_bytes)):
            mine = inside & (memory.device == device) & column.known
            if mine.any():
                found.append(MemoryOverTime(device, what, memory.ts_ns[mine], column.values[mine]))
    return tuple(found)


def fill_memory(trace: Trace, manifest: Manifest | None) -> Memory:
    """Peaks from the manifest, else the highest sample of the trace; None where neither tells."""
    return Memory(
        peak_allocated=_first(
            manifest.peak_allocated_bytes if manifest else None, _peak(trace, trace.memory.allocated_bytes)
        ),
        peak_reserved=_first(
            manifest.peak_reserved_bytes if manifest else None, _peak(trace, trace.memory.reserved_bytes)
        ),
        total=_total(trace, manifest),
        alloc_retries=manifest.alloc_retries if manifest else None,
        ooms=manifest.ooms if manifest else None,
    )


def _peak(trace: Trace, column: OptionalInts) -> int | None:
    """The highest sample on a device."""
    told: Bools = trace.memory.on_device & column.known
    return int(np.max(column.values[told])) if told.any() else None


def _total(trace: Trace, manifest: Manifest | None) -> int | None:
    """Memory of the device that worked: by the trace, else by the manifest."""
    used = set(np.unique(trace.work.device).tolist())
    named = [device.total_memory_bytes for device in trace.devices if device.ordinal in used or len(trace.devices) == 1]
    gpus = [gpu.memory_bytes for gpu in manifest.machine.gpus[:1]] if manifest and trace.vendor != "cpu" else []
    return _first(*named, *gpus)


def _first(*values: int | None) -> int | None:
    """The first value that is known."""
    return next((value for value in values if value is not None), None)
