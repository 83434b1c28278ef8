"""Device memory. The manifest knows the true peaks; a bare trace knows the samples it recorded."""

from __future__ import annotations

import numpy as np

from stallscope.analysis.contract.summary import Memory
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Bools, OptionalInts, Trace


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
