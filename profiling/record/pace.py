"""Ranks of a launch end their unprofiled windows at the same step: the first says when, the others read it.

Ranks that wait for each other in each step must not be in different windows: one that is being timed would time the
others' profilers. Windows that end after a number of steps are in step by themselves; the one that ends after a time
is not, so rank 0 turns its time into a number of steps while the window opens, and leaves it in the run folder.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from stallscope.profiling.record.plan import PATIENCE_NS, SHORT_STEPS, Stage
from stallscope.traces.model.manifest import Window

NAME = ".stallscope.steps"
POLL_NS = 20_000_000


class Pace:
    """Ends one window after another: by time where this process is alone, else after the steps that rank 0 gives.

    ``folder``: the run folder; None: there are no other ranks.
    """

    def __init__(self, folder: Callable[[], Path | None] | None = None, *, leads: bool = False) -> None:
        self._folder, self._leads = folder, leads
        self._first = 0
        self._steps: int | None = None  # of the open window, where that is agreed
        self._shared = False  # the open window is one whose length must be agreed
        self._next = 0  # when to look again

    def open(self, window: Stage, first_step: int, before: list[Window], *, queues: bool) -> None:
        """Agree on when the window that begins at ``first_step`` ends; ``before``: the windows there are already.

        Without any before it, it is the short one, which ends after a number of steps anyway.
        """
        self._first, self._steps, self._next = first_step, None, 0
        self._shared = self._folder is not None and bool(before) and not window.open_ended
        if not self._shared:
            return
        if self._leads:
            step_ns = before[0].duration_ns // max(before[0].steps, 1)
            self._steps = window.unprofiled_steps(step_ns, queues=queues)
            self._give(self._steps)
        else:
            self._steps = self._given()

    def look_after(self, window: Stage, *, queues: bool) -> tuple[int, int]:
        """After how many ns, or how many steps, the window may be long enough."""
        if self._steps is not None:
            return PATIENCE_NS, self._steps - 1
        if self._shared:
            return PATIENCE_NS, SHORT_STEPS - 1
        return window.look_after(queues=queues)

    def enough(self, window: Stage, steps: int, elapsed_ns: int, *, queues: bool) -> bool:
        """Whether the window is long enough. A rank that hears nothing waits twice as long as it would by itself."""
        if self._shared:
            if self._steps is None:
                self._steps = self._given()
            if self._steps is not None:
                return steps >= self._steps
            elapsed_ns //= 2
        return window.long_enough(steps, elapsed_ns, queues=queues)

    def record(self, first_step: int, steps: int) -> None:
        """Agree on how many steps a window holds that is recorded from about ``first_step``; ``steps``: our own idea.

        There is no other way to end it: a rank that ended it sooner would let the others time its pause.
        """
        self._first, self._steps, self._next = first_step, None, 0
        self._shared = self._folder is not None
        if self._shared and self._leads:
            self._steps = steps
            self._give(steps)

    def recorded(self, steps: int, most: int, *, late: bool) -> bool:
        """Whether a recorded window is long enough. ``most``: our own idea; ``late``: it takes far too long."""
        if not self._shared:
            return steps >= most or late
        if self._steps is None:
            self._steps = self._given()
        return steps >= (most if self._steps is None else self._steps)

    def _path(self) -> Path | None:
        folder = self._folder() if self._folder is not None else None
        return None if folder is None else folder / f"{NAME}.{self._first}"

    def _give(self, steps: int) -> None:
        path = self._path()
        if path is not None:
            hidden = path.with_name(path.name + ".tmp")
            with contextlib.suppress(OSError):
                hidden.write_text(f"{steps}\n", encoding="ascii")
                hidden.replace(path)

    def _given(self) -> int | None:
        path, now = self._path(), time.perf_counter_ns()
        if path is None or now < self._next:
            return None
        self._next = now + POLL_NS
        try:
            return int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
