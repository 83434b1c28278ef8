"""A budget of seconds that holds: checked where the work can stop, and by an alarm where it does not come to that."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 5.0  # an alarm that came where an exception is swallowed (a destructor) comes again


class TimeIsUp(BaseException):
    """The limit of what is being done has passed. No Exception, so that nothing on the way takes it for one."""


class Clock:
    """What is left of a budget of seconds, which began when this was made."""

    def __init__(self, budget_s: float) -> None:
        self._began = self.now()
        self.budget_s = budget_s

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds since the budget began."""
        return self.now() - self._began

    @property
    def left(self) -> float:
        """Seconds that may still be used."""
        return self.budget_s - self.spent

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Raise ``TimeIsUp`` in what is done here once so many seconds have passed; in the main thread, on POSIX.

        Raises:
            TimeIsUp: they have passed.
        """
        if not hasattr(signal, "setitimer"):  # Windows: the loops look at the clock, which must do
            yield
            return
        before = signal.signal(signal.SIGALRM, _raise)
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), AGAIN_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise TimeIsUp
