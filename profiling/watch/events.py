"""What happens in torch → events of the step trackers, one tracker for each thread.

A failure of ours switches everything off and is told once; the script never sees it.
"""

# ruff: noqa: SLF001 - torch and its modules are watched from inside

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType
from typing import Any, Protocol

from stallscope.profiling.watch import forward_hooks
from stallscope.profiling.watch.guarded import Guarded
from stallscope.profiling.watch.marked import MarkedSteps
from stallscope.profiling.watch.set_up import loader_settings, optimizer_settings
from stallscope.profiling.watch.sight import Sight
from stallscope.profiling.watch.steps import StepTracker
from stallscope.traces.model.manifest import LoaderSettings, OptimizerSettings

MAX_THREADS = 64  # that only call modules; threads with an optimizer are always followed


class Observer(Protocol):
    """Who is told of step boundaries: the capture, which this folder may not know."""

    def boundary(self, tracker: StepTracker) -> None:
        """Take a step boundary, on the thread where it happened."""

    def sight_lost(self, tracker: StepTracker) -> None:
        """Note that ``tracker`` needs the forward hooks back."""

    def counted(self, tracker: StepTracker, marks: list[int]) -> None:
        """Take the ends of steps that were only counted; none if nobody asked for them."""

    def let_go(self) -> None:
        """Note that steps were found by the hooks so far, and that the program says them from now on."""


class _Thread(threading.local):
    """What is known of one thread."""

    def __init__(self) -> None:
        self.tracker: StepTracker | None = None
        self.depth = 0  # of module calls
        self.installed = -1  # which installation of the forward hooks ``depth`` belongs to
        self.optimizers: list[int] = []  # identities of the frames of running optimizer steps


