"""When each step was complete, how long a step takes, and over which window the work of the device counts.

A loop that never waits is enqueued faster than the GPU works: its steps end on the host long before their work does.
With H_k the end of step k on the host and D_k the end of the work launched in it (from any thread, by the time of the
call; copies on streams of their own, which no later step waits for, left out), step k is complete at

    C_k = max(C_(k-1), H_k, D_k)

Where completion falls behind the host by more and more, the host *runs ahead*: a step then takes the slope of C, and
the device is looked at from C_1 to C_n, which holds the work of n - 1 steps. Else a step takes what it takes on the
host, from its start to the start of the next, and host and device share one window.

*Which steps count.* Steps that the recorder cut short, steps at the head whose device work is missing, and steps far
longer than the others do not, unless long ones come back: what happens again and again is part of a step, by its
share. What does not count is still part of every total of the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stallscope.analysis.stages.where.launches import Launches, launched_at, stream_numbers
from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Bools, Ints, Trace

BEHIND: Final = 0.05  # of a step, by which completion must fall behind the host to be a queue that grows
LONG: Final = 1.5  # times the median, from which a step is longer than the others …
FAR: Final = 3.0  # … and at an edge of the recording, from which it is taken to be cut or cold
FEWEST: Final = 3  # steps, from which one of them can be called cut or cold
SEVERAL: Final = 5  # steps, from which one of them can be called longer than the others


@dataclass(frozen=True, slots=True)
class Completion:
    """The time of a step, ns, and the steps that it is made of."""

    window: Window  # of the device: the host's where it does not run ahead
    ahead: bool  # the host runs ahead of the device
    lengths: Ints  # (s,) of each step: the difference of completion, or its time on the host; of the device's window
    counts: Bools  # (s,) which of them a step is the mean of
    recurring: int  # long steps that come back: they count
    outliers: int  # long steps that do not
    shortest_ns: int  # one step alone bounds a step of the loop: not below this, and not above ``step_ns``

    @property
    def step_ns(self) -> float:
        """How long a step takes."""
        return float(self.lengths[self.counts].mean())

    def only(self) -> Completion:
        """With the steps that count alone."""
        kept = self.lengths[self.counts]
        return replace(self, window=self.window.only(self.counts), lengths=kept, counts=np.ones(len(kept), np.bool_))

    def counted(self, window: Window) -> Bools:
        """Which steps of the host's window count, (s,): the first has no length of its own where the host is ahead."""
        counts = np.ones(window.count, dtype=np.bool_)
        counts[window.count - len(self.counts) :] = self.counts
        return counts


def find_completion(trace: Trace, window: Window, launches: Launches, left_out: Sequence[int] = ()) -> Completion:
    """The completion of the window's steps; those ``left_out`` (they held an evaluation, say) do not count."""
    ends = _completion(trace, window, launches)
    host = np.append(window.step_starts[1:], window.step_ends[-1:])
    ahead = window.from_steps and _falls_behind(window, host, ends)
    device = _device_window(window, ends) if ahead else window
    lengths = device.step_ends - device.step_starts if ahead else host - window.step_starts
    has_work = _has_work(trace, window, launches)
    plain = np.ones(window.count, dtype=np.bool_)
    plain[[at for at in left_out if at < window.count]] = False
    usable = (window.whole & has_work & plain)[window.count - device.count :]
    counts, recurring, outliers = _typical(lengths, usable if usable.any() else np.ones_like(usable))
    shortest = int(window.step_ends[-1] - window.start) if window.count == 1 else int(lengths[counts].mean())
    return Completion(device, ahead, lengths, counts, recurring, outliers, shortest)


def _completion(trace: Trace, window: Window, launches: Launches) -> Ints:
    """C_k of every step, (s,)."""
    ends = window.step_ends.copy()
    launched = launched_at(trace, launches)
    chosen = np.flatnonzero((launches.work_call >= 0) & window.holds(launched) & _steps_depend_on(trace))
    step = np.searchsorted(window.step_starts, launched[chosen], side="right") - 1
    np.maximum.at(ends, step, trace.events.end_ns[trace.work.row[chosen]])
    latest: Ints = np.maximum.accumulate(ends)
    return latest


def _steps_depend_on(trace: Trace) -> Bools:
    """Work on streams that run kernels; a stream of copies alone prefetches or stores, (m,)."""
    streams = stream_numbers(trace)
    kernels = trace.events.category[trace.work.row] == Category.KERNEL
    found: Bools = np.isin(streams, streams[kernels])
    return found


def _falls_behind(window: Window, host: Ints, ends: Ints) -> bool:
    """Whether completion falls behind the host more and more; one step alone shows it by work that outlasts it."""
    usual = (int(host[-1]) - window.start) / window.count
    lag = ends - host
    if window.count == 1:
        return bool(lag[0] > BEHIND * usual)
    growth = (int(lag[-1]) - int(lag[0])) / (window.count - 1)
    return bool(lag[-1] > BEHIND * usual and growth > BEHIND * usual)


def _device_window(window: Window, ends: Ints) -> Window:
    """[C_1, C_n] with n - 1 steps; of one step [its start, C_1]."""
    bounds = ends if window.count > 1 else np.array([window.start, int(ends[0])], dtype=np.int64)
    starts, stops = bounds[:-1], bounds[1:]
    whole = window.whole[window.count - len(starts) :]
    real = stops > starts
    return Window(
        start=int(bounds[0]),
        end=int(bounds[-1]),
        step_starts=starts[real],
        step_ends=stops[real],
        whole=whole[real],
        from_steps=True,
        source=window.source,
    )


def _has_work(trace: Trace, window: Window, launches: Launches) -> Bools:
    """False for steps at the head that have no device work while later ones have: the device was not recorded yet."""
    everywhere = np.ones(window.count, dtype=np.bool_)
    launched = launched_at(trace, launches)
    inside = launched[(launches.work_call >= 0) & window.holds(launched)]
    if not len(inside):
        return everywhere
    step = np.searchsorted(window.step_starts, inside, side="right") - 1
    held = np.bincount(step, minlength=window.count)
    everywhere[: int(np.argmax(held > 0))] = False
    return everywhere


def _typical(lengths: Ints, usable: Bools) -> tuple[Bools, int, int]:
    """(which steps count, how many long ones come back, how many do not)."""
    if usable.sum() < FEWEST:
        return usable, 0, 0
    usual = float(np.median(lengths[usable]))
    long = usable & (lengths > LONG * usual)
    edges = np.zeros(len(lengths), dtype=np.bool_)
    edges[[0, -1]] = True
    cut = long & edges & (lengths > FAR * usual)
    for left_out in (np.zeros_like(long), cut):  # an edge may be one of those that come back
        if _recur(np.flatnonzero(long & ~left_out), len(lengths)):
            return usable & ~left_out, int((long & ~left_out).sum()), int(left_out.sum())
    left_out = long if usable.sum() >= SEVERAL else cut
    return usable & ~left_out, 0, int(left_out.sum())


def _recur(at: Ints, count: int) -> bool:
    """Whether long steps come back: often, or at one distance; those that open a recording warm it up."""
    later = at[at >= np.arange(len(at)) + 1] if len(at) and at[0] == 0 else at
    if len(later) < 2:  # noqa: PLR2004 - what happens once does not come back
        return False
    distances = np.diff(later)
    widest = int(distances.max()) + 1  # before the first and after the last another one would have come
    throughout = later[0] <= widest and count - 1 - later[-1] <= widest
    regular = distances.max() - distances.min() <= 1 and distances.min() > 1 and throughout
    return bool(regular or len(later) >= max(FEWEST, count // 10))
