"""Fits the constants of the forecasts to measured pairs: those that no trace holds and only hardware can give.

A constant is varied, the others held, until the mean squared logarithm of forecast ÷ measured is least; again and
again, as one may stand in for another. A constant that moves none of its forecasts by 2 % from one of its bounds to the
other is not told by these pairs, and stays as it is. The search goes on to a quarter of the lower and four times the
upper bound, so that a fit can show them to be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from msgspec.structs import replace

from stallscope.analysis.fixes import constants
from stallscope.analysis.fixes.constants import Constant

BEYOND = 4.0  # times a bound: how far the search goes
GRID = 9  # places tried before the search closes in
CLOSE = 1.02  # as a ratio: found
TOLD = 0.02  # of a forecast: what a constant must move to be told by it
ROUNDS = 8
NEAR = 1.5  # times the value: how far a round moves it
GOLDEN = (5**0.5 - 1) / 2

Values = Mapping[str, float]  # name of a constant in analysis/constants.py → value
Forecast = Callable[[], float | None]  # expected step with the constants as they are now, µs


@dataclass(frozen=True, slots=True)
class Group:
    """Constants that the same fixes tell of; in the order in which they are fitted."""

    fixes: tuple[str, ...]
    constants: tuple[str, ...]


GROUPS = (
    Group(("cuda_graph",), ("GRAPH_LAUNCH", "GRAPH_GAP")),
    Group(("compile_reduce_overhead",), ("COMPILE_GUARD",)),  # whose graphs are launched as well
    Group(("fused_optimizer", "foreach_optimizer"), ("OPTIMIZER_HOST", "OPTIMIZER_DEVICE")),
    Group(("deferred_read",), ("KEEP_LOSS",)),
)


@dataclass(frozen=True, slots=True)
class Target:
    """One pair to be fitted: how it is forecast, and what was measured."""

    fix: str
    forecast: Forecast
    measured_us: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """One constant, as it is and as these pairs have it. ``value`` None: they do not tell."""

    name: str
    constant: Constant
    value: float | None
    pairs: int

    @property
    def inside(self) -> bool | None:
        """Whether the fit lies within the constant's bounds."""
        return None if self.value is None else self.constant.low <= self.value <= self.constant.high


@contextmanager
def using(values: Values) -> Iterator[None]:
    """Forecasts made here take these values; their bounds stay, widened where a value lies outside."""
    with ExitStack() as stack:
        for name, value in values.items():
            was = constant(name)
            other = replace(was, value=value, low=min(was.low, value), high=max(was.high, value))
            stack.enter_context(patch.object(constants, name, other))
        yield


def constant(name: str) -> Constant:
    """The constant of this name."""
    found: Constant = getattr(constants, name)
    return found


def fit(targets: Sequence[Target]) -> list[Fitted]:
    """Every constant of which pairs tell, in the order of ``GROUPS``."""
    values: dict[str, float] = {}
    found = []
    for group in GROUPS:
        own = [target for target in targets if target.fix in group.fixes]
        told = [name for name in group.constants if is_told(name, own, values)]
        for name in told:
            values[name] = nearest(name, own, values)
        settle(told, own, values)
        found += [Fitted(name, constant(name), values.get(name), len(own)) for name in group.constants]
    return found


def settle(names: Sequence[str], targets: Sequence[Target], values: dict[str, float]) -> None:
    """Go around until no value moves any more, each searched near where it is: one may stand in for another."""
    for _ in range(ROUNDS if len(names) > 1 else 0):
        before = dict(values)
        for name in names:
            low, high = searched(name)
            below, above = max(low, values[name] / NEAR), min(high, values[name] * NEAR)
            values[name] = closed_in(error_at(name, targets, values), below, above)
        if all(1 / CLOSE < values[name] / before[name] < CLOSE for name in names):
            return


def is_told(name: str, targets: Sequence[Target], values: Values) -> bool:
    """Whether a forecast moves enough when the constant goes from one of its bounds to the other."""
    ends = [forecasts(targets, {**values, name: end}) for end in (constant(name).low, constant(name).high)]
    return any(
        low is not None and high is not None and abs(high - low) > TOLD * max(low, high)
        for low, high in zip(*ends, strict=True)
    )


def nearest(name: str, targets: Sequence[Target], values: Values) -> float:
    """The value with the least error: the best place of a grid, closed in upon."""
    error = error_at(name, targets, values)
    grid = np.geomspace(*searched(name), GRID)
    best = int(np.argmin([error(value) for value in grid.tolist()]))
    below, above = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, GRID - 1)])
    return closed_in(error, below, above)


def closed_in(error: Callable[[float], float], below: float, above: float) -> float:
    """The place of the least error between two, by golden section of their ratio."""
    left, right = (below * (above / below) ** share for share in (1 - GOLDEN, GOLDEN))
    at_left, at_right = error(left), error(right)
    while above / below > CLOSE:
        if at_left <= at_right:
            above, right, at_right = right, left, at_left
            left = below * (above / below) ** (1 - GOLDEN)
            at_left = error(left)
        else:
            below, left, at_left = left, right, at_right
            right = below * (above / below) ** GOLDEN
            at_right = error(right)
    return float(np.sqrt(below * above))


def searched(name: str) -> tuple[float, float]:
    """The ends of the search."""
    return constant(name).low / BEYOND, constant(name).high * BEYOND


def error_at(name: str, targets: Sequence[Target], values: Values) -> Callable[[float], float]:
    """The error as a function of one constant."""
    others = dict(values)
    return lambda value: error_of(targets, {**others, name: value})


def error_of(targets: Sequence[Target], values: Values) -> float:
    """Mean squared logarithm of forecast ÷ measured; 0 without forecasts."""
    both = zip(forecasts(targets, values), targets, strict=True)
    logs = [np.log(found / target.measured_us) for found, target in both if found]
    return float(np.mean(np.square(logs))) if logs else 0.0


def forecasts(targets: Sequence[Target], values: Values) -> list[float | None]:
    """The forecast of each at these values, µs."""
    with using(values):
        return [target.forecast() for target in targets]
