"""Device memory over the window, as PyTorch's allocator told it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.trace import Ints, Trace


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
