"""What a blocking call waited for: the device work that had been launched before it, and whether that was done already.

A synchronizing call waits for a *scope*: one stream, or all work. A ``cudaStreamSynchronize`` names its stream in the
``cuda_sync`` row of its correlation; without one it is the stream to which its thread last gave work. A
``cudaEventSynchronize`` waits for what its stream had been given when the event was recorded, where the ``cuda_sync``
row names stream and record call; an event recorded before the recording tells nothing. Everything else waits for all
work that was launched before it.

The queue-drain lag is the end of the last work of the scope that was launched before the call, less the call's start:
at 0 or below the queue was *drained*, and the call had nothing to wait for. A copy that blocks waits from its start
until its own row starts: what follows is the copying itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns.rows import grouped
from stallscope.analysis.stages.where.launches import Launches, launched_at, stream_numbers
from stallscope.traces.model.fields import CALLS, CallKind, Category
from stallscope.traces.model.trace import Bools, Ints, OptionalInts, Trace

SKEW_NS: Final = 20_000  # host and device clocks agree this well: a wait may seem to return before its work ended
ENOUGH: Final = 5  # calls that had nothing to wait for, from which the cost of a call by itself is told
LOW: Final = 25  # percentile of their durations: some were slow for reasons of their own
SYNC_STREAM_OFFSET: Final = 1_000_000  # "Stream Sync" rows lie on stream + this since April 2026
ALL: Final = -1  # scope: all work
NO_STREAM: Final = -2  # scope: a stream on which no work was recorded
BEFORE: Final = -1  # correlation of the record call of an event recorded before the recording began


@dataclass(frozen=True, slots=True)
class Awaited:
    """For each of k blocking calls, in the order given."""

    work: Ints  # (k,) index into ``trace.work`` of what ended the wait, -1: nothing that was recorded
    lag_ns: OptionalInts  # (k,) queue-drain lag; unknown where no work was launched before
    waited_ns: Ints  # (k,) the call's time beyond what it costs by itself


def find_awaited(trace: Trace, launches: Launches, synchronize: Ints) -> Awaited:
    """What each Synchronize call (event rows) waited for."""
    scope, until = scopes(trace, launches, synchronize)
    work, lag, known = _last_before(trace, launches, synchronize, scope, until)
    durations = trace.events.dur_ns[synchronize]
    own = _own_cost(trace, synchronize, work, lag, known)
    return Awaited(work, OptionalInts(np.where(known, lag, 0), known), np.maximum(durations - own, 0))


def find_awaited_by_copies(trace: Trace, launches: Launches, copies: Ints) -> Awaited:
    """What each blocking copy call (event rows) waited for before its own copy could start."""
    own = _own_row(launches, copies)
    stream = np.where(own >= 0, stream_numbers(trace)[own], ALL) if len(trace.work) else np.full(len(copies), ALL)
    work, lag, known = _last_before(trace, launches, copies, stream, trace.events.ts_ns[copies])
    starts, durations = trace.events.ts_ns[copies], trace.events.dur_ns[copies]
    begun = trace.events.ts_ns[trace.work.row[own]] if len(trace.work) else starts
    waited = np.where(own >= 0, begun - starts, np.where(known, lag, 0))
    return Awaited(work, OptionalInts(np.where(known, lag, 0), known), np.clip(waited, 0, durations))


def find_awaited_by_allocations(trace: Trace, launches: Launches, calls: Ints) -> Awaited:
    """What each allocator call waited for: all work, if all of it ended inside the call; else the call is just slow."""
    work, lag, known = _last_before(trace, launches, calls, np.full(len(calls), ALL), trace.events.ts_ns[calls])
    drained = known & (lag > 0) & (lag <= trace.events.dur_ns[calls])
    waited = np.where(drained, lag, 0)
    return Awaited(np.where(drained, work, -1), OptionalInts(np.where(known, lag, 0), known), waited)


def _own_row(launches: Launches, calls: Ints) -> Ints:
    """The last row of ``trace.work`` that each call caused, -1 for none."""
    order = np.argsort(launches.work_call, kind="stable")
    place = np.searchsorted(launches.work_call[order], calls, side="right") - 1
    found = order[np.maximum(place, 0)] if len(order) else np.zeros(len(calls), dtype=np.int64)
    return np.where((place >= 0) & (launches.work_call[found] == calls), found, -1) if len(order) else found - 1


def scopes(trace: Trace, launches: Launches, calls: Ints) -> tuple[Ints, Ints]:
    """(stream number that each Synchronize call waits for, or ALL, or NO_STREAM; the moment before which, ns)."""
    scope, until = _streams_or_all(trace, launches, calls), trace.events.ts_ns[calls].copy()
    by_event, streams, recorded = told_events(trace, calls)
    scope[by_event], until[by_event] = streams, recorded
    return scope, until


def _streams_or_all(trace: Trace, launches: Launches, calls: Ints) -> Ints:
    """The stream number each call waits for, or ALL."""
    scope = np.full(len(calls), ALL, dtype=np.int64)
    if not len(trace.work) or not len(calls):
        return scope
    by_stream = trace.events.is_call(calls, CallKind.STREAM_SYNC)
    told = told_streams(trace, calls[by_stream])
    guessed = _stream_last_used(trace, launches, calls[by_stream])
    scope[by_stream] = np.where(told != ALL, told, guessed)
    return scope


def told_streams(trace: Trace, calls: Ints) -> Ints:
    """The stream that the ``cuda_sync`` row of each call names, else ALL."""
    rows = trace.events.rows(Category.DEVICE_SYNC)
    rows = rows[trace.events.correlation.known[rows]]
    numbers = stream_numbers_by_id(trace)
    told = {}
    for row, correlation in zip(rows.tolist(), trace.events.correlation.values[rows].tolist(), strict=True):
        thread = trace.threads[int(trace.events.thread[row])]
        device, stream = integer_of(thread.pid), integer_of(thread.tid)
        told[correlation] = numbers.get(
            (device, stream - SYNC_STREAM_OFFSET if stream >= SYNC_STREAM_OFFSET else stream), ALL
        )
    ids = np.where(trace.events.correlation.known[calls], trace.events.correlation.values[calls], -1)
    return np.array([told.get(each, ALL) for each in ids.tolist()], dtype=np.int64)


def told_events(trace: Trace, calls: Ints) -> tuple[Ints, Ints, Ints]:
    """Of the calls that wait for an event of which the file tells the record call: (places, stream numbers, moments).

    The moment is that of the record call; of one made before the recording, the beginning of the file.
    """
    rows, ids = trace.origins.event_row, trace.events.correlation
    waits = np.flatnonzero(trace.events.is_call(calls, CallKind.EVENT_SYNC))
    found: list[tuple[int, int, int]] = []
    if len(rows) and len(waits) and len(trace.work):
        place_of = {int(ids.values[row]): i for i, row in enumerate(rows.tolist()) if ids.known[row]}
        numbers, made = stream_numbers_by_id(trace), called_at(trace, trace.origins.event_recorded)
        for at in waits[ids.known[calls[waits]]].tolist():
            i = place_of.get(int(ids.values[calls[at]]), -1)
            moment = made.get(int(trace.origins.event_recorded[i])) if i >= 0 else None
            if moment is not None:
                device = integer_of(trace.threads[int(trace.events.thread[rows[i]])].pid)
                found.append((at, numbers.get((device, int(trace.origins.event_stream[i])), NO_STREAM), moment))
    columns = np.array(found, dtype=np.int64).reshape(-1, 3)
    return columns[:, 0], columns[:, 1], columns[:, 2]


def called_at(trace: Trace, correlations: Ints) -> dict[int, int]:
    """When each call of such a correlation was made, ns; ``BEFORE`` stands for the beginning of the file."""
    ids, rows = trace.events.correlation, trace.events.rows(*CALLS)
    rows = rows[ids.known[rows] & np.isin(ids.values[rows], correlations)]
    made = dict(zip(ids.values[rows].tolist(), trace.events.ts_ns[rows].tolist(), strict=True))
    return {**made, BEFORE: int(trace.events.ts_ns[0])}


def stream_numbers_by_id(trace: Trace) -> dict[tuple[int, int], int]:
    """``stream_numbers`` by (device, stream id)."""
    devices, streams = trace.work.device.tolist(), trace.work.stream.tolist()
    return dict(zip(zip(devices, streams, strict=True), stream_numbers(trace).tolist(), strict=True))


def integer_of(text: str) -> int:
    """The integer that a text spells, -1 for none."""
    try:
        return int(text)
    except ValueError:
        return -1


def _stream_last_used(trace: Trace, launches: Launches, calls: Ints) -> Ints:
    """The stream of the last work that each call's thread launched before it, else ALL."""
    paired = np.flatnonzero(launches.work_call >= 0)
    causes = launches.work_call[paired]
    order = np.argsort(causes, kind="stable")  # event rows ascend in time
    paired, causes = paired[order], causes[order]
    streams, threads = stream_numbers(trace)[paired], trace.events.thread[causes]
    found = np.full(len(calls), ALL, dtype=np.int64)
    launched_by = dict(grouped(threads))
    for thread, own in grouped(trace.events.thread[calls]):
        if thread in launched_by:
            mine = launched_by[thread]
            place = np.searchsorted(causes[mine], calls[own], side="left") - 1
            found[own] = np.where(place >= 0, streams[mine[np.maximum(place, 0)]], ALL)
    return found


