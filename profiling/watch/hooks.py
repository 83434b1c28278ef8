"""torch's hooks → events for the step trackers, one tracker for each thread.

Installed: global forward hooks on the ``Module.__call__`` path (taken out where they are not needed), optimizer step
hooks, and thin wrappers around the DataLoader's ``__next__`` and GradScaler's ``step`` and ``update``. Never: backward
hooks (they break in-place modules), patches of ``Tensor``. A failure of ours switches everything off and is reported
once; the script never sees it.
"""

# ruff: noqa: SLF001 - torch and its modules are watched from inside

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from threading import get_ident
from types import FrameType, ModuleType
from typing import Any, Protocol

from stallscope.profiling.watch import forward_hooks, step_hooks, wrappers
from stallscope.profiling.watch.compiled import anything_compiled
from stallscope.profiling.watch.marked import MarkedSteps
from stallscope.profiling.watch.short_ways import Counting, ShortWay, Strides, Take
from stallscope.profiling.watch.steps import StepTracker

MAX_THREADS = 64  # that only call modules; threads with an optimizer are always followed


_kept: list[Any] = []  # forward hooks of recordings that have ended, left in for the sake of compiled code


class Observer(Protocol):
    """Who is told of step boundaries."""

    def boundary(self, tracker: StepTracker) -> None:
        """Take a step boundary, on the thread where it happened."""

    def sight_lost(self, tracker: StepTracker) -> None:
        """Note that ``tracker`` needs the forward hooks back."""

    def counted(self, tracker: StepTracker, marks: list[int]) -> None:
        """Take the ends of steps that were only counted; none if nobody asked for them."""

    def handed_over(self) -> None:
        """Note that steps were found by the hooks so far, and that the program says them from now on."""


class _Thread(threading.local):
    """What the hooks know of one thread."""

    def __init__(self) -> None:
        self.tracker: StepTracker | None = None
        self.depth = 0  # of module calls
        self.sight = -1  # which installation of the forward hooks ``depth`` belongs to
        self.optimizers: list[int] = []  # identities of the frames of running optimizer steps


