"""Whether the clock of each device agrees with the host's, and how far its rows must move where it does not.

Work cannot start before the call that launched it starts, and a wait cannot return before what it waited for has ended.
So the shift that sets a device's clock right lies between

    low  = the largest call start − device start       of its launches
    high = the smallest wait end − end of the work      of its waits

A wait for an event covers what was launched before the event was recorded, one for a stream its own stream, one for a
device all that was launched before it. A copy into pageable memory returns when it is done; one into pinned memory
does not wait. In a good file launches take 4 to 11 µs and waits return 3 to 9 µs late, so 0 lies inside. Few rows may
be wrong for other reasons, so low and high leave the most extreme ones out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.columns.rows import grouped
from stallscope.analysis.stages.awaited import told_events, told_streams
from stallscope.analysis.stages.where.launches import pair, stream_numbers
from stallscope.analysis.units import microseconds
from stallscope.traces.model.fields import CALLS, COPIES, CallKind, Category, Direction, Memory
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.shift import shifted
from stallscope.traces.model.trace import Ints, Trace

EARLY_NS: Final = 10_000  # clocks are 8 to 9 µs apart in good files: work seems to start that much before its call
LATE_NS: Final = 20_000  # and a wait seems to return that much before its work ended
ENOUGH: Final = 3  # launches, or waits, that must say so
FEW: Final = 0.005  # of them, that may be wrong for reasons of their own
NARROW_NS: Final = 50_000  # width of the interval that still tells what the shift is …
NARROW: Final = 0.25  # … or so much of the shift itself


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """One device whose clock is apart from the host's; ns to add to its times."""

    device: int
    low_ns: int
    high_ns: int | None  # None: no wait tells
    rows: int

    @property
    def shift_ns(self) -> int | None:
        """What the device's rows are moved by; None: the bounds contradict each other, or lie too far apart."""
        if self.high_ns is None:
            return None
        width, middle = self.high_ns - self.low_ns, (self.high_ns + self.low_ns) // 2
        agrees = -LATE_NS <= width <= max(NARROW_NS, NARROW * abs(middle))
        return middle if agrees else None

    def issue(self) -> TraceIssue:
        """What to say of it."""
        late = self.high_ns is not None and self.high_ns < 0
        by = abs(self.shift_ns or (self.high_ns if late and self.high_ns is not None else self.low_ns))
        apart = f"The clock of GPU {self.device} is {microseconds(by / 1000)} {'late' if late else 'early'}"
        if self.shift_ns is not None and self.high_ns is not None:
            doubt = microseconds(abs(self.high_ns - self.low_ns) / 2000)
            advice = f"{apart}: its rows were moved by that much, which is right to about {doubt}."
        elif self.high_ns is not None and self.low_ns > self.high_ns:
            advice = f"{apart} in places and not in others, so its rows stay where they are: delays between CPU and GPU"
            advice += " are wrong by about as much. Record a shorter part."
        else:
            advice = f"{apart} or more; no launch tells by how much, so its rows stay where they are."
        return TraceIssue("clock_offset", Severity.DATA_LOSS, self.rows, advice)


def find_offsets(trace: Trace) -> tuple[ClockOffset, ...]:
    """The devices whose clock is clearly apart from the host's."""
    if not len(trace.work):
        return ()
    calls = pair(trace, trace.events.rows(*CALLS))
    return tuple(_offsets(trace, calls))


def aligned(trace: Trace, offsets: Sequence[ClockOffset]) -> Trace:
    """The trace with the rows of such devices where they belong."""
    by_device = {offset.device: offset.shift_ns for offset in offsets if offset.shift_ns is not None}
    if not by_device:
        return trace
    by = np.zeros(len(trace.events), dtype=np.int64)
    for device, shift in by_device.items():
        by[trace.work.row[trace.work.device == device]] = shift
    ranges = trace.events.rows(Category.DEVICE_ANNOTATION)  # drawn from the work that they hold
    pids = [thread.pid for thread in trace.threads]
    by[ranges] = [by_device.get(_ordinal(pids[i]), 0) for i in trace.events.thread[ranges].tolist()]
    return shifted(trace, by)


