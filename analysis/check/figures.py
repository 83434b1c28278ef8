"""The figures that budgets are held against: the largest step or the median of all, exceptions taken out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from stallscope.analysis.check.budgets import Allow
from stallscope.analysis.check.counts import Counts, Wait
from stallscope.analysis.check.launches import LaunchRange
from stallscope.analysis.check.workload import Folders
from stallscope.analysis.contract.check import Allowed, CheckLine
from stallscope.traces.model.trace import Floats, Ints

Over = Literal["max", "median"]
OF_WAITS: Final = ("waits", "reads")
NO_GPU: Final = "this run used no GPU"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a step: ``low`` = ``high`` where it was counted; None: unknown."""

    low: float | None
    high: float | None
    why: str = ""  # it is unknown, or how it was predicted


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts without what was allowed."""

    counts: Counts
    waits: tuple[Wait, ...] | None
    allowed: tuple[Allowed, ...]

    def figure(self, name: str, over: Over) -> Figure:
        """A figure by its name; see ``NAMES`` in ``budgets.py``."""
        if name in OF_WAITS:
            return self._of_waits(name, over)
        if name == "launches" and self.counts.launches is not None:
            return _of_range(self.counts.launches, over)
        column = self.counts.by_step.get(name)
        if column is None:
            return Figure(None, None, NO_GPU if self.counts.predicted else "the trace does not hold it")
        value = _over(column, over)
        return Figure(value, value)

    def _of_waits(self, name: str, over: Over) -> Figure:
        if self.waits is None:
            no_lines = "no attribution window was recorded, so no line is known that would wait on a GPU"
            return Figure(None, None, no_lines if self.counts.predicted else "no call of a known device was recorded")
        size = self.counts.waits_steps
        chosen = [wait for wait in self.waits if name == "waits" or wait.is_read]
        every = _over(_per_step(chosen, size), over)
        sure = _over(_per_step([wait for wait in chosen if wait.is_sure], size), over)
        return Figure(sure, every, "by the lines that would wait on a GPU" if self.counts.predicted else "")

    def lines(self, name: str, folders: Folders) -> list[CheckLine]:
        """The places of the waits or reads, most calls first; [] of any other figure."""
        if name not in OF_WAITS or self.waits is None:
            return []
        chosen = [wait for wait in self.waits if name == "waits" or wait.is_read]
        places = Counter((wait.line, wait.called, wait.what, wait.is_sure) for wait in chosen)
        return [
            _line(*place, calls / self.counts.waits_steps, folders)
            for place, calls in sorted(places.items(), key=lambda item: (-item[1], str(item[0])))
        ]


def without_allowed(counts: Counts, allow: Sequence[Allow]) -> Counted:
    """Take out, in order of the steps, as many calls of each allowed line as its distance allows."""
    if counts.waits is None:
        return Counted(counts, None, tuple(_told(each, 0, 0) for each in allow))
    rest = sorted(counts.waits, key=lambda wait: wait.step)
    told = []
    for each in allow:
        room = math.ceil(counts.waits_steps / each.every)
        kept, met = [], 0
        for wait in rest:
            hit = each.matches(wait.line, wait.called)
            met += hit
            if not hit or met > room:
                kept.append(wait)
        rest = kept
        told.append(_told(each, met, min(met, room)))
    return Counted(counts, tuple(rest), tuple(told))


def _told(allow: Allow, calls: int, left_out: int) -> Allowed:
    return Allowed(line=allow.line, call=allow.call, every=allow.every, why=allow.why, calls=calls, left_out=left_out)


def _per_step(waits: Iterable[Wait], size: int) -> Ints:
    steps = np.array([wait.step for wait in waits], dtype=np.int64)
    return np.bincount(steps, minlength=size).astype(np.int64)


def _over(column: Ints | Floats, over: Over) -> float:
    if not len(column):
        return 0.0
    return float(column.max()) if over == "max" else float(np.median(column))


def _of_range(launches: LaunchRange, over: Over) -> Figure:
    low, high = _over(launches.low, over), _over(launches.high, over)
    return Figure(low, None if math.isinf(high) else high, launches.why)


def _line(line: str | None, called: str | None, what: str, is_sure: bool, calls: float, folders: Folders) -> CheckLine:
    file, number = _file_and_line(line, folders)
    return CheckLine(
        call_site=folders.shortened(line) if line else f"({what})",
        called=called,
        calls_per_step=calls,
        file=file,
        line=number,
        note=None if is_sure else "waits only if there is something to copy, which a run without a GPU cannot tell",
    )


def _file_and_line(line: str | None, folders: Folders) -> tuple[str | None, int | None]:
    """``lib/util.py`` and 6 of ``util.py:6`` of a script in ``lib``; of ``helper (util.py:6)`` too."""
    place = (line or "").rpartition("(")[2].rstrip(")")
    file, _, number = place.rpartition(":")
    if not file or not number.isdigit():
        return None, None
    return folders.below(file), int(number)
