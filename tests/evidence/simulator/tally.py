"""Scored traces counted by fault: the rows of the confusion matrix, and the file that keeps them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tests.evidence.simulator.causes import Scored

RESULTS = Path(__file__).parent / "results"
HEALTHY = "healthy"


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The traces of one fault, or the healthy ones."""

    fault: str
    traces: int
    first_right: int  # of a healthy trace: no cause, or one that is true of any training of its kind
    judged: int  # traces whose true verdict is known
    verdict_right: int
    impossible: int  # traces of which a cause was named, at any place, that cannot be
    said_first: dict[str, int]  # most often first
    wrong_verdicts: dict[str, int]


class Tallies(msgspec.Struct, frozen=True, kw_only=True):
    """One run of ``python -m tests.evidence.simulator.causes``."""

    command: str
    rows: list[Tally]

    @property
    def faulty(self) -> list[Tally]:
        """Those with a fault."""
        return [row for row in self.rows if row.fault != HEALTHY]

    @property
    def healthy(self) -> list[Tally]:
        """The healthy ones: one row, or none."""
        return [row for row in self.rows if row.fault == HEALTHY]


def tally(name: str, scored: Iterable[Scored]) -> Tally:
    """Count the traces of the fault ``name``."""
    mine = [one for one in scored if one.fault == name]
    judged = [one.verdict_right for one in mine if one.verdict_right is not None]
    return Tally(
        fault=name,
        traces=len(mine),
        first_right=sum(one.first_right is True for one in mine),
        judged=len(judged),
        verdict_right=sum(judged),
        impossible=sum(bool(one.alarms) for one in mine),
        said_first=_counted(one.said for one in mine),
        wrong_verdicts=_counted(one.answer.verdict for one in mine if one.verdict_right is False),
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def write(split: str, command: str, rows: Sequence[Tally]) -> None:
    """Keep them as ``results/causes-SPLIT.json``."""
    told = msgspec.json.format(msgspec.json.encode(Tallies(command=command, rows=list(rows))))
    (RESULTS / f"causes-{split}.json").write_bytes(told + b"\n")


def load(split: str) -> Tallies:
    """What was kept."""
    return msgspec.json.decode((RESULTS / f"causes-{split}.json").read_bytes(), type=Tallies)
