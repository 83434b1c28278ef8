"""What ``torch.compile`` has done in this process, and when its code runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from types import FrameType
from typing import Any


def anything_compiled() -> bool:
    """Whether ``torch.compile`` has been asked to compile anything, even if nothing has been called yet."""
    frames, utils = sys.modules.get("torch._dynamo.eval_frame"), sys.modules.get("torch._dynamo.utils")
    backends: Any = getattr(frames, "cached_backends", None) or {}
    counters: Any = getattr(utils, "counters", None)
    compiled = bool(counters) and bool(counters["stats"].get("unique_graphs") or counters["frames"].get("ok"))
    return compiled or [*backends.values()].count(None) < len(backends)  # asked in each step: no loop of Python's


def inside_compiled() -> bool:
    """Whether compiled code has called us; what we call does not count.

    Told by the stack: dynamo itself says that it is off, in functions that it was told to leave out.
    """
    return next(_dynamos_frames(), None) is not None


def _dynamos_frames() -> Iterator[FrameType]:
    """Yield the frames on this thread's stack that lead into compiled code, or out of it into code that is exempt."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001
    while frame is not None:
        if frame.f_globals.get("__name__") == "torch._dynamo.eval_frame":
            yield frame
        frame = frame.f_back


def leave_out(torch: Any, *functions: Any) -> None:
    """Never compile ``functions`` nor what they call: dynamo takes up each Python function called below a graph break.

    Where torch cannot be told so, such a function counts as a compiled frame of its own, without a graph.
    """
    dynamo: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)  # noqa: SLF001
    names = ("set_code_exec_strategy", "_FrameExecStrategy", "_FrameAction")
    tell, strategy, action = (getattr(dynamo, each, None) for each in names)
    if tell is None or strategy is None or action is None:
        return
    for each in functions:
        tell(each.__code__, strategy(action.SKIP, action.SKIP))


class Gate:
    """Tells when a thread enters compiled code from outside (by which frame of torch's), and when it is back.

    Every entry switches dynamo on and off again in one Python function, through ``_maybe_set_eval_frame``. Calls of it
    in between (code in a compiled function that is exempt) switch back and forth, from other frames. Frames that have
    switched before the gate was made will switch back: that is no entry.
    """

    SWITCH = "_maybe_set_eval_frame"

    def __init__(self, entering: Callable[[FrameType], None], left: Callable[[], None], thread: int) -> None:
        self._entering, self._left = entering, left
        self._thread = thread
        self._frame: int | None = None  # identity of the one that entered
        self._standing = {id(each) for each in _dynamos_frames()}

    def around(self, switch: Any) -> Any:
        """``switch`` with our ears on it."""

        @wraps(switch)
        def _maybe_set_eval_frame(callback: Any) -> Any:
            if threading.get_ident() != self._thread:
                return switch(callback)
            caller = sys._getframe(1)  # noqa: SLF001
            frame = id(caller)
            if frame in self._standing:
                self._standing.discard(frame)
                return switch(callback)
            if callback is not None and self._frame is None:
                self._frame = frame
                self._entering(caller)
            del caller
            try:
                return switch(callback)
            finally:
                if callback is None and self._frame == frame:
                    self._frame = None
                    self._left()

        return _maybe_set_eval_frame
