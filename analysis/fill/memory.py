"""Device memory, in the words of the contract."""

from __future__ import annotations

from typing import Final

from stallscope.analysis.contract.summary import Memory, MemoryHolder
from stallscope.analysis.stages.gpu.room import Room
from stallscope.traces.model.manifest import Manifest

MOST: Final = 8  # holders that are named
BEFORE: Final = "held since before the recording"


def fill_memory(room: Room | None, manifest: Manifest | None) -> Memory:
    """Peaks, what was held then, and the room for a larger batch."""
    room = Room(None, None, None, None, None) if room is None else room
    peak, times = room.peak, room.times
    holders = [] if peak is None else [(BEFORE, peak.before), *peak.holders[:MOST]]
    return Memory(
        peak_allocated=room.peak_allocated,
        peak_reserved=room.peak_reserved,
        total=room.total,
        alloc_retries=manifest.alloc_retries if manifest else None,
        ooms=manifest.ooms if manifest else None,
        lowest_allocated=room.lowest,
        held_at_peak=[MemoryHolder(what=what, bytes=held) for what, held in holders if held > 0],
        larger_batch_low=None if times is None else times[0],
        larger_batch_high=None if times is None else times[1],
    )
