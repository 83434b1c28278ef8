"""The short way of a timing window: whatever a script does, it gives the boundaries that the long way gives."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stallscope.profiling.watch import forward_hooks, hooks, step_hooks
from stallscope.profiling.watch.steps import StepTracker

LEARNT = "dfA" * 5  # by which the tracker knows what a step is
EVENTS = "dfnAB"  # a fetch, a forward, one without gradients, the steps of two optimizers


class Script:
    """Hooks as a script would call them, at once and on one thread; ``short``: take the short way where it is open.

    ``ends`` holds, for each boundary after ``LEARNT``: after how many events, and what the step held.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, short: bool, steps: int = 99) -> None:
        self.short, self.steps, self.seen, self.taken = short, steps, 0, 0
        self.ends: list[tuple[int, int, int]] = []
        self.learnt = self.failed = self.grad = False
        self.hooked: bool = True  # forward hooks are in
        self.instead = None
        monkeypatch.setattr(forward_hooks, "lift", self._lift)
        monkeypatch.setattr(forward_hooks, "lower", self._lower)
        monkeypatch.setattr(forward_hooks, "shortcut", self._shortcut)
        monkeypatch.setattr(hooks, "anything_compiled", lambda: False)
        self.hooks = hooks.Hooks(self, self._fail)
        self.hooks._torch = SimpleNamespace(is_grad_enabled=lambda: self.grad)
        self.hooks.enabled = True
        compiler = SimpleNamespace(is_compiling=lambda: False)
        self.before, self.after = step_hooks._before(compiler, self.hooks), step_hooks._after(compiler, self.hooks)
        self.model = SimpleNamespace(_parameters={"weight": 1}, _buffers={}, _modules={})
        self.optimizers = {"A": object(), "B": object()}

    def _lift(self) -> bool:
        self.hooked = False
        return True

    def _lower(self) -> None:
        self.hooked = True

    def _shortcut(self, called: object) -> None:
        self.instead = called

    def _fail(self, error: Exception) -> None:
        raise error

    # --- the observer ----------------------------------------------------------------------------

    def boundary(self, tracker: StepTracker) -> None:
        """Take a boundary that came the long way; at the first one the window opens."""
        if not self.learnt or self.doubted:  # capture would begin anew
            return
        self._end(tracker.gradient_free, tracker.fetched)
        if len(self.ends) == 1 and self.hooks.glance(tracker) and self.short:
            self.hooks.stride(tracker, self.steps, self._take)

    def _take(self, free: int, fetched: int) -> bool:
        self.taken += 1
        self._end(free, fetched)
        return True

    def _end(self, free: int, fetched: int) -> None:
        self.ends.append((self.seen, free, fetched))

    def counted(self, _tracker: StepTracker, _marks: list[int]) -> None:
        """Nothing is only counted here."""

    def sight_lost(self, _tracker: StepTracker) -> None:
        """The forward hooks are never hidden here."""

    # --- the script ------------------------------------------------------------------------------

    def run(self, events: str) -> Script:
        """Do what the letters say."""
        for event in LEARNT:
            self._do(event)
        self.learnt, self.generation = True, self.tracker.generation
        for event in events:
            self.seen += 1
            self._do(event)
        return self

    def _do(self, event: str) -> None:
        if event == "d":
            self.hooks.fetch()
        elif event in "fn":
            self.grad = event == "f"
            if self.hooked:
                (self.instead or self.hooks.module_called)(self.model)
        else:
            self.before(self.optimizers[event], (), {})
            self.after(self.optimizers[event], (), {})

    @property
    def doubted(self) -> bool:
        """Whether the belief about steps has changed since."""
        return self.tracker.generation != self.generation

    @property
    def tracker(self) -> StepTracker:
        """What is believed of the steps."""
        return self.hooks.trackers[0]


def ways(events: str, steps: int = 99) -> tuple[Script, Script]:
    """The same events the long way and the short way."""
    with pytest.MonkeyPatch.context() as patch:
        long = Script(patch, short=False).run(events)
    with pytest.MonkeyPatch.context() as patch:
        short = Script(patch, short=True, steps=steps).run(events)
        short.hooks.settle()
    return long, short


@given(events=st.text(EVENTS, max_size=40) | st.lists(st.sampled_from(["dfA", "fA", "n", "ffA"])).map("".join))
@example("dfA" * 6)
@example("fA" * 4 + "nn" + "fA" * 4)
@example("dfA" * 3 + "dndn" + "dfA" * 3)
@example("fAA" * 4)
@example("fA" * 3 + "fAfB" * 5)
def test_both_ways_give_the_same_boundaries(events: str) -> None:
    """After the same events, with the same fetches and gradient-free forwards in each step, and as many steps.

    Until the belief about steps changes, which it does both ways.
    """
    long, short = ways(events)
    assert short.ends == long.ends
    assert short.doubted == long.doubted
    assert short.tracker.optimizer_steps == long.tracker.optimizer_steps
    assert "B" in events or short.tracker.total() == long.tracker.total()


def test_plain_steps_go_the_short_way() -> None:
    """Of eight boundaries the first opens the window; the other seven come the short way, and the long way has none."""
    long, short = ways("dfA" * 8)
    assert (long.taken, short.taken) == (0, 7)


def test_the_last_step_goes_the_long_way() -> None:
    """A window of five steps, told of four: the fifth boundary is the observer's, which closes the window there."""
    long, short = ways("dfA" * 8, steps=4)
    assert short.taken == 4
    assert short.ends == long.ends
