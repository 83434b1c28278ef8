"""How sure a difference between two groups of runs is: a bootstrap interval that stays honest with few runs.

The run is the unit. Steps inside one run share a machine state and follow each other, so they are not independent,
and resampling them gives intervals far too narrow.

The plain percentile bootstrap is too narrow too when runs are few: with three runs a side its "95 %" interval holds
the truth in about 80 % of cases. Two known corrections, both standard, are applied:

1. Residuals are scaled by ``sqrt(n / (n - 1))`` before they are resampled, because the spread of a resample is that
   of the n values themselves, not of the population they estimate (Davison and Hinkley, *Bootstrap Methods and their
   Application*, 1997, section 2.3).
2. The interval's two arms are stretched by ``t / 1.96``, where t is Student's 97.5 % quantile at Welch's degrees of
   freedom, because the spread itself is an estimate (Hesterberg, "What Teachers Should Know About the Bootstrap",
   *The American Statistician* 69, 2015, section 4.3: "narrowness bias").

``tests/analysis/test_compare_bootstrap.py`` measures the coverage of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
FEWEST_RUNS = 2  # a side with one run says nothing of how runs differ
RESAMPLES = 10_000
SEED = 20260
METHOD = (
    "bootstrap of the difference of means, the run as the unit; residuals scaled by sqrt(n/(n-1)), "
    "arms stretched by t/1.96 at Welch's degrees of freedom; 10000 resamples, fixed seed"
)

NORMAL_QUANTILE = 1.959964  # 97.5 %
# 97.5 % quantiles of Student's t at 1, 2, 3 … 30 degrees of freedom
T_QUANTILES = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """``mean(candidate) - mean(baseline)`` and ``mean(candidate) / mean(baseline)``, each with its 95 % interval."""

    difference: float
    interval: tuple[float, float]
    ratio: float | None  # None: a mean is not positive
    ratio_interval: tuple[float, float] | None


def t_quantile(degrees_of_freedom: float) -> float:
    """Student's 97.5 % quantile, degrees of freedom rounded down (so never too small); at least 1."""
    whole = math.floor(min(degrees_of_freedom, len(T_QUANTILES)))
    return T_QUANTILES[max(1, whole) - 1]


def welch_degrees_of_freedom(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Welch and Satterthwaite's degrees of freedom of a difference of two means; infinite where nothing varies."""
    shares = [float(np.var(side, ddof=1)) / len(side) for side in (baseline, candidate)]
    below = sum(share**2 / (len(side) - 1) for share, side in zip(shares, (baseline, candidate), strict=True))
    return sum(shares) ** 2 / below if below > 0 else math.inf


def bootstrap_difference(baseline: Sequence[float], candidate: Sequence[float]) -> Difference:
    """The difference between two groups of runs, one value a run, at least two a side.

    Raises:
        ValueError: a side has fewer than two runs; one run says nothing of how runs differ.

    """
    if min(len(baseline), len(candidate)) < FEWEST_RUNS:
        raise ValueError("an interval needs at least two runs on each side")
    random = np.random.default_rng(SEED)
    before, after = _resampled_means(baseline, random), _resampled_means(candidate, random)
    stretch = t_quantile(welch_degrees_of_freedom(baseline, candidate)) / NORMAL_QUANTILE
    mean_before, mean_after = float(np.mean(baseline)), float(np.mean(candidate))
    difference = mean_after - mean_before
    interval = _stretched(after - before, difference, stretch)
    if min(mean_before, mean_after, float(before.min()), float(after.min())) <= 0:
        return Difference(difference, interval, None, None)
    centre = math.log(mean_after / mean_before)  # on a log scale: a ratio's errors multiply
    low, high = _stretched(np.log(after / before), centre, stretch)
    return Difference(difference, interval, mean_after / mean_before, (math.exp(low), math.exp(high)))


def _resampled_means(runs: Sequence[float], random: np.random.Generator) -> Floats:
    """Means of ``RESAMPLES`` resamples of the runs, their residuals scaled by ``sqrt(n / (n - 1))``."""
    values = np.asarray(runs, dtype=np.float64)
    count, mean = len(values), values.mean()
    residuals = (values - mean) * math.sqrt(count / (count - 1))
    picks = random.integers(0, count, size=(RESAMPLES, count))
    means: Floats = mean + residuals[picks].mean(axis=1)
    return means


def _stretched(resampled: Floats, centre: float, stretch: float) -> tuple[float, float]:
    """The percentile interval of ``resampled`` with its arms around ``centre`` stretched."""
    tail = (1 - LEVEL) / 2
    low, high = (float(q) for q in np.quantile(resampled, [tail, 1 - tail]))
    return centre + stretch * (low - centre), centre + stretch * (high - centre)
