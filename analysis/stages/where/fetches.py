"""The batches that a script takes from its DataLoader: how long it waits for each, and before which workers start.

Workers that start are known by their first fetch, far longer than the others, and by what the thread does right before
it: it is in no operator, call or range while it makes the processes. Workers that all began at once, and are too slow,
look alike from afar: they hand over as many batches as they are, then nothing for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import rows_named
from stallscope.analysis.stages.where.iterations import is_fetch
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import CALLS, Category
from stallscope.traces.model.trace import Bools, Ints, Trace

LONG: Final = 3.0  # times the median fetch, from which one is a start of workers
HALF: Final = 0.5  # of the usual long fetch, below which one is just a little late
START_NS: Final = 300_000  # that making processes takes at least
MOST_WORKERS: Final = 8  # that hand over their batches at one time, and not the first batches of an epoch
OFTEN: Final = 2  # long fetches, from which they come back


@dataclass(frozen=True, slots=True)
class Fetches:
    """f fetches in order of time."""

    rows: Ints  # (f,) event rows
    length_ns: Ints  # (f,)
    before_ns: Ints  # (f,) since the thread's last operator, call or range
    start_ns: Ints  # (f,) when each began
    workers: bool  # worker processes make the batches

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def long(self) -> Bools:
        """Which take far longer than most, and not far less than others that do, (f,)."""
        usual = np.median(self.length_ns) if len(self) else 0
        found: Bools = self.length_ns > max(LONG * usual, 1)
        if found.any():
            found &= self.length_ns >= HALF * np.median(self.length_ns[found])
        return found

    @property
    def starting(self) -> Bools:
        """Before which the workers were made, (f,)."""
        found: Bools = self.long & (self.before_ns >= START_NS) & self.workers
        return found

    @property
    def starts(self) -> Intervals:
        """When they were."""
        made = self.starting
        return Intervals((self.start_ns - self.before_ns)[made], self.start_ns[made])

    @property
    def in_bursts(self) -> bool:
        """Whether the long ones come at a regular distance of few steps, and no workers are started."""
        at = np.diff(np.flatnonzero(self.long))
        if not self.workers or len(at) < OFTEN - 1 or self.starting.any():
            return False
        return bool(at.min() > 1 and at.max() <= min(at.min() + 1, MOST_WORKERS))


def find_fetches(trace: Trace, window: Window) -> Fetches:
    """The fetches that begin in the window."""
    events, host = trace.events, trace.events.rows(Category.CPU_OP, Category.ANNOTATION)
    rows = rows_named(trace, host, is_fetch)
    rows = rows[np.unique(events.ts_ns[rows], return_index=True)[1]]  # a file may hold each row twice
    rows = rows[window.holds(events.ts_ns[rows])]
    starts, before = events.ts_ns[rows], np.zeros(len(rows), dtype=np.int64)
    others = np.concatenate((host, events.rows(*CALLS)))
    for thread in np.unique(events.thread[rows]).tolist():
        mine = events.thread[rows] == thread
        ends = np.sort(events.end_ns[others[events.thread[others] == thread]])
        ended = np.searchsorted(ends, starts[mine], side="right") - 1
        before[mine] = np.where(ended >= 0, starts[mine] - ends[np.maximum(ended, 0)], 0)
    workers = any("_MultiProcessing" in name and is_fetch(name) for name in trace.strings)
    return Fetches(rows, events.dur_ns[rows], before, starts, workers)