class Events:
    """Takes what the hooks see. ``failed``: is told of a failure of ours, behind which all is off."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self.enabled = False
        self.trackers: list[StepTracker] = []
        self.guarded = Guarded(self.fail)
        self.sight = Sight(self.trackers)
        self.loaders: dict[LoaderSettings, None] = {}  # each kind that was asked for a batch
        self.optimizers: dict[int, OptimizerSettings] = {}  # each that has stepped, by its id
        self.stepping: dict[int, list[tuple[CodeType, str, int]]] = {}  # calls around the first step of each of them
        self._failed = failed
        self._observer: Observer
        self._thread = _Thread()
        self._torch: Any = None
        self._main: StepTracker | None = None  # of the thread that last called a module
        self._backward_id: Callable[[], int] = lambda: -1

    def begin(self, torch: Any, observer: Observer) -> None:
        """Take events from now on, and tell ``observer`` of steps."""
        self._torch, self._observer, self.enabled = torch, observer, True
        self._backward_id = getattr(torch._C, "_current_graph_task_id", self._backward_id)
        listen = partial(forward_hooks.listen, torch, self.module_called, self.module_left)
        self.sight.begin(listen, observer.counted)

    def disable(self) -> None:
        """Switch off without touching torch; hooks that remain return at once."""
        self.enabled = False
        self.sight.end()

    def fail(self, error: Exception) -> None:
        """Switch off for good after a failure of ours."""
        if self.enabled:
            self.disable()
            self._failed(error)

    # --- events ----------------------------------------------------------------------------------

    def tracker(self) -> StepTracker:
        """The tracker of this thread, which knows all by then but for steps that are only counted."""
        tracker = self._thread.tracker
        if tracker is None:
            tracker = self._thread.tracker = StepTracker()
            if len(self.trackers) < MAX_THREADS:
                self.trackers.append(tracker)
        return tracker

    def mark(self) -> None:
        """Note that the program says: here ends a step. The hooks find none on this thread from then on."""
        if self.enabled:
            with self.guarded:
                tracker = self._marked_tracker()
                tracker.mark()
                self._observer.boundary(tracker)

    def module_called(self, module: Any) -> None:
        """Note a module call, root or not."""
        if not self.enabled:
            return
        thread, sight = self._thread, self.sight
        if thread.depth and thread.installed == sight.installed:
            thread.depth += 1
            return
        thread.installed, thread.depth = sight.installed, 1
        with self.guarded:
            if self._backward_id() == -1:  # else recomputed by checkpointing: no step of its own
                self._root_called(thread, module)

    def _root_called(self, thread: _Thread, module: Any) -> None:
        tracker = self._main = thread.tracker or self.tracker()
        if thread.optimizers and not _running(thread):
            tracker.optimizer_failed()
        stateful = tracker.optimizer_steps > 0 or _stateful(module)
        if tracker.forward(grad=self._torch.is_grad_enabled(), stateful=stateful):
            self._observer.boundary(tracker)
        if self.sight.called(tracker):
            thread.depth = 0

    def module_left(self, _module: Any, _output: Any) -> None:
        """Note the end of a module call."""
        if self._thread.depth:
            self._thread.depth -= 1

    def fetch(self, iterator: Any) -> None:
        """Note that a DataLoader is asked for a batch."""
        if self.sight.fetched():
            return
        self.loaders.setdefault(loader_settings(iterator))
        tracker = self.tracker()
        if tracker.fetch():
            self._observer.boundary(tracker)

    def optimizer_starts(self, optimizer: Any, frame: FrameType) -> None:
        """Note the start of an optimizer step; wrappers around other optimizers count once."""
        thread = self._thread
        if id(optimizer) not in self.optimizers and len(self.optimizers) < MAX_THREADS:
            self.optimizers[id(optimizer)] = optimizer_settings(optimizer)
            self.stepping[id(optimizer)] = _calls_around(frame)
        if thread.optimizers:
            _running(thread)
        thread.optimizers.append(id(frame))
        if len(thread.optimizers) > 1:
            self.sight.nested = True
            return
        thread.depth = 0  # a training loop inside a module, or a depth left over from an interrupted call
        tracker = thread.tracker or self._stepping_tracker()
        if tracker.optimizer_start(id(optimizer)):
            self._observer.boundary(tracker)

    def optimizer_ends(self, optimizer: Any) -> None:
        """Note the end of an optimizer step."""
        thread = self._thread
        if thread.optimizers:
            thread.optimizers.pop()
        if not thread.optimizers:
            self._stepped(optimizer)

    def steps_seen(self) -> int:
        """How often optimizers have stepped on this thread."""
        self.sight.settle()
        return self.tracker().optimizer_steps

    def scaler_stepped(self, optimizer: Any, steps_before: int) -> None:
        """Note ``GradScaler.step``: if the optimizer did not step, it was made to skip."""
        if self.steps_seen() == steps_before:
            self._stepped(optimizer)

    def scaler_updated(self) -> None:
        """Note ``GradScaler.update``."""
        tracker = self.tracker()
        if tracker.scaler_update():
            self._observer.boundary(tracker)
        if not self.sight.stepped(tracker):
            self._observer.sight_lost(tracker)

    def _stepped(self, optimizer: Any) -> None:
        if self.sight.counting is not None:
            self.sight.settle()
        tracker = self._thread.tracker or self._stepping_tracker()
        if tracker.optimizer_end(id(optimizer), in_backward=self._backward_id() != -1):
            self._observer.boundary(tracker)
        if not self.sight.stepped(tracker):
            self._observer.sight_lost(tracker)

    def _stepping_tracker(self) -> StepTracker:
        """The tracker of this thread; for an optimizer on one of autograd's own threads, the one it works for."""
        if self._thread.tracker is None and self._main is not None and self._backward_id() != -1:
            return self._main
        return self.tracker()

    def _marked_tracker(self) -> MarkedSteps:
        """The tracker of this thread, which from its first mark on is one that finds no other steps."""
        tracker = self.tracker()
        if isinstance(tracker, MarkedSteps):
            return tracker
        self.sight.settle()
        self.sight.counting = None
        self._observer.let_go()
        marked = self._thread.tracker = MarkedSteps(tracker)
        self.trackers[:] = [*(each for each in self.trackers if each is not tracker), marked]
        return marked


def _running(thread: _Thread) -> bool:
    """Forget optimizer steps that an exception has left; whether any is still running."""
    alive: set[int] = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        alive.add(id(frame))
        frame = frame.f_back
    thread.optimizers[:] = [each for each in thread.optimizers if each in alive]
    return bool(thread.optimizers)


def _calls_around(frame: FrameType | None) -> list[tuple[CodeType, str, int]]:
    """Code, module and line of each call from ``frame`` outwards; no frame is kept."""
    found = []
    while frame is not None:
        found.append((frame.f_code, str(frame.f_globals.get("__name__", "")), frame.f_lineno or 0))
        frame = frame.f_back
    return found


def _stateful(module: Any) -> bool:
    """Whether a module has children, parameters or buffers; losses and activations have none."""
    own = (*module._parameters.values(), *module._buffers.values())
    return bool(module._modules) or any(each is not None for each in own)
