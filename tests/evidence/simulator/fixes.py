"""What a person changes in the script: each fix turns one training into another, which the simulator executes too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.evidence.simulator.models import Training

REGIMES = ("launch", "balanced", "device", "sync", "input", "copy")


@dataclass(frozen=True, slots=True)
class Fix:
    """A change, and the regimes in which somebody would ask about it."""

    name: str
    regimes: tuple[str, ...]
    change: Callable[[Training, int], Training]
    choices: tuple[int, ...] = (0,)  # what the change is given: every how many steps, how many workers


def remove_item(training: Training, _: int) -> Training:
    """Nothing is read any more."""
    return replace(training, reads="none")


def every_k(training: Training, k: int) -> Training:
    """The same is read in every k-th step only."""
    return replace(training, read_every=k)


def graph(training: Training, _: int) -> Training:
    """Forward, backward and the optimizer's step are one CUDA graph; batch and loss are copied outside it."""
    return replace(training, graph=True)


def workers(training: Training, count: int) -> Training:
    """Batches are made by worker processes."""
    assert training.loader is not None
    return replace(training, loader=replace(training.loader, workers=count))


def pinned(training: Training, _: int) -> Training:
    """Batches lie in pinned memory and are copied without waiting."""
    assert training.loader is not None
    return replace(training, loader=replace(training.loader, pin_memory=True), non_blocking=True)


FIXES = (
    Fix("remove item", ("launch", "balanced", "device", "sync", "input"), remove_item),
    Fix("every k", ("launch", "balanced", "device", "sync"), every_k, (5, 10, 50)),
    Fix("graph", ("launch", "balanced", "device", "input"), graph),
    Fix("workers", ("input", "balanced", "device", "copy"), workers, (2, 4, 8)),
    Fix("pinned", ("copy", "input", "balanced"), pinned),
)
