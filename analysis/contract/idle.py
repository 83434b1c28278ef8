"""The causes of GPU idle time: one table of what each is called and how it is drawn, and the row of the contract.

A new cause is a row of the table, a field of ``Idle`` beside it, and its rule in ``stages/idle.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec


@dataclass(frozen=True, slots=True)
class IdleCause:
    """A cause of idle time as people read and see it."""

    name: str  # in the contract, and of its colour on a page
    words: str  # "the GPU idles, because …"
    short: str
    colour: str
    dark: str = ""  # its colour on a dark page, where that is another
    ends_with_launch: bool = False  # the host ends it by starting work: the line that does so tells where to look
    is_idle: bool = True  # False: what the GPU did is unknown

    @property
    def label(self) -> str:
        """What stands on a bar or a slice of it."""
        return f"idle: {self.short}" if self.is_idle else self.short


IDLE_CAUSES: Final = (
    IdleCause(
        "sync", "the CPU returns from waiting for the GPU", "the CPU returns from waiting for the GPU", "#d55e00"
    ),
    IdleCause("dataloader", "the CPU loads data (DataLoader)", "the CPU loads data", "#cc79a7", ends_with_launch=True),
    IdleCause(
        "host_python", "Python between the operators", "Python between the operators", "#8a63d2", ends_with_launch=True
    ),
    IdleCause(
        "host_operator", "PyTorch operators at work on the CPU", "PyTorch operators on the CPU", "#9fb8d8", "#5b7ba6",
        ends_with_launch=True,
    ),
    IdleCause("launch", "a launch on its way to the GPU", "a launch on its way", "#e69f00", ends_with_launch=True),
    IdleCause(
        "memcpy", "a copy being started, or done by the CPU", "a copy being started", "#0072b2", ends_with_launch=True
    ),
    IdleCause(
        "stream_dependency", "the work waits for another stream or GPU", "waiting for another stream or GPU", "#56b4e9"
    ),
    IdleCause(
        "unrecorded", "not recorded: what the GPU did is unknown", "not recorded", "#b8bfc7", "#5c6670", is_idle=False
    ),
    IdleCause("unexplained", "nothing recorded explains it", "unexplained", "#6e7781", "#8b949e"),
)  # fmt: skip
BY_NAME: Final = {cause.name: cause for cause in IDLE_CAUSES}


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """GPU idle time by cause; sums to ``gpu_idle_us``, which is withheld where part of it is ``unrecorded``."""

    sync: float | None = None
    dataloader: float | None = None
    host_python: float | None = None
    host_operator: float | None = None
    launch: float | None = None
    memcpy: float | None = None
    stream_dependency: float | None = None
    unrecorded: float | None = None
    unexplained: float | None = None
