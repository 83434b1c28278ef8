"""Seeing less of a training gives the steps that seeing all of it gives, whatever a script does."""

from __future__ import annotations

import contextlib

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.modules import module as tables
from torch.utils.data import DataLoader

from stallscope.profiling.watch.events import Events
from stallscope.profiling.watch.hooks import Hooks
from stallscope.profiling.watch.sight import State

LEARNT = "dfA" * 5  # by which the tracker knows what a step is
EVENTS = "dfnAB"  # a fetch, a forward, one without gradients, the steps of two optimizers


class Script:
    """A training that does what letters say, under our hooks.

    ``ends`` holds, for each boundary after ``LEARNT``: after how many letters it came, and the fetches of its step.
    ``hooked``: how many forward hooks each call of the model met since. The first boundary leads to ``state``.
    """

    def __init__(self, state):
        self.state, self.seen, self.ends, self.hooked = state, 0, [], []
        self.generation = self.tracker = None
        self.model, self.x = torch.nn.Linear(2, 2), torch.ones(1, 2)
        self.model.register_forward_hook(lambda *_: self.hooked.append(len(tables._global_forward_pre_hooks)))
        self.optimizers = {name: torch.optim.SGD(self.model.parameters(), lr=0.1) for name in "AB"}
        self.batches = iter(DataLoader(torch.zeros(100, 1)))
        self.events = Events(self._failed)

    def run(self, letters):
        """Do it, with our hooks in torch meanwhile."""
        hooks = Hooks(self.events)
        hooks.install(torch, self)
        try:
            for letter in LEARNT:
                self._do(letter)
            self.tracker = self.events.tracker()
            self.generation = self.tracker.generation
            self.hooked.clear()
            for self.seen, letter in enumerate(letters, 1):
                self._do(letter)
            self.events.sight.settle()
        finally:
            hooks.remove()
        return self

    @property
    def doubted(self):
        """Whether the belief about steps has changed since; capture would begin anew."""
        return self.tracker.generation != self.generation

    def _do(self, letter):
        if letter == "d":
            next(self.batches)
        elif letter in "fn":
            with contextlib.nullcontext() if letter == "f" else torch.no_grad():
                self.model(self.x)
        else:
            self.optimizers[letter].step()

    # --- the observer ----------------------------------------------------------------------------

    def boundary(self, tracker):
        """Take a boundary; at the first one the window opens."""
        if self.tracker is None or self.doubted:
            return
        self.ends.append((self.seen, tracker.fetched))
        if len(self.ends) > 1 or self.state is State.ALL:
            return
        if self.state is State.FIRST:
            assert self.events.sight.glance(tracker)
        else:
            tracker.blind = self.events.sight.hide(tracker)
            self.events.sight.count(tracker, None)
        assert self.events.sight.state is self.state

    def counted(self, _tracker, marks):
        """Nobody has asked when steps ended."""
        assert marks == []

    def sight_lost(self, tracker):
        """See all again, as capture does."""
        self.events.sight.show()
        tracker.unblind()

    def _failed(self, error):
        raise error


scripts = st.text(EVENTS, max_size=40) | st.lists(st.sampled_from(["dfA", "fA", "n", "ffA"])).map("".join)


@settings(max_examples=60, deadline=None)
@given(letters=scripts)
@example("dfA" * 6)
@example("fA" * 4 + "nn" + "fA" * 4)
@example("dfA" * 3 + "dndn" + "dfA" * 3)
@example("fAA" * 4)
@example("fA" * 3 + "fAfB" * 5)
def test_the_first_call_of_each_step_tells_all_steps(letters):
    """The same boundaries after the same events, with the same fetches, until the belief about steps changes."""
    everything, first = Script(State.ALL).run(letters), Script(State.FIRST).run(letters)
    assert first.ends == everything.ends
    assert first.doubted == everything.doubted
    assert first.tracker.optimizer_steps == everything.tracker.optimizer_steps
    assert "B" in letters or first.tracker.total() == everything.tracker.total()


@settings(max_examples=30, deadline=None)
@given(letters=st.lists(st.sampled_from(["dfA", "fA", "n", "ffA", "AA"])).map("".join))
@example("dfA" * 6 + "n")
def test_counted_steps_are_as_many(letters):
    """No boundary comes any more, and at the end there are as many steps and optimizer steps."""
    everything, counted = Script(State.ALL).run(letters), Script(State.COUNTED).run(letters)
    assert counted.ends == everything.ends[:1]
    assert counted.tracker.optimizer_steps == everything.tracker.optimizer_steps
    assert counted.tracker.total() == everything.tracker.total()


def test_no_more_hooks_than_are_needed():
    """The call that begins a step takes the hooks out before anything else of it runs; where all is seen they stay."""
    everything, first = Script(State.ALL).run("fffA" * 4), Script(State.FIRST).run("fffA" * 4)
    assert everything.hooked == [1, 1, 1] * 4
    assert first.hooked == [0, 0, 0] * 4
    assert [seen for seen, _ in first.ends] == [1, 5, 9, 13]
