"""The GPU's memory at its peak: how full it was, what held it, and how much larger a batch would fit.

The manifest knows the true peaks; a bare trace those of the samples it recorded. Where the allocations were recorded,
each block that is held at the peak is that of the operator that asked for it; what was held before the recording
began (weights, the optimizer's state) is one sum.

*Room*: of what a step holds, the part above the lowest sample grows with the batch, the rest does not. Where no sample
tells the lowest, all of it is taken to grow: that is a lower bound. One tenth of the memory is left free, for the
driver and for what lies scattered between blocks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.stages.where.operators import Operators
from stallscope.analysis.stages.where.places import Places
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Bools, Ints, OptionalInts, Trace

USABLE: Final = 0.9  # of the memory
ROOM: Final = 1.1  # times the batch, below which there is no room for a larger one
NEAR: Final = 64  # ranges that began before an instant, among which the one that holds it is looked for
NODE: Final = "autograd::engine::evaluate_function: "


@dataclass(frozen=True, slots=True)
class Peak:
    """What one device held when most was allocated; bytes."""

    allocated: int
    before: int  # held since before the recording
    holders: tuple[tuple[str, int], ...]  # (who asked for it, bytes), most first

    def conserved(self) -> bool:
        """Whether the parts are the whole."""
        return self.before + sum(held for _, held in self.holders) == self.allocated


@dataclass(frozen=True, slots=True)
class Room:
    """The memory of the GPU that worked; bytes, None: not known."""

    peak_allocated: int | None
    peak_reserved: int | None
    total: int | None
    lowest: int | None  # of the samples in the window
    peak: Peak | None
    several: bool = False  # devices worked: the peaks of a manifest are sums, so that nothing follows for one

    @property
    def times(self) -> tuple[float, float] | None:
        """How many times the batch fits: (if all that is held grows with it, if only what is above the lowest does)."""
        used = self.peak_reserved or self.peak_allocated
        if not self.total or not used or self.several:
            return None
        usable, low = USABLE * self.total, USABLE * self.total / used
        if self.lowest is None or self.peak_allocated is None or self.lowest >= self.peak_allocated:
            return low, low
        grows = self.peak_allocated - self.lowest
        return low, max(low, (usable - self.lowest) / grows)


def find_room(trace: Trace, window: Window, operators: Operators, places: Places, manifest: Manifest | None) -> Room:
    """The memory of a trace."""
    memory = trace.memory
    inside = memory.on_device & memory.allocated_bytes.known & window.holds(memory.ts_ns)
    told = (None, None) if manifest is None else (manifest.peak_allocated_bytes, manifest.peak_reserved_bytes)
    return Room(
        peak_allocated=_first(told[0], _highest(trace, memory.allocated_bytes)),
        peak_reserved=_first(told[1], _highest(trace, memory.reserved_bytes)),
        total=_total(trace, manifest),
        lowest=int(memory.allocated_bytes.values[inside].min()) if inside.any() else None,
        peak=_peak(trace, operators, places),
        several=len(np.unique(trace.work.device)) > 1,
    )


def _highest(trace: Trace, column: OptionalInts) -> int | None:
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


def _peak(trace: Trace, operators: Operators, places: Places) -> Peak | None:
    """What the device that held most held then; None where blocks were not recorded."""
    memory = trace.memory
    told = memory.on_device & memory.allocated_bytes.known & memory.bytes.known & memory.address.known
    if not told.any():
        return None
    samples = np.flatnonzero(told)
    at = int(samples[np.argmax(memory.allocated_bytes.values[samples])])
    mine = samples[(samples <= at) & (memory.device[samples] == memory.device[at])]
    live: dict[int, int] = {}  # address → sample
    for sample, address, size in zip(
        mine.tolist(), memory.address.values[mine].tolist(), memory.bytes.values[mine].tolist(), strict=True
    ):
        if size > 0:
            live[address] = sample
        else:
            live.pop(address, None)
    blocks = np.array(sorted(live.values()), dtype=np.int64)
    held: Counter[str] = Counter()
    for name, size in zip(_names(trace, operators, places, blocks), memory.bytes.values[blocks].tolist(), strict=True):
        held[name] += size
    allocated = int(memory.allocated_bytes.values[at])
    known = sum(held.values())
    ordered = sorted(held.items(), key=lambda each: (-each[1], each[0]))
    return Peak(allocated, allocated - known, tuple(ordered)) if known <= allocated else None


def _names(trace: Trace, operators: Operators, places: Places, samples: Ints) -> list[str]:
    """Who asked for each block: the line or module where known, else the outermost operator."""
    rows = operators.rows[np.argsort(trace.events.ts_ns[operators.rows], kind="stable")]
    inner = [_innermost(trace, operators, rows, ts) for ts in trace.memory.ts_ns[samples].tolist()]
    known = np.array([row for row in inner if row >= 0], dtype=np.int64)
    told = dict(zip(known.tolist(), places.of(known), strict=True)) if len(known) else {}
    found = []
    for row in inner:
        place = told.get(row)
        line = None if place is None else place.call_site or place.module
        found.append(line or (_outermost(trace, operators, row) if row >= 0 else "outside any operator"))
    return found


def _innermost(trace: Trace, operators: Operators, rows: Ints, ts: int) -> int:
    """The operator that began last of those open at an instant, on any thread; -1: none."""
    last = int(np.searchsorted(trace.events.ts_ns[rows], ts, side="right"))
    for at in range(last - 1, max(-1, last - 1 - NEAR), -1):
        row = int(rows[at])
        while row >= 0:
            if trace.events.ts_ns[row] + trace.events.dur_ns[row] >= ts:
                return row
            row = int(operators.parent[row])
    return -1


def _outermost(trace: Trace, operators: Operators, row: int) -> str:
    while operators.parent[row] >= 0:
        row = int(operators.parent[row])
    return trace.name_of(row).removeprefix(NODE)
