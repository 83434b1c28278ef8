"""Answers beside the truth: the first cause and the verdict of generated traces whose cause is known.

    python -m tests.evidence.simulator.causes [--split development|held-out] [--count 500] [--healthy 100] …

``--only NAME`` takes the traces of one fault, ``--write`` keeps the counts in ``tests/evidence/simulator/results/``.
Development traces may be looked at one by one; held-out ones are counted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from stallscope.api import summarize
from tests.evidence.simulator import tally as tallies
from tests.evidence.simulator.faults.case import FAULTS, Case, Split, case, healthy

NOTHING = "(none)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a summary says. ``causes`` None: it knows no causes yet."""

    verdict: str
    causes: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Scored:
    """One trace: what is true of it, what was said. A rate counts only what is not None."""

    name: str
    fault: str
    verdicts: tuple[str, ...] | None
    first: tuple[str, ...]
    never: tuple[str, ...]
    answer: Answer

    @property
    def verdict_right(self) -> bool | None:
        """Return whether the verdict is one of those that are true."""
        return None if self.verdicts is None else self.answer.verdict in self.verdicts

    @property
    def said(self) -> str:
        """Return the first cause that was named."""
        return (self.answer.causes or (NOTHING,))[0]

    @property
    def first_right(self) -> bool | None:
        """Return whether the first cause is a true one; in a healthy trace no cause at all is right too."""
        if self.answer.causes is None:
            return None
        return self.said in self.first or (self.fault == "healthy" and self.said == NOTHING)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return the causes that were named, at any place, and cannot be."""
        return tuple(each for each in self.answer.causes or () if each in self.never)


def score(one: Case) -> Scored:
    """Ask for the summary of a trace, then look at the truth."""
    truth = one.truth
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulated.pt.trace.json"
        path.write_bytes(one.trace)
        answer = said(msgspec.to_builtins(summarize(path)))
    verdicts = None if truth.verdict is None else tuple(sorted(truth.verdict))
    return Scored(one.name, one.fault.name, verdicts, tuple(sorted(truth.first)), tuple(truth.never), answer)


def said(summary: dict[str, Any]) -> Answer:
    """The answer in a summary's JSON."""
    causes = summary.get("causes")
    return Answer(summary["verdict"]["kind"], None if causes is None else tuple(each["name"] for each in causes))


# --- the table --------------------------------------------------------------------------------------


def table(scored: Sequence[Scored], *, one_by_one: bool) -> str:
    """Rates of all and of each fault, what was said instead, and (``one_by_one``) which traces are wrong."""
    faulty = [one for one in scored if one.fault != "healthy"]
    well = [one for one in scored if one.fault == "healthy"]
    lines = [f"first cause right, of faults:   {rate(faulty, lambda one: one.first_right)}",
             f"verdict right, of faults:       {rate(faulty, lambda one: one.verdict_right)}",
             f"verdict right, of healthy:      {rate(well, lambda one: one.verdict_right)}",
             f"false cause first, of healthy:  {rate(well, lambda one: opposite(one.first_right))}",
             f"impossible causes named:        {rate(scored, lambda one: told(one, value=bool(one.alarms)))}",
             ""]  # fmt: skip
    if any(one.answer.causes is None for one in scored):
        lines += ["The summary has no `causes` yet: only verdicts are counted.", ""]
    lines += [HEADER, *(line(name, [one for one in scored if one.fault == name]) for name in names(scored))]
    if one_by_one:
        wrong = [one for one in scored if False in (one.first_right, one.verdict_right) or one.alarms]
        lines += ["", f"wrong: {len(wrong)}", *map(in_a_line, wrong)]
    return "\n".join(lines) + "\n"


def opposite(right: bool | None) -> bool | None:
    """Whether it is wrong."""
    return None if right is None else not right


def told(one: Scored, *, value: bool) -> bool | None:
    """``value``, where causes are named at all."""
    return None if one.answer.causes is None else value


def names(scored: Iterable[Scored]) -> list[str]:
    """The faults in the order of the catalogue."""
    there = {one.fault for one in scored}
    return [name for name in dict.fromkeys([*(fault.name for fault in FAULTS), "healthy"]) if name in there]


def rate(scored: Sequence[Scored], right: Callable[[Scored], bool | None]) -> str:
    """A share with its counts."""
    counted = [value for one in scored if (value := right(one)) is not None]
    return f"{100 * sum(counted) / len(counted):.1f} % ({sum(counted)} of {len(counted)})" if counted else "-"


HEADER = f"{'fault':22s} traces  first  verdict  said first (verdict where it is wrong)"


def line(name: str, scored: Sequence[Scored]) -> str:
    """One row: the counts, and as a row of the confusion matrix what was said how often."""
    first = "-" if scored[0].answer.causes is None else str(sum(one.first_right is True for one in scored))
    judged = [one.verdict_right for one in scored if one.verdict_right is not None]
    verdict = f"{sum(judged)}/{len(judged)}" if judged else "-"
    causes = Counter(one.said for one in scored if one.answer.causes is not None)
    wrong = Counter(one.answer.verdict for one in scored if one.verdict_right is False)
    shown = [", ".join(f"{each} {count}" for each, count in counts.most_common()) for counts in (causes, wrong)]
    return (
        f"{name:22s} {len(scored):6d} {first:>6s} {verdict:>8s}  {shown[0]}{f' ({shown[1]})' if wrong else ''}".rstrip()
    )


def in_a_line(one: Scored) -> str:
    """A trace with truth and answer."""
    causes = "no causes" if one.answer.causes is None else ", ".join(one.answer.causes[:3]) or NOTHING
    verdicts = " | ".join(one.verdicts or ("any",))
    answer = f"{one.answer.verdict} (true: {verdicts}); {causes} (true: {' | '.join(one.first)})"
    return f"  {one.name:24s} {one.fault:22s} {answer}"


# --- the command ------------------------------------------------------------------------------------


def main() -> None:
    """Score the traces asked for."""
    asked = arguments()
    scored = scores(asked.split, asked.count, asked.healthy, asked.processes, asked.only)
    text = table(scored, one_by_one=asked.split == "development")
    print(text, end="")  # noqa: T201 - this is a command
    if asked.write:
        command = f"python -m tests.evidence.simulator.causes --split {asked.split} --count {asked.count}"
        tallies.write(
            asked.split,
            f"{command} --healthy {asked.healthy} --write",
            [tallies.tally(name, scored) for name in names(scored)],
        )


def scores(split: Split, count: int, well: int, processes: int = 1, only: str | None = None) -> list[Scored]:
    """Score ``count`` traces with a fault and ``well`` healthy ones, in their order."""
    wanted = [number for number in range(count) if only in (None, FAULTS[number % len(FAULTS)].name)]
    asked = [(True, number) for number in wanted]
    asked += [(False, number) for number in range(well) if only in (None, "healthy")]
    if processes == 1:
        return [made_and_scored(split, each) for each in asked]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(partial(made_and_scored, split), asked, chunksize=4))


def made_and_scored(split: Split, asked: tuple[bool, int]) -> Scored:
    """Generate one trace, faulty or healthy, and score it."""
    faulty, number = asked
    return score(case(split, number) if faulty else healthy(split, number))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.simulator.causes", description="answers beside simulated truth"
    )
    parser.add_argument("--split", choices=("development", "held-out"), default="development")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--healthy", type=int, default=100)
    parser.add_argument("--only", choices=[*(fault.name for fault in FAULTS), "healthy"])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
