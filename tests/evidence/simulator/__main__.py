"""Forecast every pair and print the errors.

    python -m tests.evidence.simulator [--split development|held-out] [--pairs 240] [--only FIX] …

``--json FILE`` writes every pair; ``--write`` keeps the table in ``tests/evidence/simulator/results/``.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.evidence.simulator.evaluate import Scored, as_json, score, table
from tests.evidence.simulator.fixes import FIXES
from tests.evidence.simulator.pairs import Pair, pairs

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Score the pairs asked for."""
    asked = arguments()
    chosen = [one for one in pairs(asked.split, asked.pairs) if asked.only in (None, one.fix)]
    scored = scores(chosen, asked.processes)
    text = table(scored, one_by_one=asked.split == "development")
    print(text, end="")  # noqa: T201 - this is a command
    if asked.json:
        asked.json.write_text(json.dumps(as_json(scored), indent=1), encoding="utf-8")
    if asked.write:
        RESULTS.mkdir(exist_ok=True)
        head = f"python -m tests.evidence.simulator --split {asked.split} --pairs {asked.pairs} --write\n\n"
        (RESULTS / f"{asked.split}.txt").write_text(head + text, encoding="utf-8")


def scores(chosen: list[Pair], processes: int) -> list[Scored]:
    """Score ``chosen`` in their order."""
    if processes == 1:
        return [score(one) for one in chosen]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(score, chosen, chunksize=4))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.simulator", description="forecasts beside simulated truth"
    )
    parser.add_argument("--split", choices=("development", "held-out"), default="development")
    parser.add_argument("--pairs", type=int, default=240)
    parser.add_argument("--only", choices=[fix.name for fix in FIXES])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write every pair to this file")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