def _ordinal(pid: str) -> int:
    return int(pid) if pid.isascii() and pid.isdigit() else -1


def _offsets(trace: Trace, calls: Ints) -> Iterator[ClockOffset]:
    events, devices = trace.events, np.unique(trace.work.device).tolist()
    waits = _wait_slack(trace, calls)
    for device in devices:
        mine = np.flatnonzero((trace.work.device == device) & (calls >= 0))
        launch = _smallest(events.ts_ns[trace.work.row[mine]] - events.ts_ns[calls[mine]])
        wait = _smallest(np.concatenate([slack for on, slack in waits if on == device] or [np.zeros(0, np.int64)]))
        if launch is None:
            continue
        if launch < -EARLY_NS or (wait is not None and wait < -LATE_NS):
            yield ClockOffset(device, -launch, wait, int((trace.work.device == device).sum()))


def _smallest(slack: Ints) -> int | None:
    """The smallest of them but for the few that may be wrong; None: too few to tell."""
    if len(slack) < ENOUGH:
        return None
    at = max(ENOUGH - 1, int(FEW * len(slack)))
    return int(np.partition(slack, at)[at])


def _wait_slack(trace: Trace, calls: Ints) -> Iterator[tuple[int, Ints]]:
    """(device, wait end − end of the work waited for) of every wait of which it is known what it covers."""
    events, launched = trace.events, np.flatnonzero(calls >= 0)
    launched = launched[np.argsort(calls[launched], kind="stable")]  # event rows ascend in time
    streams = stream_numbers(trace)
    of_all = events.calls(CallKind.DEVICE_SYNC, CallKind.CONTEXT_SYNC)
    if len(np.unique(trace.work.device)) == 1:  # else it is not known which device the wait is for
        yield int(trace.work.device[0]), _slack(trace, calls, launched, of_all, events.ts_ns[of_all])
    by_stream, by_event = events.calls(CallKind.STREAM_SYNC), events.calls(CallKind.EVENT_SYNC)
    scope = told_streams(trace, by_stream) if len(np.unique(streams)) > 1 else np.zeros(len(by_stream), np.int64)
    at, of_event, recorded = told_events(trace, by_event)
    scopes = np.concatenate((scope, of_event))
    waits = np.concatenate((by_stream, by_event[at]))
    until = np.concatenate((events.ts_ns[by_stream], recorded))
    for stream, chosen in grouped(scopes):
        mine = launched[streams[launched] == stream]
        if len(mine):
            yield int(trace.work.device[mine[0]]), _slack(trace, calls, mine, waits[chosen], until[chosen])
    yield from _downloads(trace, calls, launched)


def _slack(trace: Trace, calls: Ints, mine: Ints, waits: Ints, until: Ints) -> Ints:
    """How long after the end of what each wait covers it returned; ``mine``: work in the order of its calls."""
    events = trace.events
    reach = np.maximum.accumulate(events.end_ns[trace.work.row[mine]])
    place = np.searchsorted(events.ts_ns[calls[mine]], until, side="left") - 1
    covered = place >= 0
    slack: Ints = events.end_ns[waits[covered]] - reach[place[covered]]
    return slack


def _downloads(trace: Trace, calls: Ints, launched: Ints) -> Iterator[tuple[int, Ints]]:
    """Of copies into pageable memory the call waits for its own copy."""
    work, events = trace.work, trace.events
    pageable = (work.direction[launched] == Direction.DtoH) & (work.memory[launched] == Memory.pageable)
    mine = launched[pageable & events.is_call(calls[launched], *COPIES)]
    for device, chosen in grouped(work.device[mine]):
        copies = mine[chosen]
        yield device, events.end_ns[calls[copies]] - events.end_ns[work.row[copies]]
