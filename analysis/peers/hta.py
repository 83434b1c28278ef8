"""Figures as HTA defines them (release 0.5.0), over our columns: with its rounding, its window and its categories.

Times are µs. HTA rounds a start up and an end down to whole µs where the file has fractions; a kernel within one µs
then lasts −1 or 0. It leaves out the last step where there are several, with every device row launched in it. It takes
for device work whatever names a stream other than −1, so ``cuda_sync`` rows, in which the host waits, count as busy in
the temporal breakdown (not in the idle breakdown).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns.rows import matches, named, rows_named
from stallscope.analysis.stages.where.launches import pair
from stallscope.traces.model import fields
from stallscope.traces.model.fields import CALLS, DEVICE_WORK, Category
from stallscope.traces.model.trace import Bools, Floats, Ints, Trace
from stallscope.traces.vendors.peers import HTA_ALWAYS_KEPT, HTA_LAUNCHES, HTA_NO_COMPUTE, HTA_QUEUED

KERNEL_DELAY_US: Final = 30  # documented as ns, compared with µs
SHORT_US: Final = 50  # of a launch call: longer is a "runtime outlier"
LATE_US: Final = 100  # of a launch delay: longer is a "launch delay outlier"
FULL_QUEUE: Final = 1024
NO_STREAM: Final = -1


@dataclass(frozen=True, slots=True)
class HtaFigures:
    """HTA's figures of one rank; µs, totals over its window."""

    steps: int  # that its window holds; 0: the whole trace
    dropped: bool  # the last step was left out
    rounded: bool  # to whole µs
    wait_rows: int  # cuda_sync rows counted as device work
    kernel_us: float  # "kernel_time": first start to last end
    idle_us: float
    compute_us: float
    non_compute_us: float
    host_wait_us: float  # of the idle breakdown: sums over streams
    kernel_wait_us: float
    other_us: float
    launches: int  # joined pairs of the launch statistics
    launch_delay_us: float | None  # mean
    short_kernels: int
    slow_launches: int
    late_launches: int
    longest_queue: int
    full_queue_us: float


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of HTA's table that matter: device rows and calls, times in µs."""

    trace: Trace
    ts: Floats  # (n,) of every event
    end: Floats
    device: Ints  # event rows with a stream, work and waits
    stream: Ints  # of each
    kept: Bools  # (n,) in HTA's window
    call: Ints  # (n,) the row of the call for device work, else -1


def find_hta(trace: Trace) -> HtaFigures | None:
    """The figures; None where HTA finds no device row."""
    rows, dropped, steps = _table(trace)
    if not len(rows.device):
        return None
    is_work = np.isin(trace.events.category[rows.device], [int(c) for c in DEVICE_WORK])
    kernel, idle, compute = _temporal(rows)
    host_wait, kernel_wait, other = _idle_classes(rows, is_work)
    longest, full = _queue(rows, is_work)
    return HtaFigures(
        steps,
        dropped,
        _has_fractions(trace),
        int((~is_work).sum()),
        kernel,
        idle,
        compute,
        kernel - idle - compute,
        host_wait,
        kernel_wait,
        other,
        *_launch_statistics(rows, is_work),
        longest,
        full,
    )


def _table(trace: Trace) -> tuple[_Rows, bool, int]:
    """HTA's table after rounding and dropping; whether a step was dropped; how many are left."""
    ts, end = _rounded(trace)
    waits = trace.origins.sync_stream != NO_STREAM
    device = np.concatenate((trace.work.row, trace.origins.sync_row[waits]))
    stream = np.concatenate((trace.work.stream, trace.origins.sync_stream[waits]))
    order = np.argsort(device)
    device, stream = device[order], stream[order]
    call = np.full(len(trace.events), -1, dtype=np.int64)
    call[trace.work.row] = pair(trace, trace.events.rows(*CALLS))
    kept, dropped, steps = _window(trace, ts, device)
    inside = kept[device]
    return _Rows(trace, ts, end, device[inside], stream[inside], kept, call), dropped, steps


def _rounded(trace: Trace) -> tuple[Floats, Floats]:
    """Start and end of each event in µs, as HTA's doubles have them."""
    events = trace.events
    ts = (events.ts_ns.astype(np.longdouble) / 1000).astype(np.float64)
    end = ts + events.dur_ns / 1000
    return (np.ceil(ts), np.floor(end)) if _has_fractions(trace) else (ts, end)


def _has_fractions(trace: Trace) -> bool:
    return bool((trace.events.ts_ns % 1000).any())


