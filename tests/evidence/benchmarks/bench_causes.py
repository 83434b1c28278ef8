"""Answers beside the truth of simulated traces, and the time that an answer takes of the reading.

As many held-out traces as ``BENCH_CAUSES`` says (default 111, three of each fault) and a fifth as many healthy ones;
``python -m tests.evidence.simulator.causes --split held-out --count 500 --healthy 100 --write`` is the whole, whose
counts stand in docs/answers.md.
"""

from __future__ import annotations

import os

from tests.evidence.benchmarks.measure import Row
from tests.evidence.simulator.causes import names, opposite, rate, scores
from tests.evidence.simulator.tally import HEALTHY, tally

COUNT = int(os.environ.get("BENCH_CAUSES", "111"))


def run() -> list[Row]:
    """Score the traces; shares first, then the faults that are not always found."""
    scored = scores("held-out", COUNT, COUNT // 5, processes=os.cpu_count() or 1)
    faulty = [one for one in scored if one.fault != HEALTHY]
    well = [one for one in scored if one.fault == HEALTHY]
    rows = [
        Row("first cause right, of faults (>= 90 %)", rate(faulty, lambda one: one.first_right)),
        Row("verdict right, of faults (>= 95 %)", rate(faulty, lambda one: one.verdict_right)),
        Row("false cause first, of healthy (<= 3 %)", rate(well, lambda one: opposite(one.first_right))),
    ]
    missed = [each for each in (tally(name, scored) for name in names(scored)) if each.first_right < each.traces]
    return rows + [Row(f"{each.fault}: said first", str(each.said_first)) for each in missed]
