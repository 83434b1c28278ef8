"""A range around each optimizer step, through torch's global step hooks."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from stallscope.profiling.mark.ranges import Ranges
from stallscope.profiling.mark.usercode import inside
from stallscope.profiling.watch.compiled import leave_out


class _Thread(threading.local):
    def __init__(self) -> None:
        self.running: list[tuple[FrameType, Any]] = []  # frame and range of each step; wrappers step inside each other


class OptimizerRanges:
    """The two hooks and what they have open."""

    def __init__(self, torch: Any, ranges: Ranges) -> None:
        self._torch, self._ranges = torch, ranges
        self._thread = _Thread()
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Hang the hooks in, unless a step is running: torch may be going through its table of hooks right now."""
        if _steps(sys._getframe()):  # noqa: SLF001
            return
        optimizer = importlib.import_module("torch.optim.optimizer")  # torch.optim hides the name
        compiler, ranges = self._torch.compiler, self._ranges

        def before(_optimizer: Any, _args: Any, _kwargs: Any) -> None:
            if compiler.is_compiling():
                return
            if ranges.active:
                with ranges.guarded:
                    self._starts(sys._getframe(1))  # noqa: SLF001

        def after(_optimizer: Any, _args: Any, _kwargs: Any) -> None:
            if compiler.is_compiling():
                return
            if ranges.active:
                with ranges.guarded:
                    self._ends(sys._getframe(1))  # noqa: SLF001

        leave_out(self._torch, before, after)
        self._undo.append(optimizer.register_optimizer_step_pre_hook(before).remove)
        self._undo.append(optimizer.register_optimizer_step_post_hook(after).remove)

    def remove(self) -> None:
        """Take the hooks out; while a step is running they stay, and do nothing."""
        while self._undo and not _steps(sys._getframe()):  # noqa: SLF001
            self._undo.pop()()

    def close(self) -> None:
        """Leave what is open on this thread."""
        while self._thread.running:
            self._leave()

    def _starts(self, frame: FrameType) -> None:
        running = self._thread.running
        while running and not inside(frame, running[-1][0]):  # that step raised
            self._leave()
        mark = self._ranges.of_line("optimizer", frame, waits=False)
        if mark is not None:
            mark.__enter__()
            running.append((frame, mark))

    def _ends(self, frame: FrameType) -> None:
        while any(each[0] is frame for each in self._thread.running):
            self._leave()

    def _leave(self) -> None:
        self._thread.running.pop()[1].__exit__(None, None, None)


def _steps(frame: FrameType | None) -> bool:
    """Whether an optimizer step, or one of the hooks around it, is running on this thread."""
    while frame is not None:
        if frame.f_code.co_name == "wrapper" and frame.f_globals.get("__name__") == "torch.optim.optimizer":
            return True
        frame = frame.f_back
    return False
