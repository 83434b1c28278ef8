"""Nothing of ours may reach the script: the one guard around what we do in its calls."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType


class Guarded:
    """``with guarded:`` around what is ours: an exception in it is told to ``failed``, and goes no further.

    What ends a program (KeyboardInterrupt, SystemExit) is the script's and passes. ``failed`` must not raise. May be
    entered again, and on several threads at once. Costs about 0.2 µs.
    """

    __slots__ = ("_failed",)

    def __init__(self, failed: Callable[[Exception], object]) -> None:
        self._failed = failed

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self._failed(error)
            return True
        return False
