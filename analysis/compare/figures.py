"""Every figure of two sides as a ``Change``: step times, per-step figures, operators, kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from stallscope.analysis.compare.bootstrap import FEWEST_RUNS, bootstrap_difference
from stallscope.analysis.compare.runs import Run, mean, profiled_step, unprofiled_mean
from stallscope.analysis.contract import compare as contract
from stallscope.analysis.contract.compare import Change
from stallscope.analysis.contract.rows import KernelRow, OperatorRow
from stallscope.analysis.contract.summary import Summary

Pick = Callable[[Summary], float | None]
Row = OperatorRow | KernelRow

COUNTS = frozenset({"kernel_launches", "graph_launches", "kernels", "memcpys", "memsets", "sync_calls"})


def change_of(before: Sequence[float | None], after: Sequence[float | None], *, count: bool = False) -> Change:
    """One figure, one value a run and side: means, difference, and the difference in percent of the baseline."""
    old, new = mean(before), mean(after)
    if old is None or new is None:
        return Change(baseline=old, candidate=new, difference=None, percent=None)
    percent = 100 * (new - old) / old if old else None
    exact = count and len(set(before)) == 1 and len(set(after)) == 1
    return Change(baseline=old, candidate=new, difference=new - old, percent=percent, exact=exact)


class Sides:
    """The runs of both sides, asked for one figure after another."""

    def __init__(self, baseline: Sequence[Run], candidate: Sequence[Run]) -> None:
        self.baseline = baseline
        self.candidate = candidate

    def change(self, pick: Pick, *, count: bool = False) -> Change:
        """The figure that ``pick`` takes from a summary."""
        before, after = ([run.value(pick) for run in side] for side in (self.baseline, self.candidate))
        return change_of(before, after, count=count)

    def changes(self, part: str, names: Sequence[str]) -> dict[str, Any]:
        """The figures called ``names`` in the summary's ``part``, as keyword arguments."""
        return {name: self.change(attrgetter(f"{part}.{name}"), count=name in COUNTS) for name in names}


def steps_change(sides: Sides) -> contract.StepsChange:
    """Step times, unprofiled and profiled. A side without steps has none."""
    wall = {name: sides.change(_where_steps(name)) for name in contract.WallChange.__struct_fields__}
    return contract.StepsChange(
        step_us=sides.change(profiled_step),
        total_us=sides.change(lambda s: s.steps.window_us / s.steps.count if s.steps.count else None),
        wall_us=contract.WallChange(**wall),
        unprofiled_us=sides.change(unprofiled_mean),
        inflation=sides.change(lambda s: s.steps.inflation),
    )


def _where_steps(name: str) -> Pick:
    """A figure of the profiled step times, None where there are no steps."""
    pick = attrgetter(f"steps.wall_us.{name}")
    return lambda summary: float(pick(summary)) if summary.steps.count else None


def per_step_change(sides: Sides) -> contract.PerStepChange:
    """``per_step``, figure by figure."""
    names = [name for name in contract.PerStepChange.__struct_fields__ if name != "queue_delay_us"]
    delay = contract.QueueDelayChange(
        p50=sides.change(lambda s: s.per_step.queue_delay_us.p50 if s.per_step.queue_delay_us else None),
        p90=sides.change(lambda s: s.per_step.queue_delay_us.p90 if s.per_step.queue_delay_us else None),
    )
    return contract.PerStepChange(queue_delay_us=delay, **sides.changes("per_step", names))


def breakdown_change(sides: Sides) -> contract.BreakdownChange:
    """``breakdown_us``, figure by figure, each with its interval where runs were repeated."""
    names = contract.BreakdownChange.__struct_fields__
    return contract.BreakdownChange(**{name: _sure(sides, attrgetter(f"breakdown_us.{name}")) for name in names})


def _sure(sides: Sides, pick: Pick) -> Change:
    """The figure's change with its 95 % interval: None where a side has one run, or a run does not know the figure."""
    change = sides.change(pick)
    values = [[run.value(pick) for run in side] for side in (sides.baseline, sides.candidate)]
    known = [[value for value in side if value is not None] for side in values]
    if change.difference is None or min(map(len, known)) < FEWEST_RUNS:
        return change
    low, high = bootstrap_difference(*known).interval
    return msgspec.structs.replace(change, interval=contract.Interval(low=low, high=high))


def operator_changes(sides: Sides) -> list[contract.OperatorChange]:
    """All operators of both sides, the one whose host self time or device time changed most first."""
    table = _Table(sides, lambda summary: summary.operators)
    rows = [
        contract.OperatorChange(
            name=name,
            status=table.status(name),
            calls_per_step=table.change(name, "calls_per_step", count=True),
            host_us_per_step=table.change(name, "host_us_per_step"),
            host_self_us_per_step=table.change(name, "host_self_us_per_step"),
            device_us_per_step=table.change(name, "device_us_per_step"),
        )
        for name in table.names
    ]
    return sorted(rows, key=lambda row: (-_size(row.host_self_us_per_step, row.device_us_per_step), row.name))


def kernel_changes(sides: Sides) -> list[contract.KernelChange] | None:
    """All kernels of both sides, largest change first; None where a side's kernels are unknown."""
    runs = (*sides.baseline, *sides.candidate)
    if any(rank.summary.kernels is None for run in runs for rank in run.ranks):
        return None
    table = _Table(sides, lambda summary: summary.kernels or [])
    rows = [
        contract.KernelChange(
            name=name,
            status=table.status(name),
            count_per_step=table.change(name, "count_per_step", count=True),
            us_per_step=table.change(name, "us_per_step"),
        )
        for name in table.names
    ]
    return sorted(rows, key=lambda row: (-_size(row.us_per_step), row.name))


def _size(*changes: Change) -> float:
    return max(abs(change.difference or 0.0) for change in changes)


class _Table:
    """Named rows (operators or kernels) of every run. A name absent from a table never ran there: 0."""

    def __init__(self, sides: Sides, rows: Callable[[Summary], Sequence[Row]]) -> None:
        before, after = (
            [[{row.name: row for row in rows(rank.summary)} for rank in run.ranks] for run in side]
            for side in (sides.baseline, sides.candidate)
        )
        self._before, self._after = before, after
        self.names = sorted({name for run in (*before, *after) for rank in run for name in rank})
        self._known = {
            field: tuple(_some_known(side, field) for side in (before, after)) for field in ("device_us_per_step",)
        }

    def status(self, name: str) -> str:
        """Whether the name ran on both sides, or appeared or vanished with the candidate."""
        before, after = (any(name in rank for run in side for rank in run) for side in (self._before, self._after))
        if before and after:
            return "both"
        return "vanished" if before else "appeared"

    def change(self, name: str, field: str, *, count: bool = False) -> Change:
        """One column of one row."""
        knows = self._known.get(field, (True, True))
        before, after = (
            [mean(_cell(rank, name, field, known=known) for rank in run) for run in side]
            for side, known in zip((self._before, self._after), knows, strict=True)
        )
        return change_of(before, after, count=count)


def _some_known(side: Sequence[Sequence[dict[str, Row]]], field: str) -> bool:
    """Whether any row of a side knows ``field``: on a CPU run none has device time, so absence is not 0 either."""
    return any(getattr(row, field, None) is not None for run in side for rank in run for row in rank.values())


def _cell(rows: dict[str, Row], name: str, field: str, *, known: bool) -> float | None:
    if name not in rows:
        return 0.0 if known else None
    value: float | None = getattr(rows[name], field)
    return value
