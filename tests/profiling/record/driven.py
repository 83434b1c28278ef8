"""A capture driven by hand, without torch: profiler, marks, forward hooks and run folder are specs of the real ones."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from unittest.mock import Mock, create_autospec

from stallscope.profiling.folder.export import RunFolder
from stallscope.profiling.machine.device import Host
from stallscope.profiling.mark.marks import Marks
from stallscope.profiling.record.capture import Capture
from stallscope.profiling.record.plan import make
from stallscope.profiling.record.recorder import Recorder
from stallscope.profiling.watch.sight import Sight
from stallscope.profiling.watch.steps import StepTracker

STEP_NS = 10_000_000
WORDS = {"begin_step": "step", "end_step": "end", "install": "mark", "remove": "unmark"}


class Clock:
    """A clock that only goes on when told to."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        """Say the time."""
        return self.now

    def tick(self, ns=STEP_NS):
        """Go on."""
        self.now += ns


def a_sight(*, removable):
    """Forward hooks that can be taken out, or not."""
    sight = create_autospec(Sight, instance=True)
    sight.hide.return_value = sight.glance.return_value = removable
    return sight


def a_folder():
    """A run folder that takes every trace: trace1, trace2, …."""
    folder = create_autospec(RunFolder, instance=True)
    folder.room_for.return_value = True
    folder.new_trace.side_effect = (Path(f"trace{number}") for number in itertools.count(1))
    folder.finished.side_effect = lambda plain, _error: plain.name
    return folder


def a_recorder():
    """A profiler that records the host."""
    recorder = create_autospec(Recorder, instance=True, notes=[], own=False)
    recorder.available.return_value = recorder.stop.return_value = True
    recorder.operations.return_value = None
    recorder.prepare.side_effect = lambda _device, detail: (["CPU"], detail.names)
    recorder.start.return_value = ["CPU"]
    return recorder


def marks(*, installs=True, notes=()):
    """Marks that can be put in, or say why not."""
    made = create_autospec(Marks, instance=True, notes=list(notes))
    made.install.return_value = installs
    return made


class Training:
    """A training loop, stepped by hand. ``new_marks`` makes the marks of an attribution window, if there are any."""

    def __init__(self, *, removable=False, device=None, clock=None, new_marks=lambda: None, **plan):
        self.tracker, self.clock = StepTracker(), clock
        self.recorder, self.folder, self.sight = a_recorder(), a_folder(), a_sight(removable=removable)
        self.device = device or Host()
        self.report = Mock()
        self._all = Mock()
        self._all.attach_mock(self.recorder, "recorder")
        self.capture = Capture(
            make(**{"skip": 5, "warmup": 3, "steps": 20, **plan}),
            recorder=self.recorder,
            device=lambda: self.device,
            sight=self.sight,
            output=self.folder,
            new_marks=lambda: self._attached(new_marks()),
            clock=clock or time.perf_counter_ns,
            report=self.report,
        )

    def step(self, *, key=1, before=lambda: None):
        """One iteration: a forward (unless hidden), then the optimizer."""
        if not self.tracker.blind and self.tracker.forward(grad=True):
            self.capture.boundary(self.tracker)
        before()
        if self.tracker.optimizer_start(key) or self.tracker.optimizer_end(key):
            self.capture.boundary(self.tracker)

    def steps(self, count, ns=STEP_NS):
        """So many iterations of so long."""
        for _ in range(count):
            self.step(before=lambda: self.clock.tick(ns) if self.clock else None)
        return self

    def kinds(self):
        """Round, kind, first step and number of steps of each window."""
        return [(each.round, each.kind, each.first_step, each.steps) for each in self.capture.windows]

    def calls(self):
        """What the profiler was told, and the marks, in order, a word each with what matters of it."""
        words = []
        for call in self._all.mock_calls:
            name = call[0].rpartition(".")[2]
            if name == "prepare":
                words.append(f"prepare {call.args[0]}" + "".join(f" +{each}" for each in call.args[1].names))
            elif name not in ("available", "operations", "lose"):
                words.append(" ".join([WORDS.get(name, name), *map(str, call.args if name == "begin_step" else ())]))
        return words

    def _attached(self, made):
        if made is not None:
            self._all.attach_mock(made, "marks")
        return made


def trained(count, **options):
    """A training of so many steps of 10 ms, finished."""
    training = Training(clock=Clock(), **options).steps(count)
    training.capture.finish()
    return training