def _last_before(trace: Trace, launches: Launches, calls: Ints, scope: Ints, until: Ints) -> tuple[Ints, Ints, Bools]:
    """(what ended each wait, lag in ns, whether any work of the scope was launched before the moment ``until``)."""
    work, lag = np.full(len(calls), -1, dtype=np.int64), np.zeros(len(calls), dtype=np.int64)
    known = np.zeros(len(calls), dtype=np.bool_)
    if not len(trace.work):
        return work, lag, known
    streams, launched = stream_numbers(trace), launched_at(trace, launches)
    rows_of = {**dict(grouped(streams)), ALL: np.arange(len(streams)), NO_STREAM: np.zeros(0, dtype=np.int64)}
    for each, chosen in grouped(scope):
        mine = rows_of[each]
        if not len(mine):
            continue
        in_order = mine[np.argsort(launched[mine], kind="stable")]
        columns = _last_of(trace, in_order, launched, calls[chosen], until[chosen])
        work[chosen], lag[chosen], known[chosen] = columns
    return work, lag, known


def _last_of(trace: Trace, mine: Ints, launched: Ints, calls: Ints, until: Ints) -> tuple[Ints, Ints, Bools]:
    """The same for one scope; ``mine`` are its rows of ``trace.work`` in the order of their launches."""
    rows, starts = trace.work.row[mine], trace.events.ts_ns[calls]
    returns, ends = starts + trace.events.dur_ns[calls], trace.events.ts_ns[rows] + trace.events.dur_ns[rows]
    reach = np.maximum.accumulate(ends)
    last = np.maximum.accumulate(np.where(ends == reach, np.arange(len(mine)), 0))
    before = np.searchsorted(launched[mine], until, side="left") - 1
    known: Bools = before >= 0
    place = np.maximum(before, 0)
    lag = reach[place] - starts
    waited = known & (lag > 0) & (reach[place] <= returns + SKEW_NS)
    by_end = np.argsort(ends, kind="stable")
    earlier = by_end[np.maximum(np.searchsorted(ends[by_end], returns, side="right") - 1, 0)]
    other = known & (lag > 0) & ~waited & (ends[earlier] > starts) & (ends[earlier] <= returns)
    return np.where(waited, mine[last[place]], np.where(other, mine[earlier], -1)), lag, known


def _own_cost(trace: Trace, calls: Ints, work: Ints, lag: Ints, known: Bools) -> Ints:
    """What each Synchronize call costs by itself, ns: told by those of its name that had nothing to wait for."""
    durations = trace.events.dur_ns[calls]
    ends = trace.events.end_ns[trace.work.row[work]] if len(trace.work) else trace.events.end_ns[calls]
    after = np.where(work >= 0, np.clip(trace.events.end_ns[calls] - ends, 0, durations), -1)
    own = np.zeros(len(calls), dtype=np.int64)
    for name in np.unique(trace.events.name[calls]):
        same = trace.events.name[calls] == name
        drained, returned = durations[same & known & (lag <= 0)], after[same & (after >= 0)]
        if len(drained) >= ENOUGH or (len(drained) and not len(returned)):
            own[same] = int(np.percentile(drained, LOW))
        elif len(returned):
            own[same] = int(np.median(returned))
    return np.minimum(own, durations)
