"""Steps that take longer at a regular distance: a loss read every 100 steps, evaluation, checkpoints.

Found in the host times of the unprofiled steps, the only window that is long enough. A slow drift is taken off (lower
quartile of blocks of 64 steps, joined by lines). What is usual is the shortest interval that holds two fifths of the
rest (as Rousseeuw's shorth holds half; so every second step may be long): its middle, and the spread that its width
stands for. A step is *long* when it exceeds that by 4 standard deviations and by 3 %.

Then every distance up to a third of the window, at every offset, is tried: the steps there must be long in four cases
of five and at least three times, and so many long steps must be too many for chance. Were the same long steps
shuffled, the number of them at one place would be hypergeometric. The least probable place wins, if fewer places as
improbable than ``CHANCE`` are expected among all that were tried, or than ``NOISY`` where steps are long elsewhere
too. Few repeats in a short series thus are no period: of 20 steps 4 come at equal distances once in 200 shuffles. Its
excess is taken off and the search begins anew, so that evaluation every 1000 steps is found beside a print every 100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from stallscope.traces.model.trace import Bools, Floats, Ints

BLOCK: Final = 64  # steps
SIGMAS: Final = 4.0
WORTH: Final = 0.03  # of the usual step
PRESENT: Final = 0.8  # of the steps at the distance
LEAST: Final = 3  # long steps
CHANCE: Final = 3e-4  # with NOISY measured: on noise of nine kinds one alarm in 10 000 series, or fewer
NOISY: Final = 3e-5
NEARLY: Final = 1e-9  # up to which two logarithms are the same
FEW: Final = 60  # long steps, up to which their distances are fewer than all distances
MOST: Final = 3  # kinds of periodic work
USUAL: Final = 0.4  # of the steps, at least
NORMAL: Final = 1.049  # the middle two fifths of a normal distribution are so many standard deviations wide
MOSTLY: Final = 0.6  # of the steps: where more are long, none is usual


@dataclass(frozen=True, slots=True)
class Periodic:
    """One kind of periodic work."""

    period: int  # steps
    first: int  # position of the first, from 0
    occurrences: int
    extra_ns: int  # median excess over the usual step
    share: float  # of the time of all steps


def find_periodic(samples_ns: Sequence[int]) -> list[Periodic]:
    """What happens at a regular distance in these steps, most time first."""
    samples = np.array(samples_ns, dtype=np.float64)
    if len(samples) < 3 * LEAST or not samples.sum() > 0:
        return []
    rest, usual = _without_drift(samples)
    middle, spread = _shorth(rest)
    rest = rest - middle
    limit = max(SIGMAS * spread, WORTH * usual)
    found: list[Periodic] = []
    while len(found) < MOST:
        comb = _best_comb(rest > limit)
        if comb is None:
            break
        period, first = comb
        places = np.arange(first, len(rest), period)
        extra = float(np.median(rest[places]))
        share = float(np.maximum(rest[places], 0.0).sum()) / float(samples.sum())
        found.append(Periodic(period, first, len(places), round(extra), share))
        rest[places] -= extra
    return sorted(found, key=lambda each: (-each.share, each.period))


def _without_drift(samples: Floats) -> tuple[Floats, float]:
    """(the samples less what changes slowly, a usual step)."""
    usual = float(np.median(samples))
    blocks = len(samples) // BLOCK
    if blocks < 2:  # noqa: PLR2004 - nothing to draw a line between
        return samples - usual, usual
    edges = np.linspace(0, len(samples), blocks + 1).astype(np.int64)
    quartiles = [float(np.percentile(samples[a:b], 25)) for a, b in pairwise(edges.tolist())]
    centres = (edges[:-1] + edges[1:]) / 2
    return samples - np.interp(np.arange(len(samples)), centres, quartiles), usual


def _shorth(values: Floats) -> tuple[float, float]:
    """(middle of the shortest interval that holds two fifths, standard deviation that its width stands for)."""
    ordered = np.sort(values)
    held = math.ceil(USUAL * len(ordered))
    widths = ordered[held - 1 :] - ordered[: len(ordered) - held + 1]
    at = int(np.argmin(widths))
    return float(ordered[at] + ordered[at + held - 1]) / 2, float(widths[at]) / NORMAL


def _best_comb(long: Bools) -> tuple[int, int] | None:
    """(period, first) of the regular steps that are least likely to be long by chance; None: none are regular."""
    places = np.flatnonzero(long)
    size = len(long)
    if len(places) < LEAST or len(places) > MOSTLY * size:
        return None
    best: tuple[float, int, int] | None = None
    for period in _periods(places, size):
        for first, hits, count in _candidates(places, size, period):
            chance = _log_chance(hits, count, len(places), size)
            if best is None or chance < best[0]:
                best = (chance, period, first)
    if best is None:
        return None
    chance, period, first = best
    elsewhere = (places % period != first).any()
    return (period, first) if _expected(chance, len(places), size) <= (NOISY if elsewhere else CHANCE) else None


def _periods(places: Ints, size: int) -> list[int]:
    """The distances to try: where four of five steps at a distance are long, two neighbours are, so long steps tell."""
    if len(places) > FEW:
        return list(range(2, size // LEAST + 1))
    apart = np.unique(places[:, None] - places[None, :])
    return [int(each) for each in apart[(apart >= 2) & (apart <= size // LEAST)].tolist()]  # noqa: PLR2004


def _candidates(places: Ints, size: int, period: int) -> list[tuple[int, int, int]]:
    """(offset, long steps, steps) of the offsets of a period at which nearly all steps are long."""
    hits = np.bincount(places % period, minlength=period)
    counts = (size - 1 - np.arange(period)) // period + 1
    chosen = np.flatnonzero((hits >= LEAST) & (hits >= PRESENT * counts))
    return [(int(i), int(hits[i]), int(counts[i])) for i in chosen.tolist()]


def _expected(chance: float, long: int, size: int) -> float:
    """How many places, of all that are tried, would be as improbable as ``chance`` (logarithm) in shuffled steps."""
    periods = np.arange(2, size // LEAST + 1)
    more, fewer = size % periods, periods - size % periods  # offsets with one step more than the others, the others
    number = np.bincount(np.concatenate([size // periods + 1, size // periods]), weights=np.concatenate([more, fewer]))
    expected = 0.0
    for count in np.flatnonzero(number).tolist():
        for hits in range(max(LEAST, math.ceil(PRESENT * count)), min(count, long) + 1):
            one = _log_chance(hits, count, long, size)
            if one <= chance + NEARLY:
                expected += float(number[count]) * math.exp(one)
                break
    return expected


def _log_chance(hits: int, count: int, long: int, size: int) -> float:
    """Logarithm of the probability of ``hits`` or more long steps among ``count``, where ``long`` of ``size`` are."""
    logs = [
        _log_choose(count, k) + _log_choose(size - count, long - k) - _log_choose(size, long)
        for k in range(max(hits, long + count - size), min(count, long) + 1)
    ]
    most = max(logs)
    return most + math.log(sum(math.exp(each - most) for each in logs))


def _log_choose(of: int, chosen: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)
