"""What is said of variants that were run in turn, as plain lines: the same for every format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stallscope.analysis.ab.judge import count_words, signed
from stallscope.analysis.contract.ab import Ab, AbComparison
from stallscope.analysis.units import microseconds, percent

STOPPED: Final = {
    "decided": "",
    "rounds": "All rounds were run.",
    "time": "The time was up.",
    "interrupted": "You stopped it; the answer is of the rounds until then.",
}


def arms(found: Ab) -> list[str]:
    """A line for each variant."""
    return [f"{arm.letter}  {arm.label}" for arm in found.arms]


def headline(found: Ab, one: AbComparison) -> str:
    """The answer about one variant."""
    if found.noise and one.change is not None and one.low is not None and one.high is not None:
        floor = max(abs(one.low), abs(one.high))
        return f"A against itself: {signed(one.change)}; changes below {percent(floor)} are this machine's noise here."
    return one.text


def facts(one: AbComparison) -> Iterator[str]:
    """Counts first, for they are exact; then forecasts, results, and what disturbed the runs."""
    if one.counts:
        yield f"Counted, exact: {'; '.join(map(count_words, one.counts))}."
    elif one.counts_same:
        yield "Counted, exact: launches, waits, reads and operators of a step are the same."
    for each in one.forecasts:
        yield (
            f"Forecast for {each.fix} on A: {microseconds(each.predicted_us)} "
            f"({microseconds(each.low_us)} to {microseconds(each.high_us)}); measured {microseconds(each.measured_us)}."
        )
    if one.result:
        yield f"Results {'are equal' if one.result == 'equal' else 'differ'}."
    if one.slowed_blocks:
        without = "" if one.change_without_slowed is None else f"; without them {signed(one.change_without_slowed)}"
        yield f"In {one.slowed_blocks} of {one.blocks} rounds a GPU was held back (heat or power){without}."


def how(found: Ab) -> str:
    """How it was found."""
    told = (
        f"{found.blocks} of at most {found.most_blocks} rounds, each variant once a round in random order (seed "
        f"{found.seed}), without the profiler. Smallest change that matters: {percent(found.least_change)}."
    )
    return f"{told} {STOPPED[found.stopped]}".rstrip()
