"""How often `ab` is right, on 1 000 made-up pairs of noisy runs: drift, outliers, a machine of two speeds.

The change and the noise are drawn; coverage is that of the 95 % interval at 5 and 20 rounds, decisions are those of
``--rounds auto`` with a smallest change of 1 %.
"""

from __future__ import annotations

import numpy as np

from tests.analysis.ab.simulated import KINDS, covered, decided, is_false
from tests.evidence.benchmarks.measure import Row

PAIRS = 1000


def run() -> list[Row]:
    """Coverage, false decisions, and what is found of changes that matter and of one that does not."""
    random = np.random.default_rng(2026)
    rows = [
        Row(
            f"coverage at {count} rounds (>= 93 %)",
            share(sum(covered(random, count, KINDS[n % len(KINDS)]) for n in range(PAIRS))),
        )
        for count in (5, 20)
    ]
    false = 0
    for number in range(PAIRS):
        change = float(random.choice([0.0, 0.0, 0.002, 0.011, -0.03, 0.05]))
        answer = decided(random, change, KINDS[number % len(KINDS)], float(random.uniform(0.003, 0.03)), 20, 0.01)
        false += is_false(answer, change, 0.01)
    rows.append(Row("false decisions under auto (<= 5 %)", share(false)))
    for change, spread in ((0.03, 0.02), (0.002, 0.02)):
        answers = [decided(random, change, KINDS[n % len(KINDS)], spread, 40, 0.01) for n in range(PAIRS // 5)]
        told = ", ".join(f"{name} {answers.count(name)}" for name in sorted(set(answers)))
        rows.append(Row(f"{change:+.1%} at a noise of {spread:.0%} a run, 40 rounds at most", told))
    return rows


def share(count: int) -> str:
    """Of all pairs."""
    return f"{100 * count / PAIRS:.1f} %"
