"""How much of a training is seen: the less, the less it costs. One state machine.

    OFF ──begin──▶ ALL ──glance──▶ FIRST
                    ▲ │               │
                show│ └──────hide─────┴──▶ HIDDEN ──count──▶ COUNTED

``show`` leads to ALL from anywhere, ``end`` to OFF. FIRST falls back to ALL where a second thread trains, or something
has been compiled. Less than ALL is seen only of a thread whose optimizer tells its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from threading import get_ident
from time import perf_counter_ns

from stallscope.profiling.watch import forward_hooks
from stallscope.profiling.watch.compiled import anything_compiled
from stallscope.profiling.watch.marked import MarkedSteps
from stallscope.profiling.watch.steps import StepTracker


class State(Enum):
    """What is seen."""

    OFF = "nothing"
    ALL = "each module call"
    FIRST = "of each step the first module call: the forward hooks are out from there to the optimizer's step"
    HIDDEN = "no module call"
    COUNTED = "no module call, and of the steps of one optimizer only their number, and for a while their ends"


class Counting:
    """Counts the steps of one optimizer on the thread that makes it, in a few lines: more would not be in the cache.

    ``marks`` notes when steps ended, until ``until_ns`` or ``until_steps`` is reached; None: nobody asks.
    """

    __slots__ = ("count", "key", "marks", "thread", "tracker", "until_ns", "until_steps")

    def __init__(self, tracker: StepTracker, key: int, until: tuple[int, int] | None) -> None:
        self.tracker, self.key, self.thread = tracker, key, get_ident()
        self.count = 0  # steps that the tracker has not been told of
        self.marks: list[int] | None = None if until is None else []
        self.until_ns, self.until_steps = until or (0, 0)

    def is_of(self, optimizer: object) -> bool:
        """Whether its steps are counted, on this thread."""
        return self.key == id(optimizer) and self.thread == get_ident()

    def stepped(self) -> bool:
        """Count a step; False: this one, which the tracker has to be told of, is beyond the time or number given."""
        if self.marks is not None:
            now = perf_counter_ns()
            if now >= self.until_ns or self.count >= self.until_steps:
                return False
            self.marks.append(now)
        self.count += 1
        return True

    def settle(self) -> list[int] | None:
        """Tell the tracker of the steps so far. Returns their ends (none: not noted); None: there were no steps."""
        count, self.count = self.count, 0
        if not count:
            return None
        self.until_steps -= count
        marks, self.marks = self.marks, None if self.marks is None else []
        self.tracker.advance(count)
        return marks or []


class Sight:
    """The state, and the forward hooks that it needs. ``trackers``: all there are by now."""

    def __init__(self, trackers: list[StepTracker]) -> None:
        self.state = State.OFF
        self.counting: Counting | None = None  # in COUNTED
        self.nested = False  # optimizers have been seen to step inside each other
        self.hidden_once = False  # module calls have not been seen throughout
        self.installed = 0  # times that the forward hooks have been put in; depths of calls begin anew with each
        self._trackers = trackers
        self._first_of: StepTracker | None = None  # in FIRST
        self._listen: Callable[[], Callable[..., None]] = lambda: self._stop
        self._stop: Callable[..., None] = lambda **_: None
        self._counted: Callable[[StepTracker, list[int]], None] = lambda _tracker, _marks: None

    def begin(
        self, listen: Callable[[], Callable[..., None]], counted: Callable[[StepTracker, list[int]], None]
    ) -> None:
        """See all. ``listen`` puts the forward hooks in, and returns what takes them out.

        ``counted`` takes the ends of steps that were only counted.
        """
        self._listen, self._counted, self.state = listen, counted, State.HIDDEN
        self.show()

    def end(self) -> None:
        """See nothing any more, without touching torch."""
        self.state, self.counting, self._first_of = State.OFF, None, None

    def take_out(self, *, for_good: bool) -> None:
        """Take the forward hooks out behind ``end``, but not from under compiled code, unless ``for_good``."""
        self._stop(for_good=for_good)

    # --- what capture asks for -------------------------------------------------------------------

    def show(self) -> None:
        """See all, after what was only counted has been told."""
        self.settle()
        self._end_first()
        if self.state in (State.HIDDEN, State.COUNTED):
            self.state, self.counting = State.ALL, None
            self.installed += 1
            self._stop = self._listen()

    def hide(self, tracker: StepTracker) -> bool:
        """See no module calls, where an optimizer tells the steps of ``tracker`` and nobody else needs them.

        Where something is compiled the hooks stay: compiled code checks for them and would be compiled again.
        """
        if self.state is State.OFF or anything_compiled() or not self._dispensable(tracker):
            return False
        self._end_first()
        self.state, self.hidden_once = State.HIDDEN, True
        self._stop()
        return True

    def glance(self, tracker: StepTracker) -> bool:
        """See of module calls the first of each step, which is all that boundaries need; where ``hide`` would do."""
        if self.state is not State.ALL or isinstance(tracker, MarkedSteps):
            return False
        if anything_compiled() or not self._dispensable(tracker):
            return False
        self.state, self.hidden_once, self._first_of = State.FIRST, True, tracker
        return True

    def count(self, tracker: StepTracker, until: tuple[int, int] | None) -> None:
        """Only count the steps of ``tracker``, whose thread this is, if one optimizer makes them all.

        ``until``: a time (``perf_counter_ns``) and a number of steps up to which each step's end is noted as well.
        """
        key = None if self.nested or tracker.scaler_updates else tracker.sole_optimizer
        if self.state is State.HIDDEN and key is not None:
            self.state, self.counting = State.COUNTED, Counting(tracker, key, until)

    def uncount(self) -> None:
        """Have the tracker told of the next step, while ends are noted; for other threads."""
        if self.counting is not None:
            self.counting.until_ns = 0

    # --- what events ask, and tell ---------------------------------------------------------------

    def settle(self) -> None:
        """Tell of the steps that were only counted."""
        counting = self.counting
        if counting is not None and (marks := counting.settle()) is not None:
            self._counted(counting.tracker, marks)

    def fetched(self) -> bool:
        """Count a fetch of the thread whose steps are only counted, where nobody asks to which step it belongs."""
        counting = self.counting
        if counting is None or counting.thread != get_ident():
            return False
        if counting.marks is None:
            counting.tracker.fetches += 1
            return True
        self.settle()
        return False

    def called(self, tracker: StepTracker) -> bool:
        """Note a root call of ``tracker``'s thread; whether it was the last to be seen before the optimizer steps."""
        if tracker is not self._first_of:
            return False
        if forward_hooks.lift():
            return True
        self.state, self._first_of = State.ALL, None
        return False

    def stepped(self, tracker: StepTracker) -> bool:
        """Note a step of an optimizer that ``tracker`` was told of; False: it needs to see more."""
        if tracker is self._first_of:
            forward_hooks.lower()
        elif self._first_of is not None:  # a second thread trains
            self._end_first()
        return tracker.blind or self.state not in (State.HIDDEN, State.COUNTED)

    def _dispensable(self, tracker: StepTracker) -> bool:
        if isinstance(tracker, MarkedSteps):
            return True
        others = any(each is not tracker and each.optimizer_steps for each in self._trackers)
        return tracker.source == "optimizer" and not tracker.bursts and tracker.period.settled and not others

    def _end_first(self) -> None:
        if self._first_of is not None:
            self.state, self._first_of = State.ALL, None
            self.installed += 1
            forward_hooks.lower()
