"""The capture plan at work: step boundaries in, recorded windows out.

Everything here runs on the thread on which the steps happen (its *owner*); profilers must be stopped where they were
started. Knows torch only through ``Recorder`` and ``Device``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from stallscope.profiling.device import Device
from stallscope.profiling.pace import Pace
from stallscope.profiling.plan import Phase, Plan, Round, unusual
from stallscope.profiling.ports import Output, Sight
from stallscope.profiling.recorder import Recorder
from stallscope.profiling.steps import StepTracker
from stallscope.traces.manifest import Window

RESTARTS = 8  # times that the belief about steps may change before capture gives up
FOREIGN_WAIT = 2.0  # seconds that another thread's profiler waits for ours to stop


class Capture:
    """Follows one tracker through the plan. ``windows`` holds the complete rounds' windows."""

    def __init__(
        self,
        plan: Plan,
        *,
        recorder: Recorder,
        device: Callable[[], Device],
        sight: Sight,
        output: Output,
        pace: Pace | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
        report: Callable[[Phase, int, int], None] = lambda _phase, _step, _ns: None,
    ) -> None:
        self.plan = plan
        self.windows: list[Window] = []
        self.owner: StepTracker | None = None
        self.phase = Phase.SKIP
        self.device_name = "cpu"
        self.lost_to_others = 0  # windows given up because another profiler ran
        self._recorder, self._find_device, self._sight, self._output = recorder, device, sight, output
        self._clock, self._report, self._pace = clock, report, pace or Pace()
        self._device: Device = device()
        self._opened = self._last = 0  # when the window, and its last step, began
        self._round = 0
        self._generation = -1
        self._restarts = 0
        self._given_up = False
        self._their_session = False  # another profiler records or warms up
        self._owner_thread = 0
        self._stop_asked = threading.Event()
        self._stopped = threading.Event()
        self._on_adopt: Callable[[], bool] = lambda: True
        self._reset_window()

    def on_adopt(self, watch_thread: Callable[[], bool]) -> None:
        """Call ``watch_thread`` on the thread that capture starts to follow; False: do not follow it."""
        self._on_adopt = watch_thread

    # --- events ----------------------------------------------------------------------------------

    def boundary(self, tracker: StepTracker) -> None:
        """Take a step boundary of ``tracker``, on its thread."""
        if self._stop_asked.is_set():
            self._answer_stop(tracker)
        if self._paused or not self._follows(tracker):
            return
        now = self._clock()
        self._report(self.phase, tracker.completed, now - self._last)
        match self.phase:
            case Phase.SKIP:
                self._after_skip(tracker)
            case Phase.UNPROFILED:
                self._after_unprofiled_step(tracker, now)
            case Phase.WARMUP:
                self._after_warmup_step(tracker)
            case Phase.TIMING:
                self._after_timed_step(tracker, now)
            case Phase.DONE:
                self._last = now
                self._rest()

    def counted(self, tracker: StepTracker, marks: list[int]) -> None:
        """Take the ends of steps that were only counted."""
        if tracker is self.owner and self.phase is Phase.UNPROFILED:
            for mark in marks:
                self._note_step(tracker, mark)
                tracker.gradient_free = tracker.fetched = 0

    def sight_lost(self, tracker: StepTracker) -> None:
        """Note that ``tracker`` needs forwards to tell steps apart; a window without them is void."""
        self._sight.show()
        if tracker is self.owner and self.phase is Phase.UNPROFILED:
            self._leave_window()

    def pause(self) -> None:
        """Stop recording at once, since two profilers crash; our open window is given up."""
        if self.phase in (Phase.WARMUP, Phase.TIMING) and threading.get_ident() != self._owner_thread:
            self._stopped.clear()
            self._stop_asked.set()
            self._stopped.wait(FOREIGN_WAIT)
            self._stop_asked.clear()
        elif self.phase is not Phase.DONE:
            self._leave_window()
        self.lost_to_others += 1

    def session_starts(self) -> None:
        """Note that another profiler is about to record or to warm up."""
        self.pause()
        self._their_session = True

    def session_ends(self) -> None:
        """Note that it has ended."""
        self._their_session = False

    @property
    def recording(self) -> bool:
        """Whether our profiler is warming up or recording."""
        return self.phase in (Phase.WARMUP, Phase.TIMING)

    @property
    def _paused(self) -> bool:
        return self._given_up or self._their_session

    def thread_ends(self) -> None:
        """Note, on the owner's thread, that it ends now."""
        tracker = self.owner
        if tracker is None or threading.get_ident() != self._owner_thread:
            return
        if not self._paused and self.phase is Phase.TIMING and tracker.finish():
            self.boundary(tracker)
        if self.phase is not Phase.DONE:
            self._leave_window()
        self.owner = None

    def let_go(self) -> None:
        """Forget what was recorded of steps that the program now tells otherwise, and whom to follow."""
        if self.owner is not None and threading.get_ident() == self._owner_thread:
            self._begin_again()
            self.owner = None

    def finish(self) -> None:
        """Note the end of the script: close a window that is complete, give up one that is not."""
        if self._owner_thread == threading.get_ident():
            self.thread_ends()
        elif self.phase in (Phase.WARMUP, Phase.TIMING):
            self.pause()  # a daemon thread trains on: it must stop its own profiler
        self._drop_incomplete_round()

    def abort(self) -> None:
        """Give up for good; must not raise."""
        try:
            if threading.get_ident() == self._owner_thread:
                self._leave_window()
        finally:
            self.phase, self._given_up = Phase.DONE, True

    # --- whom to follow --------------------------------------------------------------------------

    def _follows(self, tracker: StepTracker) -> bool:
        if self.owner is None:
            return self.phase is not Phase.DONE and tracker.settled and self._adopt(tracker)
        if tracker is not self.owner:
            return False
        if tracker.generation == self._generation:
            return True
        if not tracker.settled:
            if self.phase not in (Phase.SKIP, Phase.DONE):
                self._leave_window()
            return False
        self._generation = tracker.generation
        self._begin_again()
        return True

    def _adopt(self, tracker: StepTracker) -> bool:
        if not self._on_adopt():
            return False
        self.owner, self._owner_thread, self._generation = tracker, threading.get_ident(), tracker.generation
        return True

    def _begin_again(self) -> None:
        """What was recorded so far rests on a wrong belief about steps: forget it."""
        if self.phase is not Phase.DONE:
            self._leave_window()
        self._output.discard([window.trace for window in self.windows if window.trace])
        self.windows.clear()
        self._see()
        self._round, self._restarts = 0, self._restarts + 1
        self.phase = Phase.SKIP if self._restarts <= RESTARTS else Phase.DONE

    def _answer_stop(self, tracker: StepTracker) -> None:
        if tracker is self.owner:
            self._leave_window()
            self._stopped.set()

    # --- the phases ------------------------------------------------------------------------------

    @property
    def _this_round(self) -> Round:
        return self.plan.rounds[self._round]

    def _reset_window(self) -> None:
        self._steps = self._first = 0
        self._samples: list[int] = []
        self._held: list[tuple[int, int]] = []  # of each step: gradient-free root forwards, fetches
        self._opened = self._last = self._clock()
        self._closing = False
        self._blind = False  # the forward hooks were out
        self._activities: list[str] = []

    def _leave_window(self) -> None:
        """Give up the open window; its round starts anew at the next boundary."""
        if self.phase in (Phase.WARMUP, Phase.TIMING):
            self._recorder.abandon()
        self._see()
        self._output.quiet(on=False)
        self._drop_incomplete_round()
        self.phase = Phase.SKIP
        self._reset_window()

    def _see(self) -> None:
        """Put the forward hooks in again, and let the tracker know."""
        self._sight.show()
        if self.owner is not None and self.owner.blind:
            self.owner.unblind()

    def _drop_incomplete_round(self) -> None:
        names = {window.round for window in self.windows if window.kind == "timing"}
        self.windows[:] = [window for window in self.windows if window.round in names]

    def _after_skip(self, tracker: StepTracker) -> None:
        self._last = self._clock()
        if tracker.completed < self.plan.skip:
            return
        if not self._recorder.available():
            self.lost_to_others += 1
            return
        self._device = self._find_device()
        if self._device.busy_capturing:
            return
        self.device_name = self._device.name
        self._reset_window()
        self._first = tracker.completed
        self._output.quiet(on=True)
        self._blind = tracker.blind = self._sight.hide(tracker)
        self.phase = Phase.UNPROFILED
        self._device.synchronize()
        self._opened = self._last = self._clock()
        self._pace.open(self._this_round, self._first, self.windows, queues=self._device.queues)
        if self._blind:
            shortest_ns, most = self._pace.look_after(self._this_round, queues=self._device.queues)
            self._sight.count(tracker, (self._opened + shortest_ns, most))

    def _note_step(self, tracker: StepTracker, now: int) -> None:
        self._steps += 1
        self._samples.append(now - self._last)
        self._held.append((tracker.gradient_free, tracker.fetched))
        self._last = now

    def _after_unprofiled_step(self, tracker: StepTracker, now: int) -> None:
        if self._closing:  # what came between the last optimizer step and now belongs to the last step
            self._samples[-1] += now - self._last
        else:
            self._note_step(tracker, now)
            elapsed_ns = now - self._opened
            if not self._pace.enough(self._this_round, self._steps, elapsed_ns, queues=self._device.queues):
                return
            if tracker.blind:
                self._sight.show()
                self._closing = not tracker.unblind()
                if self._closing:  # the boundary proper is the next forward or fetch
                    return
        if self._device.busy_capturing:
            self._leave_window()
        else:
            self._close_unprofiled(tracker)

    def _close_unprofiled(self, tracker: StepTracker) -> None:
        self._device.synchronize()
        self._keep("unprofiled", self._clock() - self._opened)
        self._output.quiet(on=False)
        if not self._recorder.available():
            self._leave_window()
            return
        self._reset_window()
        self._activities = self._recorder.prepare(self._device.name)
        self.phase = Phase.WARMUP
        if self._this_round.warmup == 0:
            self._start_timing(tracker)

    def _after_warmup_step(self, tracker: StepTracker) -> None:
        self._steps += 1
        if self._steps >= self._this_round.warmup and not self._device.busy_capturing:
            self._start_timing(tracker)

    def _start_timing(self, tracker: StepTracker) -> None:
        activities = self._activities
        self._reset_window()
        self._activities = activities
        self._first = tracker.completed
        self._device.synchronize()
        self._recorder.start()
        self.phase = Phase.TIMING
        self._opened = self._last = self._clock()
        self._recorder.begin_step(self._first)

    def _after_timed_step(self, tracker: StepTracker, now: int) -> None:
        self._recorder.end_step()
        self._note_step(tracker, now)
        if self._steps < self._this_round.timing:
            self._recorder.begin_step(self._first + self._steps)
        else:
            self._close_timing()

    def _close_timing(self) -> None:
        self._device.synchronize()
        closed = self._clock()
        if not self._recorder.stop():
            self.lost_to_others += 1
            self._leave_window()
            return
        trace = self._write_trace()
        if trace is None:
            self._drop_incomplete_round()
            self.phase = Phase.DONE
            self._rest()
            return
        self._keep("timing", closed - self._opened, trace=trace, pause_ns=self._clock() - closed)
        self._output.window_closed()
        self._next_round()

    def _write_trace(self) -> str | None:
        plain = self._output.new_trace()
        if plain is None:
            self._recorder.abandon()
            return None
        failed: Exception | None = None
        try:
            self._recorder.export(plain)
        except Exception as error:  # noqa: BLE001 - whatever stops an export must not stop the training
            failed = error
        return self._output.finished(plain, failed)

    def _next_round(self) -> None:
        self._round += 1
        self._reset_window()
        if self._round < len(self.plan.rounds):
            self.phase = Phase.SKIP
            if self.owner is not None:
                self._after_skip(self.owner)
            return
        self.phase = Phase.DONE
        self._report(self.phase, 0, 0)
        self._rest()

    def _rest(self) -> None:
        """All is recorded: only count."""
        if self.owner is not None and not self.owner.blind and self._sight.hide(self.owner):
            self.owner.blind = True
            self._sight.count(self.owner, None)

    def _keep(self, kind: str, duration_ns: int, *, trace: str | None = None, pause_ns: int | None = None) -> None:
        timing = kind == "timing"
        self.windows.append(
            Window(
                kind=kind,
                round=self._this_round.name,
                first_step=self._first,
                steps=self._steps,
                duration_ns=duration_ns,
                samples_ns=self._samples,
                evaluation_steps=unusual(self._held),
                trace=trace,
                warmup_steps=self._this_round.warmup if timing else 0,
                activities=self._activities if timing else [],
                pause_ns=pause_ns,
                forward_hooks=timing or not self._blind,
            )
        )
