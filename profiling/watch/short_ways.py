"""The short ways: steps of one optimizer, each of which is a training step, taken note of in a few lines.

The long way (hooks, tracker, capture) would cost a launch-bound step a tenth: so much code is never in the processor's
cache. Both belong to one thread, and give what they know back to its tracker by ``settle``.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from time import perf_counter_ns
from typing import Protocol

from stallscope.profiling.watch import forward_hooks
from stallscope.profiling.watch.steps import StepTracker

# Told of the end of a step with its gradient-free forwards and its fetches; returns whether to go on like that.
Take = Callable[[int, int], bool]


class ShortWay(Protocol):
    """What the hooks ask first."""

    tracker: StepTracker
    key: int  # identity of the optimizer
    thread: int

    def stop(self) -> None:
        """Have the next step go the long way; for other threads."""

    def begins(self) -> bool:
        """Note that the optimizer begins to step; False: this is one for the long way, as below."""

    def stepped(self) -> bool:
        """Note that it has stepped."""

    def fetched(self) -> bool:
        """Note that a DataLoader is asked for a batch, on that thread."""

    def settle(self) -> list[int] | None:
        """Tell the tracker of the steps so far. Returns the times of their ends (none: not noted); None: no news."""


class Counting:
    """Steps are only counted, with no forward hook in place: unprofiled windows, and all that follows the recordings.

    ``marks`` notes when steps ended, until ``until_ns`` or ``until_steps`` is reached; None: nobody asks.
    """

    __slots__ = ("count", "key", "marks", "thread", "tracker", "until_ns", "until_steps")

    def __init__(self, tracker: StepTracker, key: int, until: tuple[int, int] | None) -> None:
        self.tracker, self.key, self.thread = tracker, key, get_ident()
        self.count = 0  # steps that the tracker has not been told of
        self.marks: list[int] | None = None if until is None else []
        self.until_ns, self.until_steps = until or (0, 0)

    def stop(self) -> None:
        """Have the next step go the long way, while the ends of steps are noted; for other threads."""
        self.until_ns = 0

    def begins(self) -> bool:
        """Do nothing."""
        return self.thread == get_ident()

    def stepped(self) -> bool:
        """Count; while the ends of steps are noted, up to the time or the number that was given."""
        if self.thread != get_ident():
            return False
        if self.marks is not None:
            now = perf_counter_ns()
            if now >= self.until_ns or self.count >= self.until_steps:
                return False
            self.marks.append(now)
        self.count += 1
        return True

    def fetched(self) -> bool:
        """Count the fetch, where nobody asks which step it belongs to."""
        if self.marks is None:
            self.tracker.fetches += 1
        return self.marks is None

    def settle(self) -> list[int] | None:
        """Tell the tracker; counting goes on."""
        count, self.count = self.count, 0
        if not count:
            return None
        self.until_steps -= count
        marks, self.marks = self.marks, None if self.marks is None else []
        self.tracker.advance(count)
        return marks or []


class Strides:
    """Steps of a timing window, up to its last: only where each begins is seen, and ``take`` told.

    A step begins with the first fetch or forward after the optimizer has stepped: the forward hooks are in from there
    to the forward. ``grad`` tells whether gradients are on.
    """

    __slots__ = (
        *("_due", "_fetched", "_free", "_grad", "_left", "_take", "_taken"),
        *("key", "thread", "tracker"),
    )

    def __init__(
        self,
        tracker: StepTracker,
        key: int,
        steps: int,
        take: Take,
        *,
        grad: Callable[[], bool],
    ) -> None:
        self.tracker, self.key, self.thread = tracker, key, get_ident()
        self._due = False  # the optimizer has stepped, and the next step has not begun
        self._left, self._taken = steps, 0
        self._take, self._grad = take, grad
        self._free, self._fetched = tracker.held_so_far  # gradient-free forwards and fetches of the step that runs

    def stop(self) -> None:
        """Have the next end of an optimizer step go the long way; for other threads."""
        self._left = 0

    def begins(self) -> bool:
        """Do nothing; a second optimizer step without a forward or fetch in between goes the long way."""
        return self.thread == get_ident() and not self._due

    def stepped(self) -> bool:
        """Wait for what begins the next step; the last one goes the long way."""
        if self._left <= 0 or self._due or self.thread != get_ident():
            return False
        self._left -= 1
        self._due = True
        forward_hooks.lower()
        return True

    def fetched(self) -> bool:
        """Begin the step that is due; the forward hook stays in, to see whether gradients are on."""
        self.tracker.fetches += 1
        if self._due:
            self._begin()
        self._fetched += 1
        return True

    def called(self) -> bool:
        """Note a module call, likewise. Where something has been compiled since, it goes the long way."""
        if not forward_hooks.lift():
            return False
        if self._due:
            self._begin()
        self.tracker.root_forwards += 1
        if not self._grad():
            self.tracker.evaluation_forwards += 1
            self._free += 1
        return True

    def settle(self) -> None:
        """Tell the tracker all there is. Strides end with that."""
        self.tracker.advance(self._taken, fetched=self._fetched, gradient_free=self._free)
        self._taken = self._left = 0
        if self._due:
            self._due = False
            self.tracker.optimizer_end(self.key)

    def _begin(self) -> None:
        self._due = False
        self._taken += 1
        if not self._take(self._free, self._fetched):
            self._left = 0
        self._free = self._fetched = 0
