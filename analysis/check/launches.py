"""How many kernels each step would start on a GPU, from the operators of a run without one: a range, never a figure.

The tree of operators is walked from outside: an operator of the table decides for all that lies in it, others are what
lies in them, and one that the table lacks and that holds nothing makes the upper end unknown. Optimizers take other
ways on a GPU: many tensors to a kernel (``foreach``, the default there) instead of a few kernels a tensor, so of the
operators in an optimizer each name counts once at least. What the DataLoader does stays on the CPU.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from stallscope.analysis.check.launch_table import (
    DROPOUT,
    FOREACH,
    FOREACH_MOST,
    HOLLOW,
    NONE,
    NOTHING,
    ONE,
    TABLE,
    WITH_ITS_PARTS,
    Range,
)
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import NameTest, rows_named
from stallscope.analysis.stages.activity import is_dataloader
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Bools, Floats, Ints

_OPTIMIZER: Final = re.compile(r"Optimizer\.")
SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class LaunchRange:
    """Launches that each step would make, (c,) each; ``high`` is infinite where an operator is not known."""

    low: Floats
    high: Floats
    unknown: tuple[str, ...]  # operators that the table lacks, by name

    @property
    def why(self) -> str:
        """How it was found, in words."""
        told = "by the operators and what each starts at least and at most on a GPU"
        if not self.unknown:
            return told
        more = f" and {len(self.unknown) - SHOWN} more" if len(self.unknown) > SHOWN else ""
        return f"{told} (of {', '.join(self.unknown[:SHOWN])}{more} it is not known)"


def predict_launches(stages: Stages, step: Ints, steps: int) -> LaunchRange:
    """The range for each step; ``step``: of each operator of ``stages.operators.rows``, -1 for none that counts."""
    trace, rows = stages.trace, stages.operators.rows
    in_loader = _within(stages, rows, is_dataloader)
    in_optimizer = _within(stages, rows, lambda name: _OPTIMIZER.match(name) is not None)
    walked = _Walk(stages)
    low, high = np.zeros(steps), np.zeros(steps)
    tuned: dict[int, dict[str, float]] = {}
    unknown: set[str] = set()
    for i, row in enumerate(rows.tolist()):
        found = walked.visit(row)
        if found is None or step[i] < 0 or in_loader[i] or found == NONE:
            continue
        if in_optimizer[i]:
            of_name = tuned.setdefault(int(step[i]), {})
            of_name[trace.name_of(row)] = of_name.get(trace.name_of(row), 0.0) + found[1]
        else:
            low[step[i]] += found[0]
            high[step[i]] += found[1]
        if math.isinf(found[1]):
            unknown.add(trace.name_of(row))
    for at, names in tuned.items():
        low[at] += max(1, len(names) - 1)  # an optimizer's count of steps is kept on the CPU
        high[at] += max(sum(names.values()), FOREACH_MOST * len(names))
    return LaunchRange(low, high, tuple(sorted(unknown)))


class _Walk:
    """Visits operators, each after the one around it."""

    def __init__(self, stages: Stages) -> None:
        self._trace, self._parent = stages.trace, stages.operators.parent
        inside = self._parent[stages.operators.rows]
        self._children = np.bincount(inside[inside >= 0], minlength=len(stages.trace.events))
        self._decided: set[int] = set()
        draws = rows_named(stages.trace, stages.operators.rows, lambda name: name == "aten::bernoulli_")
        self._draws = set(self._parent[draws].tolist())

    def visit(self, row: int) -> tuple[float, float] | None:
        """The range of an operator's own launches; None: another operator speaks for it, or those in it do."""
        if int(self._parent[row]) in self._decided:
            self._decided.add(row)
            return None
        name = self._trace.name_of(row)
        if name in WITH_ITS_PARTS:
            return WITH_ITS_PARTS[name]
        found = self._known(name, row)
        if found is not None:
            self._decided.add(row)
            return found
        if self._children[row] or name in HOLLOW or NOTHING.match(name):
            return None
        return 0.0, math.inf

    def _known(self, name: str, row: int) -> Range | None:
        if name == DROPOUT:
            return ONE if row in self._draws else NONE
        if FOREACH.match(name):
            return 1, max(FOREACH_MOST, 3 * int(self._children[row]))  # one each where the tensors are not alike
        return TABLE.get(name)


def _within(stages: Stages, rows: Ints, accept: NameTest) -> Bools:
    """Which of ``rows`` start in an annotation whose name passes the test."""
    trace = stages.trace
    around = rows_named(trace, trace.events.rows(Category.ANNOTATION, Category.CPU_OP), accept)
    return intervals.covers(stages.window.cover(trace, around), trace.events.ts_ns[rows])
