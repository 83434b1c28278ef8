"""What changes from step to step: work that comes back every so many steps, work that grows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from stallscope.analysis.causes.case import Case, Claim
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import rows_named
from stallscope.analysis.stages.completion import LONG
from stallscope.analysis.stages.periodic import find_periodic
from stallscope.analysis.stages.step_times import longest_unprofiled
from stallscope.analysis.stages.where.iterations import is_fetch
from stallscope.analysis.units import count, microseconds, percent
from stallscope.traces.model.fields import Category, step_number
from stallscope.traces.model.trace import Bools, Ints

FEWEST: Final = 5  # steps, from which a course can be seen
MOST: Final = 0.5
OFTEN: Final = 1 / 3  # of the steps, up to which long ones without a regular distance are something that comes back
SURE: Final = 3  # long steps, from which their distance is no chance
MANY: Final = 5  # times the recorded steps, from which unprofiled ones tell whether something comes back
GROWS: Final = 0.02  # of the operators, over the window
STEADILY: Final = 0.8  # of the differences from step to step that are not negative


def find(case: Case) -> Iterator[Claim]:
    """Periodic work and growth."""
    if not case.stages.window.from_steps or case.stages.window.count < FEWEST:
        return
    gc = list(_gc_pause(case))
    yield from gc
    yield from () if gc else _periodic(case)
    yield from _growth(case)


def _gc_pause(case: Case) -> Iterator[Claim]:
    """Python's collector of garbage, where the trace holds its rows (with stacks only)."""
    trace, window = case.trace, case.stages.window
    rows = rows_named(trace, trace.events.rows(Category.PYTHON), lambda name: name.startswith("Python GC"))
    rows = rows[window.holds(trace.events.ts_ns[rows])]
    if not len(rows):
        return
    times = window.cover(trace, rows)
    us = case.stages.us(intervals.total(times))
    yield case.claim(
        "gc_pause",
        "Python collects garbage in the middle of the loop",
        nodes=case.nodes_inside(times),
        cost_us=us,
        evidence=f"{len(rows)} collections in {window.count} steps, {microseconds(us)} a step.",
        advice="After set-up call gc.collect(), then gc.freeze(): what is there by then is not searched again. "
        "Or gc.disable(), and gc.collect() every 100 steps.",
    )


def _periodic(case: Case) -> Iterator[Claim]:
    """Long steps that come back, but for those in which workers start."""
    completion, window = case.stages.completion, case.stages.window
    lengths = completion.lengths[completion.counts]
    usual = float(np.median(lengths))
    long = lengths > LONG * usual
    if not completion.recurring or not long.any():
        return
    more = float((lengths[long] - usual).sum())
    at = np.flatnonzero(completion.counted(window))[-len(lengths) :]
    names, loading = _only_there(case, at[long])
    if loading >= MOST * more:
        return
    us = more / len(lengths) / 1000
    title = _how_often(np.flatnonzero(long), len(lengths))
    if title is None or (long.sum() < SURE and _is_chance(case)):
        return
    yield case.claim(
        "periodic",
        title,
        cost_us=us,
        saves_us=us,
        evidence=f"{int(long.sum())} of {len(lengths)} steps take {microseconds(float(lengths[long].mean()) / 1000)} "
        f"instead of {microseconds(usual / 1000)}: {percent(us / case.step_us)} of all time."
        + (f" Only these run {', '.join(names)}." if names else ""),
        advice="See what the script does every so many steps (evaluation, a tracker that reads weights, a checkpoint): "
        "do it less often, or on fewer values.",
    )


def _is_chance(case: Case) -> bool:
    """Whether many more steps, timed without the profiler, show nothing that comes back: the long ones were chance."""
    window = None if case.manifest is None else longest_unprofiled(case.trace.path, case.manifest)
    if window is None or len(window.samples_ns) < MANY * case.stages.window.count:
        return False
    return not find_periodic(window.samples_ns)


def _how_often(at: Ints, count: int) -> str | None:
    """The distance of the long steps ``at``, in words; None: so many, and without order, that steps are just uneven."""
    distances = np.diff(at) if len(at) > 1 else np.array([count])
    nearest, distance = int(distances.min()), int(np.median(distances))
    if nearest > 1 and int(distances.max()) - nearest <= 1:
        return f"every {_ordinal(distance)} step takes longer"
    return "some steps take much longer than the others" if len(at) <= OFTEN * count else None


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    in_teens = 10 < number % 100 < 14  # noqa: PLR2004 - 11th, 12th, 13th
    return f"{number}{'th' if in_teens else endings.get(number % 10, 'th')}"


