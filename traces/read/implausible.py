"""Events whose times no recording can have: found, and left out.

Sources of the rules: HTA drops events longer than 7 days as overflows of CUPTI's clock; Kineto writes 0 for starts
before its base time, which lies up to three months before the recording.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stallscope.traces.model.trace import Bools, Ints, Origins
from stallscope.traces.read.columns import Columns

FARTHEST_NS = 7 * 24 * 3600 * 10**9  # from the median start, and the longest duration
LATEST_NS = 2**62  # the year 2116, counted from the epoch: beyond, sums of times overflow
GAP_NS = 3600 * 10**9  # a start of exactly 0 so long before all others is Kineto's clamp
MANY_ZEROS = 64  # rows that start at exactly 0, be the others ever so near …
ZEROS_SHARE = 0.05  # … where they are so large a part of the rows
MOST_EXCLUDED = 0.20  # of the device rows: above, figures of the rest mean nothing


@dataclass(frozen=True, slots=True)
class Excluded:
    """What was left out."""

    count: int
    share: float  # of all rows
    device_share: float  # of the device rows


def without_implausible(columns: Columns) -> tuple[Columns, Excluded]:
    """The columns without the rows whose times cannot be right."""
    bad = _implausible(columns.events.ts_ns, columns.events.dur_ns)
    count, device = int(bad.sum()), bad[columns.work.row]
    if not count:
        return columns, Excluded(0, 0.0, 0.0)
    device_share = float(device.mean()) if len(device) else 0.0
    return select(columns, ~bad), Excluded(count, count / len(bad), device_share)


def _implausible(ts: Ints, dur: Ints) -> Bools:
    """Which rows to leave out, shape (n,)."""
    bad: Bools = (dur > FARTHEST_NS) | (np.abs(ts) > LATEST_NS)
    told = ts[~bad & (ts != 0)]
    if not len(told):
        return bad
    bad |= np.abs(ts - int(np.median(told))) > FARTHEST_NS
    zero = (ts == 0) & ~bad
    earliest = int(told.min())
    many = zero.sum() >= MANY_ZEROS and zero.mean() >= ZEROS_SHARE
    if earliest > GAP_NS or (many and earliest > 0):
        bad |= zero
    return bad


def select(columns: Columns, keep: Bools) -> Columns:
    """The columns of the rows to ``keep``, shape (n,), in their order."""
    place = np.cumsum(keep) - 1
    kept_work, origins = columns.work.of(keep[columns.work.row]), columns.origins
    kept = keep[origins.python_row]
    autograd, stacked, waited = keep[origins.autograd_row], keep[origins.stack_row], keep[origins.sync_row]
    on_event, shaped = keep[origins.event_row], keep[origins.shape_row]
    return replace(
        columns,
        events=columns.events.of(keep),
        work=replace(kept_work, row=place[kept_work.row]),
        origins=Origins(
            place[origins.python_row[kept]],
            origins.python_id.of(kept),
            origins.python_parent.of(kept),
            place[origins.autograd_row[autograd]],
            origins.sequence[autograd],
            origins.forward_thread[autograd],
            place[origins.stack_row[stacked]],
            origins.stack[stacked],
            origins.stacks,
            place[origins.sync_row[waited]],
            origins.sync_stream[waited],
            place[origins.event_row[on_event]],
            origins.event_stream[on_event],
            origins.event_recorded[on_event],
            place[origins.shape_row[shaped]],
            origins.shape[shaped],
            origins.shapes,
        ),
    )
