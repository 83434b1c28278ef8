"""What a fix is: words, and a change of the graph. The fixes themselves are in ``fix_*.py``."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from stallscope.analysis.contract.forecast import StepRange
from stallscope.analysis.contract.whatif import Constant
from stallscope.analysis.fixes.names import TITLES, Wanted
from stallscope.analysis.replay.graph import Graph
from stallscope.traces.model.trace import Bools, Floats, Ints

EIGHTY: Final = 1.282  # standard deviations that hold 80 % of a normal distribution


class Bound(Enum):
    """Which end of what is not known exactly: ``LOW`` makes the step as short as it may be."""

    LOW = "low"
    EXPECTED = "expected"
    HIGH = "high"

    def of(self, constant: Constant) -> float:
        """The constant's value at this bound, for one that makes a step longer."""
        return {Bound.LOW: constant.low, Bound.EXPECTED: constant.value, Bound.HIGH: constant.high}[self]

    def of_rate(self, constant: Constant) -> float:
        """The same for one that makes a step shorter."""
        return {Bound.LOW: constant.high, Bound.EXPECTED: constant.value, Bound.HIGH: constant.low}[self]


Change = Callable[[Graph, Bound], Graph]


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """One fix on one trace. A change keeps the numbers of nodes, so that changes can follow one another."""

    wanted: Wanted
    why: str
    change: Change | None = None  # None: it does not apply, or was measured
    kept: float = 0.0  # share of the steps that stay as they are (reads in every k-th step)
    prior: float = 0.05  # of the forecast step: how far forecasts of this fix are off, from published validations
    family: str = ""  # of several fixes of a family only the best is counted when fixes are added up
    adds_up: bool = True  # it may be combined with others
    divide: float = 1.0  # the step does the work of so many
    bounded: bool = False  # constants enter, so that the change differs at its bounds
    measured: StepRange | None = None  # no forecast: a measurement
    doubts: tuple[str, ...] = ()  # each lowers the confidence
    where: str = ""
    same_as: str = ""  # fixes that carry the same text here make the same change

    @property
    def applies(self) -> bool:
        """Whether there is anything to say of the step after it."""
        return self.change is not None or self.measured is not None

    @property
    def title(self) -> str:
        """In the words of a user."""
        return TITLES[self.wanted.fix].format(n=self.wanted.number or 0, where=self.where or "a module")


def cannot(wanted: Wanted, why: str) -> Fix:
    """A fix that does not apply."""
    return Fix(wanted=wanted, why=why)


def lasting(graph: Graph, nodes: Bools | Ints, duration_ns: float | Ints | Floats) -> Graph:
    """The graph with other durations for these nodes."""
    durations = graph.duration_ns.copy()
    durations[nodes] = np.rint(duration_ns)
    return replace(graph, duration_ns=durations)


def scaled(graph: Graph, nodes: Bools, factor: float) -> Graph:
    """The graph with the durations of these nodes times a factor."""
    times: Floats = graph.duration_ns[nodes] * np.float64(factor)
    return lasting(graph, nodes, times)


def plus(graph: Graph, nodes: Ints, us: float) -> Graph:
    """The graph with ``us`` more in each of these nodes."""
    times: Floats = graph.duration_ns[nodes] + np.float64(1000 * us)
    return lasting(graph, nodes, times)
