"""``docs/answers.md``: how often the answer is right, made of what is kept of the scored traces.

python -m tests.evidence.simulator.page [--write]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from tests import ROOT
from tests.evidence.real.answers import Judged, judged
from tests.evidence.simulator.tally import Tallies, Tally, load

PAGE = ROOT / "docs" / "answers.md"

HEAD = """# How often the answer is right

Two kinds of evidence, kept apart. *Simulated* traces are many and their truth is known, but they hold only what the
simulator can draw. *Real* traces are few, and what is true of them is one reader's judgement.

`python -m tests.evidence.simulator.page --write` makes this page again.
"""

SIMULATED = """## Simulated traces

Each trace is a random network on a random machine with one fault that costs 15 to 60 % of the step, or with none. The
faults were written from the catalogue of causes and kept as they were while the rules that find them were made; these
traces are of seeds that no rule was tried on. A verdict counts as right if it follows from steps in which one kind of
work costs nothing; where two limits lie within 3 % of each other, both are right.
"""

REAL = """## Real traces

Public traces of many kinds of GPU, judged one by one from their figures. *Agree*: what a person who knows the field
says of the answer. Nothing here was recorded by this project: none of it shows that a change brought what was
forecast.
"""


def page(found: Tallies, real: list[Judged]) -> str:
    """The whole page."""
    return "\n".join([HEAD, SIMULATED, *simulated(found), "", REAL, *of_real(real), ""])


def simulated(found: Tallies) -> list[str]:
    """Shares of all, then the confusion matrix."""
    well = found.healthy
    wrong = sum(row.traces - row.first_right for row in well)
    lines = [
        "| of simulated traces | share | number |",
        "|---|---:|---:|",
        shared("with a fault: the first cause is the fault", found.faulty, "first_right", "traces"),
        shared("with a fault: the verdict is true", found.faulty, "verdict_right", "judged"),
        shared("healthy: the verdict is true", well, "verdict_right", "judged"),
        f"| healthy: a cause is named first that is none | {of(wrong, sum(row.traces for row in well))} |",
        shared("any: a cause is named, at any place, that cannot be", found.rows, "impossible", "traces"),
        "",
        f"`{found.command}`",
        "",
        "| fault | traces | first cause right | verdict right | said first | wrong verdicts |",
        "|---|---:|---:|---:|---|---|",
    ]
    return [*lines, *map(row_of, found.rows)]


def shared(what: str, rows: Iterable[Tally], count: str, among: str) -> str:
    """One line of the first table."""
    rows = list(rows)
    return f"| {what} | {of(sum(getattr(row, count) for row in rows), sum(getattr(row, among) for row in rows))} |"


def of(count: int, among: int) -> str:
    """A share and its counts, two cells."""
    return f"{100 * count / among:.1f} % | {count} of {among}" if among else "- | 0"


def row_of(row: Tally) -> str:
    """One fault."""
    verdict = f"{row.verdict_right} of {row.judged}" if row.judged else "-"
    cells = [f"`{row.fault}`", str(row.traces), str(row.first_right), verdict, told(row.said_first)]
    return f"| {' | '.join([*cells, told(row.wrong_verdicts)])} |"


def told(counts: dict[str, int]) -> str:
    """What was said, how often."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def of_real(real: list[Judged]) -> list[str]:
    """The table of real traces, with how many are agreed with."""
    agreed = sum(one.agree == "yes" for one in real)
    rows = [f"| {one.file} | {one.verdict} | `{one.cause or '-'}` | {one.agree}: {one.why} |" for one in real]
    return [
        f"{agreed} of {len(real)} are agreed with.",
        "",
        "| trace | verdict | first cause | agree |",
        "|---|---|---|---|",
        *rows,
    ]


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.simulator.page", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/answers.md")
    text = page(load("held-out"), judged())
    if parser.parse_args().write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")  # noqa: T201 - this is a command


if __name__ == "__main__":
    main()
