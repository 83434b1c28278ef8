"""Which word a difference deserves: *less*, *more* or *cannot tell*, decided by repeated runs and nothing else.

The runs of a demo go in rounds, each variant once a round. So a comparison is made round by round, and what slows a
whole round down falls out: the mean of ``log(after / before)`` over the rounds, with Student's 95 % interval of a mean
of paired differences (Box, Hunter and Hunter, *Statistics for Experimenters*, 2005, section 3.2), turned back into a
ratio.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from stallscope.analysis.compare.bootstrap import t_quantile
from stallscope.analysis.units import microseconds

FEWEST = 2  # rounds; one says nothing of how runs differ
LARGEST = 9999  # percent; beyond that only its size matters


class Word(StrEnum):
    """The answers there are."""

    LESS = "less"
    MORE = "more"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure over the runs of a variant, in the order of the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float | None:
        """The middle; None where nothing was measured."""
        return statistics.median(self.values) if self.values else None

    def shown(self, form: Callable[[float | None], str] = microseconds) -> str:
        """``365 µs (361 … 370)``: the median, and the range where there are several runs."""
        if len(self.values) < FEWEST:
            return form(self.median)
        return f"{form(self.median)} ({form(min(self.values))} … {form(max(self.values))})"


@dataclass(frozen=True, slots=True)
class Judgement:
    """``after`` against ``before``: the word, the change as a share of ``before``, and its 95 % interval."""

    word: Word
    change: float | None  # -0.08: 8 % less
    interval: tuple[float, float] | None  # None: too few rounds

    @property
    def shown(self) -> str:
        """``-8.0 % (-9.1 … -6.8)``, or why there is no interval."""
        if self.change is None:
            return "-"
        if self.interval is None:
            return f"{signed(self.change)} % (one run)"
        low, high = (signed(bound) for bound in self.interval)
        return f"{signed(self.change)} % ({low} … {high})"

    def say(self, less: str, more: str, unknown: str) -> str:
        """The words for what was found."""
        return {Word.LESS: less, Word.MORE: more, Word.UNKNOWN: unknown}[self.word]


def signed(share: float) -> str:
    """A change in percent: ``-8.0``, ``+340``, ``>+9999``."""
    percent = 100 * share
    if percent > LARGEST:
        return f">+{LARGEST}"
    return f"{percent:+.1f}" if abs(percent) < 99.95 else f"{percent:+.0f}"  # noqa: PLR2004 - three digits


def judge(before: Sample, after: Sample) -> Judgement:
    """Compare two variants round by round; with one round, or an interval that holds 0, the word is *cannot tell*."""
    rounds = min(len(before.values), len(after.values))
    if not rounds or min(*before.values, *after.values) <= 0:
        return Judgement(Word.UNKNOWN, None, None)
    logs = [math.log(b / a) for a, b in zip(before.values, after.values, strict=False)]
    centre = statistics.fmean(logs)
    if rounds < FEWEST:
        return Judgement(Word.UNKNOWN, math.expm1(centre), None)
    arm = t_quantile(rounds - 1) * statistics.stdev(logs) / math.sqrt(rounds)
    low, high = math.expm1(max(centre - arm, -700)), math.expm1(min(centre + arm, 700))
    word = Word.LESS if high < 0 else Word.MORE if low > 0 else Word.UNKNOWN
    return Judgement(word, math.expm1(centre), (low, high))


def times(before: Sample, after: Sample) -> float | None:
    """How many times ``before`` is ``after``; None where one is missing."""
    return before.median / after.median if before.median and after.median else None


def least_squares(points: list[tuple[float, float]]) -> tuple[float, float]:
    """``(constant, slope)`` of the line closest to ``points`` in parts of their y; needs two different x, y above 0.

    Times vary in proportion to themselves: without the weights 1/y² the longest alone would place the line.
    """
    weights = [1 / y**2 for _, y in points]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    above = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points, strict=True))
    slope = above / sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    return mean_y - slope * mean_x, slope