class Hooks:
    """All that is hung into torch, and the way back out."""

    def __init__(self, observer: Observer, failed: Callable[[Exception], None]) -> None:
        self.enabled = False
        self.trackers: list[StepTracker] = []
        self.hidden = False  # the forward hooks are taken out
        self.short: ShortWay | None = None  # what is asked first
        self._glancing: StepTracker | None = None  # whose first module call of a step is the only one to be seen
        self._observer, self._failed = observer, failed
        self._thread = _Thread()
        self._torch: Any = None
        self._main: StepTracker | None = None  # of the thread that last called a module
        self._sight = 0
        self._stop_listening: Callable[..., None] = lambda **_: None
        self._undo: list[Callable[[], None]] = []
        self._undo_discount: Callable[[], None] = lambda: None
        self._backward_id: Callable[[], int] = lambda: -1
        self._at_fork = False
        self._nested = False  # optimizers have been seen to step inside each other

    # --- in and out ------------------------------------------------------------------------------

    def install(self, torch: ModuleType) -> None:
        """Hang everything in. Called once torch has been imported."""
        self._torch = torch
        self._backward_id = getattr(torch._C, "_current_graph_task_id", self._backward_id)
        self.enabled = True
        if hasattr(os, "register_at_fork") and not self._at_fork:
            self._at_fork = True
            os.register_at_fork(after_in_child=self.disable)
        self._undo.extend(step_hooks.hang_in(torch, self))
        self._undo.append(wrappers.wrap_fetches(self._torch, self))
        self._undo.extend(wrappers.wrap_scalers(self._torch, self))
        self._undo_discount = wrappers.discount_our_hooks(self._torch)
        self.hidden = True
        self.show()

    def remove(self, *, for_good: bool = True) -> None:
        """Take everything out again. Not ``for_good``: the program goes on, and may call compiled code.

        Forward hooks, which do nothing any more, stay in then: without them it would be compiled again.
        """
        self.disable()
        self._stop_listening(for_good=for_good)
        if not forward_hooks.own():
            self._undo.append(self._undo_discount)
        while self._undo:
            self._undo.pop()()

    def disable(self) -> None:
        """Switch off without touching torch; what remains returns at once."""
        self.enabled = False
        self._glancing = None
        self.short = None
        forward_hooks.shortcut(None)

    def fail(self, error: Exception) -> None:
        """Switch off for good after a failure of ours."""
        if self.enabled:
            self.disable()
            self._failed(error)

    # --- sight -----------------------------------------------------------------------------------

    def hide(self, tracker: StepTracker) -> bool:
        """Take the forward hooks out, where an optimizer tells the steps of ``tracker`` and nobody else needs them.

        Where something is compiled they stay: compiled code checks for them and would be compiled again.
        """
        if anything_compiled() or not self._dispensable(tracker):
            return False
        self._end_glance()
        self.hidden = True
        self._stop_listening()
        return True

    def _dispensable(self, tracker: StepTracker) -> bool:
        if isinstance(tracker, MarkedSteps):
            return True
        others = any(each is not tracker and each.optimizer_steps for each in self.trackers)
        return tracker.source == "optimizer" and not tracker.bursts and tracker.period.settled and not others

    def glance(self, tracker: StepTracker) -> bool:
        """See of the module calls only the first after each optimizer step, which is all that boundaries need.

        The hooks are out from that call to the next optimizer step. Under the same conditions as ``hide``.
        """
        if self.hidden or isinstance(tracker, MarkedSteps) or anything_compiled() or not self._dispensable(tracker):
            return False
        self._glancing = tracker
        return True

    def _end_glance(self) -> None:
        if self._glancing is not None:
            self._glancing = None
            self._sight += 1
            forward_hooks.lower()

    def show(self) -> None:
        """Put the forward hooks in."""
        self.settle()
        self._end_glance()
        if not self.hidden or not self.enabled:
            return
        self.short = None
        self._sight += 1
        self._stop_listening = forward_hooks.listen(self._torch, *_listeners(self))
        self.hidden = False

    def count(self, tracker: StepTracker, until: tuple[int, int] | None) -> None:
        """Only count the steps of ``tracker``, whose thread this is, as far as that is possible; forwards are hidden.

        ``until``: a time (``perf_counter_ns``) and a number of steps up to which each step's end is noted as well.
        """
        key = self._sole_optimizer(tracker)
        if self.hidden and key is not None:
            self.short = Counting(tracker, key, until)

    def long_way(self) -> None:
        """Have the next step go the long way; for other threads."""
        if self.short is not None:
            self.short.stop()

    def stride(self, tracker: StepTracker, steps: int, take: Take) -> None:
        """Tell ``take`` alone where the next ``steps`` steps end, as far as that is possible, during a glance."""
        key = self._sole_optimizer(tracker)
        inside = bool(self._thread.optimizers)  # LBFGS: steps begin where the optimizer's do
        if self._glancing is tracker and key is not None and tracker.seen_to_begin and not inside:
            self.short = Strides(tracker, key, steps, take, grad=self._torch.is_grad_enabled)
            forward_hooks.shortcut(self._called_in_stride)

    def _sole_optimizer(self, tracker: StepTracker) -> int | None:
        return None if self._nested or tracker.scaler_updates else tracker.sole_optimizer

    def settle(self) -> None:
        """Tell the tracker, and the observer, of the steps that went a short way. Strides end with that."""
        short = self.short
        if isinstance(short, Strides):
            if short.thread != get_ident():
                short.stop()
                return
            self.short = None
            forward_hooks.shortcut(None)
            forward_hooks.lower()
        if short is not None and (marks := short.settle()) is not None:
            self._observer.counted(short.tracker, marks)

    # --- events ----------------------------------------------------------------------------------

    def tracker(self) -> StepTracker:
        """Return the tracker of this thread, which knows all there is to know by then but for what is only counted."""
        if isinstance(self.short, Strides):
            self.settle()
        tracker = self._thread.tracker
        if tracker is None:
            tracker = self._thread.tracker = StepTracker()
            if len(self.trackers) < MAX_THREADS:
                self.trackers.append(tracker)
        return tracker

    def mark(self) -> None:
        """Note that the program says: here ends a step. The hooks find none on this thread from then on."""
        if not self.enabled:
            return
        try:
            tracker = self.tracker()
            if not isinstance(tracker, MarkedSteps):
                self.settle()
                self.short = None
                self._observer.handed_over()
                self.trackers = [each for each in self.trackers if each is not tracker]
                tracker = self._thread.tracker = MarkedSteps(tracker)
                self.trackers.append(tracker)
            tracker.mark()
            self._observer.boundary(tracker)
        except Exception as error:  # noqa: BLE001 - nothing of ours may reach the program
            self.fail(error)

    def module_called(self, module: Any) -> None:
        """Note a module call, root or not."""
        thread = self._thread
        if thread.depth and thread.sight == self._sight:
            thread.depth += 1
            return
        thread.sight, thread.depth = self._sight, 1
        if self._backward_id() != -1:  # recomputed by checkpointing: no step of its own
            return
        tracker = self._main = self.tracker()
        if thread.optimizers and not self._running(thread):
            tracker.optimizer_failed()
        stateful = tracker.optimizer_steps > 0 or _stateful(module)
        if tracker.forward(grad=self._torch.is_grad_enabled(), stateful=stateful):
            self._observer.boundary(tracker)
        if self._glancing is tracker:
            if forward_hooks.lift():  # out until the optimizer has stepped
                thread.depth = 0
            else:
                self._glancing = None

    def module_left(self) -> None:
        """Note the end of a module call."""
        if self._thread.depth:
            self._thread.depth -= 1

    def fetch(self) -> None:
        """Note that a DataLoader is asked for a batch."""
        short = self.short
        if short is not None and short.thread == get_ident():
            if short.fetched():
                return
            self.settle()
        tracker = self.tracker()
        if tracker.fetch():
            self._observer.boundary(tracker)

    def optimizer_starts(self, optimizer: Any, frame: FrameType) -> None:
        """Note the start of an optimizer step; wrappers around other optimizers count once."""
        thread = self._thread
        if thread.optimizers:
            self._running(thread)
        thread.optimizers.append(id(frame))
        if len(thread.optimizers) > 1:
            self._nested = True
            return
        thread.depth = 0  # a training loop inside a module, or a depth left over from an interrupted call
        tracker = self._stepping_tracker()
        if tracker.optimizer_start(id(optimizer)):
            self._observer.boundary(tracker)

    def optimizer_ends(self, optimizer: Any) -> None:
        """Note the end of an optimizer step."""
        thread = self._thread
        if thread.optimizers:
            thread.optimizers.pop()
        if not thread.optimizers:
            self._stepped(optimizer)

    def _stepped(self, optimizer: Any) -> None:
        self.settle()
        tracker = self._stepping_tracker()
        if tracker.optimizer_end(id(optimizer), in_backward=self._backward_id() != -1):
            self._observer.boundary(tracker)
        self._check_sight(tracker)

    def steps_seen(self) -> int:
        """Return how often optimizers have stepped on this thread."""
        self.settle()
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
        self._check_sight(tracker)

    def _check_sight(self, tracker: StepTracker) -> None:
        if self._glancing is tracker:
            forward_hooks.lower()
        elif self._glancing is not None:  # a second thread trains: it needs them, too
            self._end_glance()
        if self.hidden and not tracker.blind:
            self._observer.sight_lost(tracker)

    def _stepping_tracker(self) -> StepTracker:
        """Return this thread's tracker; for an optimizer on one of autograd's own threads, the one it works for."""
        if self._thread.tracker is None and self._main is not None and self._backward_id() != -1:
            return self._main
        return self.tracker()

    def _running(self, thread: _Thread) -> bool:
        """Forget optimizer steps that an exception has left; whether any is still running."""
        alive: set[int] = set()
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            alive.add(id(frame))
            frame = frame.f_back
        thread.optimizers[:] = [each for each in thread.optimizers if each in alive]
        return bool(thread.optimizers)

    def _called_in_stride(self, module: Any) -> None:
        """Take the first call of a module after the optimizer has stepped."""
        if not self.enabled:
            return
        try:
            short = self.short
            if isinstance(short, Strides) and short.thread == get_ident() and short.called():
                return
            self.module_called(module)
        except Exception as error:  # noqa: BLE001 - nothing of ours may reach the program
            self.fail(error)


def _listeners(hooks: Hooks) -> tuple[Callable[[Any], None], Callable[[Any, Any], None]]:
    """Return what listens to the forward hooks."""

    def called(module: Any) -> None:
        if hooks.enabled:
            try:
                hooks.module_called(module)
            except Exception as error:  # noqa: BLE001
                hooks.fail(error)

    def left(_module: Any, _output: Any) -> None:
        if hooks.enabled:
            try:
                hooks.module_left()
            except Exception as error:  # noqa: BLE001
                hooks.fail(error)

    return called, left


def _stateful(module: Any) -> bool:
    """Whether a module has children, parameters or buffers; losses and activations have none."""
    own = (*module._parameters.values(), *module._buffers.values())
    return bool(module._modules) or any(each is not None for each in own)