def _only_there(case: Case, long: Ints) -> tuple[list[str], float]:
    """(operators that hardly run elsewhere than in the long steps, most time first; ns of loading in them)."""
    trace, window = case.trace, case.stages.window
    operators = case.stages.operators
    step = np.searchsorted(window.step_starts, trace.events.ts_ns[operators.rows], side="right") - 1
    inside = np.isin(step, long) & window.holds(trace.events.ts_ns[operators.rows])
    names = trace.events.name[operators.rows]
    size = len(trace.strings)
    there, everywhere = np.bincount(names[inside], minlength=size), np.bincount(names, minlength=size)
    only = np.flatnonzero((there > 0) & (there >= 0.9 * everywhere))
    spent = np.bincount(names[inside], weights=operators.self_ns[inside], minlength=size)
    best = only[np.argsort(-spent[only])][:3]
    fetches = rows_named(trace, trace.events.rows(Category.CPU_OP, Category.ANNOTATION), is_fetch)
    at = np.searchsorted(window.step_starts, trace.events.ts_ns[fetches], side="right") - 1
    loading = float(trace.events.dur_ns[fetches[np.isin(at, long)]].sum())
    return [trace.strings[name] for name in best.tolist()], loading


def _growth(case: Case) -> Iterator[Claim]:
    """More operators, or more launches, in each step than in the one before."""
    window, stages = case.stages.window, case.stages
    for what, rows in (("operators", stages.operators.rows), ("launches", stages.launches.calls)):
        held = _by_step(case, rows).sum(axis=0)
        if _grows(held):
            times, threads, kept = _growing(case)
            us = stages.us(intervals.total(times))
            yield case.claim(
                "growth",
                "each step does a little more than the one before",
                nodes=case.with_launched(case.nodes_inside(times, threads)),
                kept=kept,
                cost_us=(1 - kept) * us,
                evidence=f"{count(float(held[0]))} {what} in the first of {window.count} recorded steps, "
                f"{count(float(held[-1]))} in the last.",
                advice="Something grows: a list of losses that keep their graphs (append loss.item() or "
                "loss.detach()), hooks registered in the loop, a graph carried from step to step.",
            )
            return


def _by_step(case: Case, rows: Ints) -> Ints:
    """How many of these rows start in each step, (names of the trace, s)."""
    events, window = case.trace.events, case.stages.window
    rows = rows[window.holds(events.ts_ns[rows])]
    step = np.searchsorted(window.step_starts, events.ts_ns[rows], side="right") - 1
    size = len(case.trace.strings)
    return np.bincount(events.name[rows] * window.count + step, minlength=size * window.count).reshape(size, -1)


def _growing(case: Case) -> tuple[Intervals, list[int], float]:
    """(when the outermost operators run of which each step has more, their threads, the part that was there before).

    That part is read off a line through their numbers, where it meets the training's first step, or where steps are
    not numbered, the first that was recorded.
    """
    trace, window, operators = case.trace, case.stages.window, case.stages.operators
    outer = operators.rows[operators.parent[operators.rows] < 0]
    held = _by_step(case, outer)
    names = [name for name in np.flatnonzero(held[:, -1] > held[:, 0]).tolist() if _grows(held[name])]
    first = np.array(_numbers(case), dtype=np.float64)
    grown = held[names].sum(axis=0)
    slope, start = np.polyfit(first, grown, 1) if names else (0.0, 0.0)
    rows = outer[np.isin(trace.events.name[outer], names)]
    rows = rows[window.holds(trace.events.ts_ns[rows])]
    kept = min(1.0, max(0.0, float(start) / max(1.0, float(grown.mean())))) if slope > 0 else 1.0
    return window.cover(trace, rows), np.unique(trace.events.thread[rows]).tolist(), kept


def _numbers(case: Case) -> list[int]:
    """The numbers of the steps, from 0 where nothing says them."""
    trace, window = case.trace, case.stages.window
    rows = rows_named(trace, trace.events.rows(Category.ANNOTATION), lambda name: step_number(name) is not None)
    told = dict(zip(trace.events.ts_ns[rows].tolist(), (step_number(trace.name_of(row)) for row in rows), strict=True))
    numbers = [told.get(start) for start in window.step_starts.tolist()]
    return [at if None in numbers else number or 0 for at, number in enumerate(numbers)]


def _grows(held: Ints) -> bool:
    more: Bools = np.diff(held) >= 0
    rise = int(held[-1] - held[0])
    return bool(more.mean() >= STEADILY and rise >= max(len(held) // 2, GROWS * held[0]))
