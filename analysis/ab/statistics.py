"""From the step times of blocks to an interval for the change, and from intervals to one of four answers.

A block holds one run of each variant, close in time, so that a slow drift of the machine falls on both. Of a block only
d = ln(y_B / y_A) counts, y the step of a run. The interval is Student's t over the blocks, from 15 blocks on the
studentized bootstrap (bootstrap-t; Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, section 12.5), which
takes no shape of the noise for granted.

Stopping early is paid for: the looks are fixed beforehand, and each spends a part of 5 % by Pocock's spending function
α·ln(1 + (e - 1)·t), t the share of the largest number of blocks (Lan and DeMets, "Discrete sequential boundaries for
clinical trials", *Biometrika* 70, 1983). Each look takes its part as its own level, so the union of all errors, those
of equivalence included, stays below 5 % whatever the correlation between looks.

Answers, and which comes first where two hold: *the same* (the interval lies within ± the smallest change that matters:
two one-sided tests), then *faster* or *slower* (it excludes 0, and the change is at least that large), else *cannot
tell*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np

ALPHA: Final = 0.05
FIRST_LOOK: Final = 4  # blocks
BOOTSTRAP_FROM: Final = 15  # blocks
RESAMPLES: Final = 4000
SEED: Final = 20261
GROWTH: Final = 1.4  # from one look to the next
MOST_MORE: Final = 10_000  # blocks that are foretold

Answer = Literal["faster", "slower", "same", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A change of the step, as ratio - 1: -0.1 is 10 % faster. ``level`` is that of the interval, 0 to 1."""

    change: float
    low: float
    high: float
    level: float
    blocks: int


def looks(most: int) -> tuple[int, ...]:
    """After how many blocks a decision is tried, the last at ``most``."""
    found, at = [], float(FIRST_LOOK)
    while at < most:
        found.append(math.ceil(at))
        at = max(at + 1, at * GROWTH)
    return (*found, most)


def spent(blocks: int, most: int) -> float:
    """The part of ``ALPHA`` that the look after ``blocks`` spends; 0 where there is no look then."""
    planned = looks(most)
    if blocks not in planned:
        return 0.0
    before = planned[planned.index(blocks) - 1] if blocks != planned[0] else 0
    return _spending(blocks / most) - _spending(before / most)


def _spending(share: float) -> float:
    return ALPHA * math.log(1 + (math.e - 1) * share)


def interval(differences: Sequence[float], alpha: float = ALPHA) -> Interval | None:
    """The interval at level 1 - ``alpha`` for the mean of d = ln(y_B / y_A) over blocks; None: fewer than two."""
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:  # noqa: PLR2004 - one block says nothing of how blocks differ
        return None
    mean, error = float(d.mean()), float(d.std(ddof=1)) / math.sqrt(len(d))
    if len(d) >= BOOTSTRAP_FROM and error > 0:
        low, high = _bootstrap_t(d, alpha)
    else:
        arm = t_quantile(1 - alpha / 2, len(d) - 1)
        low, high = arm, arm
    return Interval(
        math.expm1(mean), math.expm1(mean - low * error), math.expm1(mean + high * error), 1 - alpha, len(d)
    )


def _bootstrap_t(d: np.ndarray, alpha: float) -> tuple[float, float]:
    """The two arms in standard errors: quantiles of (mean* - mean) ÷ error*, the upper one below, the lower above.

    Never shorter than Student's: of a level far out in the tails the resamples tell too little.
    """
    random = np.random.default_rng(SEED)
    picks = random.integers(0, len(d), size=(RESAMPLES, len(d)))
    drawn = d[picks]
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(len(d))
    errors[errors == 0] = np.inf
    t = (drawn.mean(axis=1) - d.mean()) / errors
    upper, lower = np.quantile(t, [1 - alpha / 2, alpha / 2])
    least = t_quantile(1 - alpha / 2, len(d) - 1)
    return max(float(upper), least), max(-float(lower), least)


def t_quantile(p: float, degrees: int) -> float:
    """Student's quantile, by bisection of its distribution function."""
    if degrees > 200:  # noqa: PLR2004 - there it is the normal one to three digits
        return NormalDist().inv_cdf(p)
    low, high = 0.0, 1e8
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cdf(middle, degrees) < p else (low, middle)
    return (low + high) / 2


def _t_cdf(t: float, degrees: int) -> float:
    """P(T < t) for t >= 0: the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    theta = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(theta), math.sin(theta)
    if degrees % 2:
        total, term = 0.0, cosine
        for k in range(3, degrees + 1, 2):
            total += term
            term *= cosine**2 * (k - 1) / k
        inside = 2 / math.pi * (theta + sine * total)
    else:
        total, term = 0.0, 1.0
        for k in range(2, degrees + 1, 2):
            total += term
            term *= cosine**2 * (k - 1) / k
        inside = sine * total
    return 0.5 + inside / 2


def decide(found: Interval | None, least: float) -> Answer:
    """The answer; ``least``: the smallest change that matters, 0.01 for 1 %."""
    if found is None:
        return "cannot tell"
    if -least <= found.low and found.high <= least:
        return "same"
    if found.low > 0 and found.change >= least:
        return "slower"
    if found.high < 0 and found.change <= -least:
        return "faster"
    return "cannot tell"


def more_blocks(differences: Sequence[float], least: float) -> int | None:
    """About how many more blocks it takes to tell; None: more than anybody would run, or nothing is known yet."""
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:  # noqa: PLR2004
        return None
    mean, spread = abs(float(d.mean())), float(d.std(ddof=1))
    room = max(mean, least - mean) if mean < least else mean
    if room <= 0:
        return None
    arm = NormalDist().inv_cdf(1 - ALPHA / 4)
    needed = math.ceil((arm * spread / room) ** 2)
    return max(1, needed - len(d)) if needed < MOST_MORE else None


def run_in_turn(arms: int, block: int, random: np.random.Generator, before: Sequence[int] | None) -> list[int]:
    """The order of one block: of two variants AB or BA, the second of a pair of blocks the other way round."""
    if block % 2 and before is not None:
        return list(reversed(before))
    return [int(each) for each in random.permutation(arms)]
