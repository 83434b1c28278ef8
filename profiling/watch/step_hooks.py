"""The two global hooks around each optimizer step. What they do in a short way is written so as to cost little."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from stallscope.profiling.watch.short_ways import ShortWay


class Events(Protocol):
    """Who is told."""

    short: ShortWay | None

    @property
    def enabled(self) -> bool:
        """Whether anybody still listens."""

    def optimizer_starts(self, optimizer: Any, frame: FrameType) -> None:
        """Note the start of an optimizer step."""

    def optimizer_ends(self, optimizer: Any) -> None:
        """Note its end."""

    def fail(self, error: Exception) -> None:
        """Switch off after a failure of ours."""


def hang_in(torch: Any, hooks: Events) -> list[Callable[[], None]]:
    """Register both; returns what takes them out. Under ``torch.compile`` they vanish."""
    optimizer = importlib.import_module("torch.optim.optimizer")  # torch.optim hides the name
    return [
        optimizer.register_optimizer_step_pre_hook(_before(torch.compiler, hooks)).remove,
        optimizer.register_optimizer_step_post_hook(_after(torch.compiler, hooks)).remove,
    ]


def _before(compiler: Any, hooks: Events) -> Callable[[Any, Any, Any], None]:
    def before(instance: Any, _args: Any, _kwargs: Any) -> None:
        if compiler.is_compiling():
            return
        try:
            short = hooks.short
            if short is not None and short.key == id(instance) and short.begins():
                return
            if hooks.enabled:
                hooks.optimizer_starts(instance, sys._getframe(1))  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 - nothing of ours may reach the script
            hooks.fail(error)

    return before


def _after(compiler: Any, hooks: Events) -> Callable[[Any, Any, Any], None]:
    def after(instance: Any, _args: Any, _kwargs: Any) -> None:
        if compiler.is_compiling():
            return
        try:
            short = hooks.short
            if short is not None and short.key == id(instance) and short.stepped():
                return
            if hooks.enabled:
                hooks.optimizer_ends(instance)
        except Exception as error:  # noqa: BLE001
            hooks.fail(error)

    return after
