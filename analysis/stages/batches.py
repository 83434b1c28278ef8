"""Kernels that start in bunches: Windows' WDDM driver collects launches and sends them together, which no row tells."""

from __future__ import annotations

from typing import Final

import numpy as np

from stallscope.analysis.stages.where.launches import pair, stream_numbers
from stallscope.traces.model.fields import CALLS
from stallscope.traces.model.trace import Trace

HELD_NS: Final = 100_000  # on an idle stream; launching takes some 10 µs
BUNCHES: Final = 5  # from which they are a habit
FOLLOWERS: Final = 3  # pieces of work, in the mean, that were launched while their bunch was held


def held_ns(trace: Trace) -> int | None:
    """For how long launches were held back while the device idled, ns; None: not in bunches, or no consumer card."""
    work, events = trace.work, trace.events
    if not any("GeForce" in device.name for device in trace.devices) or not len(work):
        return None
    calls = pair(trace, events.rows(*CALLS))
    if (calls < 0).any() or len(np.unique(stream_numbers(trace))) > 1:  # another stream may be what they wait for
        return None
    starts, called = events.ts_ns[work.row], events.end_ns[calls]
    free = np.concatenate((starts[:1], np.maximum.accumulate(events.end_ns[work.row])[:-1]))
    idle = starts - np.maximum(free, called)
    idle[1:][events.dur_ns[work.row[:-1]] == 0] = 0  # a row without its duration may have lasted until then
    heads = np.flatnonzero(idle >= HELD_NS)
    if len(heads) < BUNCHES:
        return None
    launched = np.searchsorted(np.sort(called), starts[heads]) - heads - 1
    return int(idle[heads].sum()) if launched.mean() >= FOLLOWERS else None
