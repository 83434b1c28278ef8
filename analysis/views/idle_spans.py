"""The idle account of a device instant by instant: for each cause the stretches that ``idle.py`` gives to it.

The rule is that of ``idle.py``, whose totals these stretches have to the nanosecond; here each instant is kept instead
of being added up, which takes several times as long and is needed only where the gaps are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.stages.idle import ON_HOST, Gaps, Host, by_thread, endless, find_gaps
from stallscope.analysis.stages.sync import LONG_WAIT_NS
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.trace import Bools, Ints, Trace


@dataclass(frozen=True, slots=True)
class IdleSpans:
    """The idle stretches of one device by cause; disjoint within and across causes."""

    device: int
    causes: dict[str, Intervals]


def find_idle_spans(
    trace: Trace, window: Window, launches: Launches, blocking: Ints, lost: Intervals | None = None
) -> tuple[IdleSpans, ...]:
    """The idle stretches of every device that worked in the window, by ordinal; arguments as of ``find_idle``."""
    host = Host(trace, window, launches, blocking)
    rows = trace.work.row
    active = window.holds(trace.events.ts_ns[rows]) | (window.durations(trace, rows) > 0)
    lost = intervals.empty() if lost is None else lost
    devices = np.unique(trace.work.device[active]).tolist()
    if not devices:
        return (_spans(0, host, endless(window, host), lost),)
    return tuple(_spans(d, host, find_gaps(trace, window, launches, d, host), lost) for d in devices)


def _spans(device: int, host: Host, gaps: Gaps, lost: Intervals) -> IdleSpans:
    """Divide the gaps of one device, as ``idle.py`` does."""
    known = gaps.launch_start >= 0
    launched = np.where(known, np.clip(gaps.launch_start, gaps.starts, gaps.ends), gaps.starts)
    ready = np.clip(gaps.ready, launched, gaps.ends)
    short = known & (gaps.ends - ready <= LONG_WAIT_NS)
    elsewhere = host.working_elsewhere(device, lost)

    def stretches(starts: Ints, ends: Ints, chosen: Bools) -> Intervals:
        return intervals.subtract(intervals.union(starts[chosen], ends[chosen]), lost)

    late = stretches(ready, gaps.ends, ~short)
    others = intervals.intersect(late, elsewhere)
    found = [
        ("unrecorded", intervals.intersect(intervals.union(gaps.starts, gaps.ends), lost)),
        ("stream_dependency", stretches(ready, gaps.ends, short & gaps.waits)),
        ("stream_dependency", others),
        ("unexplained", intervals.subtract(late, others)),
    ]
    for name, chosen in (("memcpy", gaps.is_copy), ("launch", ~gaps.is_copy)):
        found.append((name, stretches(launched, ready, known & chosen)))
        found.append((name, stretches(ready, gaps.ends, short & chosen & ~gaps.waits)))
    for thread, mine in by_thread(gaps.thread, np.flatnonzero(known & (launched > gaps.starts)), host.main):
        found += _on_host(host, thread, intervals.union(gaps.starts[mine], launched[mine]), lost)
    names = dict.fromkeys(name for name, _ in found)
    return IdleSpans(device, {name: intervals.join(*(held for n, held in found if n == name)) for name in names})


def _on_host(host: Host, thread: int, left: Intervals, lost: Intervals) -> list[tuple[str, Intervals]]:
    """The stretches in which work had not been launched, by what ``thread``, else another one, was doing."""
    found = []
    left = intervals.subtract(left, lost)
    for threads in ([thread], host.others(thread)):
        for name, doing in zip(ON_HOST, host.doing(threads), strict=True):
            found.append((name, intervals.intersect(left, doing)))
            left = intervals.subtract(left, doing)
    return [*found, (host.rest, left)]
