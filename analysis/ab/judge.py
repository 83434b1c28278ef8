"""The runs of all variants → what is said of each against the first."""

from __future__ import annotations

import math
import statistics as stats
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stallscope.analysis.ab.statistics import ALPHA, Answer, Interval, decide, interval, more_blocks
from stallscope.analysis.contract.ab import Ab, AbArm, AbComparison, AbCount, AbForecast, AbRun
from stallscope.analysis.units import count, microseconds, percent

FIGURES = {
    "launches": "kernel and graph launches",
    "waits": "calls that wait",
    "reads": "reads of a value (.item() and the like)",
    "pageable_copies": "copies from pageable memory",
    "allocations": "allocations",
    "graph_captures": "graph captures",
    "operators": "operators",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    labels: tuple[str, ...]
    commands: tuple[str, ...]
    most: int  # blocks
    least: float  # smallest change that matters
    seed: int
    noise: bool = False


@dataclass(slots=True)
class Seen:
    """What is known by now. ``counts``: per step, by arm; ``results``: by arm, what the run gave, where asked for."""

    runs: list[AbRun] = field(default_factory=list)
    counts: dict[int, Mapping[str, float]] = field(default_factory=dict)
    forecasts: dict[int, list[AbForecast]] = field(default_factory=dict)
    equal_results: dict[int, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def differences(runs: Sequence[AbRun], arm: int, *, without_slowed: bool = False) -> list[float]:
    """D = ln(y_arm / y_first) of each complete block, in order."""
    by_block: dict[int, dict[int, AbRun]] = {}
    for run in runs:
        by_block.setdefault(run.block, {})[run.arm] = run
    pairs = [(each[0], each[arm]) for _, each in sorted(by_block.items()) if 0 in each and arm in each]
    return [
        math.log(after.step_us / before.step_us)
        for before, after in pairs
        if not (without_slowed and (before.slowed_by or after.slowed_by))
    ]


def judged(plan: Plan, seen: Seen, stopped: str, alpha: float = ALPHA) -> Ab:
    """All that can be said; ``alpha`` is the level of the look at which it ended."""
    arms = [
        AbArm(
            letter=chr(ord("A") + number), label=label, command=command,
            step_us=_median(seen.runs, number), runs=sum(run.arm == number for run in seen.runs),
        )
        for number, (label, command) in enumerate(zip(plan.labels, plan.commands, strict=True))
    ]  # fmt: skip
    comparisons = [_against_first(plan, seen, number, alpha, arms) for number in range(1, len(arms))]
    blocks = min((each.blocks for each in comparisons), default=0)
    return Ab(
        arms=arms,
        comparisons=comparisons,
        runs=seen.runs,
        blocks=blocks,
        most_blocks=plan.most,
        least_change=plan.least,
        seed=plan.seed,
        noise=plan.noise,
        stopped=stopped,
        notes=seen.notes,
    )


def _median(runs: Sequence[AbRun], arm: int) -> float | None:
    mine = [run.step_us for run in runs if run.arm == arm]
    return stats.median(mine) if mine else None


def _against_first(plan: Plan, seen: Seen, arm: int, alpha: float, arms: Sequence[AbArm]) -> AbComparison:
    d = differences(seen.runs, arm)
    found = interval(d, alpha)
    answer: str = decide(found, plan.least)
    equal = seen.equal_results.get(arm)
    if equal is False and answer == "faster":
        answer = "withheld"
    clear = differences(seen.runs, arm, without_slowed=True)
    counts = _changed(seen.counts.get(0), seen.counts.get(arm))
    more = more_blocks(d, plan.least) if answer == "cannot tell" else None
    slowed = len(d) - len(clear)
    return AbComparison(
        arm=arm,
        answer=answer,
        change=None if found is None else found.change,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        level=None if found is None else found.level,
        blocks=len(d),
        more_blocks=more,
        slowed_blocks=slowed,
        change_without_slowed=math.expm1(stats.fmean(clear)) if clear and slowed else None,
        counts=counts,
        counts_same=0 in seen.counts and arm in seen.counts and not counts,
        forecasts=seen.forecasts.get(arm, []),
        result="" if equal is None else "equal" if equal else "differs",
        text=_sentence(plan, found, answer, more, arms, arm),
    )


def _changed(before: Mapping[str, float] | None, after: Mapping[str, float] | None) -> list[AbCount]:
    if before is None or after is None:
        return []
    shared = [name for name in before if name in after and before[name] != after[name]]
    return [AbCount(name=name, before=before[name], after=after[name]) for name in shared]


def _sentence(
    plan: Plan, found: Interval | None, answer: Answer | str, more: int | None, arms: Sequence[AbArm], arm: int
) -> str:
    """The answer in a sentence, with its figures."""
    before, after = arms[0], arms[arm]
    if found is None:
        return "Cannot tell: it takes two rounds at least."
    between = f"between {signed(found.low)} and {signed(found.high)} at a level of {percent(found.level)}"
    steps = f"{microseconds(before.step_us)} → {microseconds(after.step_us)} a step (medians)"
    if answer == "same":
        return f"The same within {percent(plan.least)}: {signed(found.change)}, {between}; {steps}."
    if answer == "withheld":
        return f"{after.letter} takes {signed(found.change)}, but its result differs: it is not called faster. {steps}."
    if answer in ("faster", "slower"):
        return f"{after.letter} is {percent(abs(found.change))} {answer}: {between}; {steps}."
    again = "" if more is None else f": about {more} more round{'s' if more > 1 else ''} would tell"
    return f"Cannot tell{again}. The change is {signed(found.change)}, {between}; {steps}."


def signed(share: float) -> str:
    """A change with its sign: ``-2.9 %``."""
    return f"{100 * share:+.1f} %"


def count_words(each: AbCount) -> str:
    """One exact count: ``launches 1150 → 9 a step``."""
    return f"{FIGURES.get(each.name, each.name)} {count(each.before)} → {count(each.after)} a step"
