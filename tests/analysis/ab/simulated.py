"""Pairs of noisy runs whose true change is known: drift, outliers, two speeds of the machine."""

from __future__ import annotations

import math

import numpy as np

from stallscope.analysis.ab.statistics import ALPHA, decide, interval, looks, spent

KINDS = ("plain", "drift", "outliers", "two speeds")


def blocks(random: np.random.Generator, change: float, count: int, kind: str, spread: float) -> list[float]:
    """D = ln(y_B / y_A) of ``count`` blocks; the machine is the same for both runs of a block but for the noise."""
    noise = random.normal(0, spread, (count, 2))
    if kind == "drift":
        noise += np.linspace(0, 10 * spread, count)[:, None] + np.array([0, spread / 10])
    if kind == "outliers":
        noise += (random.random((count, 2)) < 0.1) * random.exponential(6 * spread, (count, 2))
    if kind == "two speeds":
        noise += (random.random((count, 2)) < 0.5) * 4 * spread
    order = np.where(np.arange(count) % 2, 1, -1) * random.choice([-1, 1])
    drift = spread / 20 * order  # the second run of a block is a little slower: both orders take turns
    return (math.log1p(change) + noise[:, 1] - noise[:, 0] + drift).tolist()


def covered(random: np.random.Generator, count: int, kind: str) -> bool:
    """Whether an interval of 95 % holds the truth."""
    change = float(random.normal(0, 0.03))
    found = interval(blocks(random, change, count, kind, float(random.uniform(0.002, 0.05))))
    return found is not None and found.low <= change <= found.high


def decided(random: np.random.Generator, change: float, kind: str, spread: float, most: int, least: float) -> str:
    """The answer of ``--rounds auto``: at each look as it comes."""
    d = blocks(random, change, most, kind, spread)
    for at in looks(most):
        answer = decide(interval(d[:at], spent(at, most)), least)
        if answer != "cannot tell":
            return answer
    return "cannot tell"


def is_false(answer: str, change: float, least: float) -> bool:
    """Whether an answer is wrong: the wrong direction, a change where there is none, or none where there is one."""
    if answer == "same":
        return abs(change) > least
    return (answer == "faster" and change >= 0) or (answer == "slower" and change <= 0)


__all__ = ["ALPHA", "KINDS", "blocks", "covered", "decided", "is_false"]