def _window(trace: Trace, ts: Floats, device: Ints) -> tuple[Bools, bool, int]:
    """Which rows HTA keeps: with several steps, host rows before the last, and the device rows they launched."""
    kept = np.ones(len(trace.events), dtype=np.bool_)
    ranges = trace.events.rows(Category.ANNOTATION, Category.DEVICE_ANNOTATION)
    steps = rows_named(trace, ranges, lambda name: fields.step_number(name) is not None)
    names = len(np.unique(trace.events.name[steps]))
    if names < 2:  # noqa: PLR2004 - HTA filters from two steps on
        return kept, False, names
    kept = ts < ts[steps].max()
    ids = trace.events.correlation
    paired = ids.known & (ids.values >= 0)
    host = kept.copy()
    host[device] = False
    launched = np.isin(ids.values[device], np.unique(ids.values[host & paired]))
    # Without an id HTA takes a row for the host's, except two kinds of wait, whose missing ids match each other.
    unpaired = kept[device] | named(trace, device, HTA_ALWAYS_KEPT.__contains__)
    kept[device] = np.where(paired[device], launched, unpaired)
    return kept, True, names - 1


def _temporal(rows: _Rows) -> tuple[float, float, float]:
    """(kernel time, idle, compute): unions over all rows with a stream."""
    starts, ends = _merged(rows.ts[rows.device], rows.end[rows.device])
    kernel = float(ends[-1] - starts[0])
    trace, device = rows.trace, rows.device
    chosen = device[~named(trace, device, matches(HTA_NO_COMPUTE))]
    compute_starts, compute_ends = _merged(rows.ts[chosen], rows.end[chosen])
    return kernel, kernel - float((ends - starts).sum()), float((compute_ends - compute_starts).sum())


def _merged(starts: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """HTA's ``merge_kernel_intervals``: an interval that rounding made negative stays so where nothing covers it."""
    if not len(starts):
        return starts, ends
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    opens = np.concatenate(([True], starts[1:] > np.maximum.accumulate(ends)[:-1]))
    first = np.flatnonzero(opens)
    return np.minimum.reduceat(starts, first), np.maximum.reduceat(ends, first)


def _idle_classes(rows: _Rows, is_work: Bools) -> tuple[float, float, float]:
    """(host wait, kernel wait, other): each gap between successive rows of a stream, summed over streams."""
    work, stream = rows.device[is_work], rows.stream[is_work]
    order = np.lexsort((rows.ts[work], stream))
    work, stream = work[order], stream[order]
    gap = rows.ts[work[1:]] - rows.end[work[:-1]]
    same = stream[1:] == stream[:-1]
    call = rows.call[work[1:]]
    launched = np.where(call >= 0, rows.ts[call], -np.inf)
    host = same & (launched > rows.end[work[:-1]])
    short = same & ~host & (gap < KERNEL_DELAY_US)
    return float(gap[host].sum()), float(gap[short].sum()), float(gap[same & ~host & ~short].sum())


def _launch_statistics(rows: _Rows, is_work: Bools) -> tuple[int, float | None, int, int, int]:
    """(pairs, mean launch delay, kernels shorter than their call, calls over 50 µs, delays over 100 µs)."""
    work = rows.device[is_work]
    call = rows.call[work]
    joined = named(rows.trace, call, HTA_LAUNCHES.__contains__)
    work, call = work[joined], call[joined]
    if not len(work):
        return 0, None, 0, 0, 0
    on_cpu, on_gpu = rows.end[call] - rows.ts[call], rows.end[work] - rows.ts[work]
    delay = np.maximum(rows.ts[work] - rows.ts[call] - on_cpu, 0)
    short = (on_cpu <= SHORT_US) & (on_gpu < on_cpu)
    late = int((delay > LATE_US).sum())
    return len(work), float(delay.mean()), int(short.sum()), int((on_cpu > SHORT_US).sum()), late


def _queue(rows: _Rows, is_work: Bools) -> tuple[int, float]:
    """(longest launch queue of any stream, time in which one was full): +1 at a call, −1 where its work starts."""
    work, stream = rows.device[is_work], rows.stream[is_work]
    call = rows.call[work]
    queued = named(rows.trace, call, HTA_QUEUED.__contains__)
    work, stream, call = work[queued], stream[queued], call[queued]
    longest, full = 0, 0.0
    for number in np.unique(stream).tolist():
        here = stream == number
        ts = np.concatenate((rows.ts[call[here]], rows.ts[work[here]]))
        change = np.repeat([1, -1], int(here.sum()))
        order = np.argsort(ts, kind="stable")
        length = np.cumsum(change[order])
        longest = max(longest, int(length.max()))
        full += float(np.diff(ts[order])[length[:-1] >= FULL_QUEUE].sum())
    return longest, full
