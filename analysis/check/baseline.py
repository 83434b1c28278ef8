"""A baseline in the repository: the figures of a step by workload, device and versions, exact.

Held against it is the median step. The step with most is another one in each recording of the same program, as a loss
that is printed every 100th step, or the end of an epoch, falls into the window or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from stallscope.analysis.check.budgets import Budget
from stallscope.analysis.check.figures import Counted
from stallscope.analysis.check.rows import Bounds
from stallscope.analysis.check.workload import key_words
from stallscope.analysis.contract.check import BaselineChange, BaselineEntry, BaselineFile, BaselineRange, CheckKey
from stallscope.traces.model.errors import BadInput

KEPT: Final = (
    *("launches", "waits", "reads", "pageable_copies", "h2d_bytes", "d2h_bytes", "allocations", "graph_captures"),
    *("operators", "kernels"),
)
TEXT: Final = "the baseline's"


@dataclass(frozen=True, slots=True)
class Against:
    """The entry of a baseline that a run is held against; None: there is none for its key."""

    where: str
    entry: BaselineEntry | None
    others: tuple[CheckKey, ...] = ()  # what the file has instead

    def budgets(self, given: Sequence[Budget]) -> list[Budget]:
        """The budgets given, and one for each figure of the baseline that they leave out."""
        named = {each.name for each in given}
        figures = self.entry.figures if self.entry is not None else {}
        return [
            *given,
            *(Budget(name=name, text=TEXT, over="median") for name in figures if name in KEPT and name not in named),
        ]

    def obstacle(self, key: CheckKey) -> str | None:
        """Why a run of this key cannot be held against the baseline."""
        if self.entry is not None:
            return None
        has = "; ".join(key_words(each) for each in self.others[:3]) or "none"
        return f"{self.where} has no baseline for {key_words(key)} (it has: {has}); --update adds one"


def bounds_of(budget: Budget, against: Against | None) -> Bounds:
    """The bounds of a budget: its own, or the baseline's figure and what may come on top of it."""
    if budget.text != TEXT and budget.relative is None:
        return Bounds(budget.low, budget.high)
    entry = against.entry if against is not None else None
    found = None if entry is None else entry.figures.get(budget.name)
    if found is None:
        return Bounds(None, None, is_missing=True)
    old = found.max if budget.over == "max" else found.median
    factor = 1 + (budget.relative or 0.0)
    return Bounds(None, old[1] * factor, old[0] * factor)


def entry_of(
    counted: Counted, key: CheckKey, step_us: Sequence[float | None] = (), machine: str | None = None
) -> BaselineEntry:
    """The figures of a run as they are kept, and the times of repeated runs; what is unknown is left out."""
    figures = {}
    for name in KEPT:
        largest, median = counted.figure(name, "max"), counted.figure(name, "median")
        if largest.low is None or largest.high is None or median.low is None or median.high is None:
            continue
        figures[name] = BaselineRange(max=(largest.low, largest.high), median=(median.low, median.high))
    known = [us for us in step_us if us is not None]
    return BaselineEntry(key=key, figures=figures, step_us=known, machine=machine)


def parse_baseline(data: bytes, where: str) -> BaselineFile:
    """A baseline file.

    Raises:
        BadInput: it is none.
    """
    try:
        return msgspec.json.decode(data, type=BaselineFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{where}: is no baseline ({error}); write one with --against {where} --update") from error


def find_entry(file: BaselineFile, key: CheckKey, where: str) -> Against:
    """The entry of that key."""
    found = next((each for each in file.entries if each.key == key), None)
    return Against(where, found, tuple(each.key for each in file.entries))


def updated(file: BaselineFile, entry: BaselineEntry) -> tuple[BaselineFile, list[BaselineChange]]:
    """The file with this entry in place of the one of its key, and what changed."""
    old = next((each for each in file.entries if each.key == entry.key), None)
    before, after = ({} if each is None else each.figures for each in (old, entry))
    changes = [
        BaselineChange(name=name, before=_usual(before.get(name)), after=_usual(after.get(name)))
        for name in KEPT
        if _usual(before.get(name)) != _usual(after.get(name))
    ]
    entries = [each for each in file.entries if each.key != entry.key]
    ordered = sorted([*entries, entry], key=lambda each: key_words(each.key))
    return BaselineFile(entries=ordered), changes


def _usual(figure: BaselineRange | None) -> float | None:
    return None if figure is None else figure.median[1]
