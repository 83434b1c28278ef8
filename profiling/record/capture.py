"""The capture plan at work: step boundaries in, recorded windows out.

Everything here runs on the thread on which the steps happen (its *owner*); profilers must be stopped where they were
started. Calls torch only through ``Recorder``, ``Marks`` and ``Device``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from stallscope.profiling.folder.export import RunFolder
from stallscope.profiling.machine.device import Device
from stallscope.profiling.mark.marks import Marks
from stallscope.profiling.record.pace import Pace
from stallscope.profiling.record.plan import Phase, Plan, Stage
from stallscope.profiling.record.recorder import NoProfilerError, Recorder
from stallscope.profiling.record.room import MAX_BYTES, Room
from stallscope.profiling.record.windows import Recorded, Result, Tools, Unprofiled
from stallscope.profiling.watch.sight import Sight
from stallscope.profiling.watch.steps import StepTracker
from stallscope.profiling.words.sentences import fewer_steps
from stallscope.traces.model.manifest import Finding, Window

RESTARTS = 8  # times that the belief about steps may change before capture gives up
REPORTS_NS = 250_000_000  # between two reports of where the run is
FOREIGN_WAIT = 2.0  # seconds that another thread's profiler waits for ours to stop
FEW = 1  # step left alone where a step holds several closures


class Capture:
    """Follows one tracker through the plan. ``windows`` holds a window for each stage that is through."""

    def __init__(
        self,
        plan: Plan,
        *,
        recorder: Recorder,
        device: Callable[[], Device],
        sight: Sight,
        output: RunFolder,
        new_marks: Callable[[], Marks | None] = lambda: None,
        pace: Pace | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
        report: Callable[[Phase, int, int], None] = lambda _phase, _step, _ns: None,
    ) -> None:
        self.plan = plan
        self.windows: list[Window] = []
        self.owner: StepTracker | None = None
        self.device_name = "cpu"
        self.lost_to_others = 0  # windows given up because another profiler ran
        self.marks: Marks | None = None  # of the last attribution window that is complete
        self._room = Room()
        self._tools = Tools(recorder, new_marks, sight, output, clock, device(), pace or Pace())
        self._find_device, self._report = device, report
        self._open: Unprofiled | Recorded | None = None
        self._stage = 0  # position in the plan of the open window, or of the next
        self._last = clock()  # the last boundary
        self._next_report = 0
        self._generation = -1
        self._restarts = 0
        self._over = False  # given up for good
        self._ending = False  # the thread of the steps: no window may open
        self._their_session = False  # another profiler records or warms up
        self._opening = threading.RLock()  # held while a window opens: none does once another profiler has begun to
        self._owner_thread = 0
        self._stop_asked = False
        self._stopped = threading.Event()
        self._on_adopt: Callable[[], bool] = lambda: True

    @property
    def phase(self) -> Phase:
        """Where in the plan the run is."""
        if self._open is not None:
            return self._open.phase
        return Phase.DONE if self._over or self._stage >= len(self.plan.stages) else Phase.SKIP

    @property
    def notes(self) -> list[Finding]:
        """What the user should know of the windows; what several of them have to say is said once."""
        of_marks = self.marks.notes if self.marks is not None else ()
        return list(dict.fromkeys([*self._tools.notes, *self._tools.recorder.notes, *of_marks]))

    @property
    def recording(self) -> bool:
        """Whether our profiler is warming up or recording."""
        return isinstance(self._open, Recorded)

    @property
    def whole(self) -> int:
        """About how many steps, as long as the quicker ones seen (the first are slow), all recordings take."""
        samples = sorted(ns for each in self.windows if each.kind == "unprofiled" for ns in each.samples_ns)
        return self.plan.whole(samples[len(samples) // 4] if samples else 1, queues=self._tools.device.queues)

    def on_adopt(self, watch_thread: Callable[[], bool]) -> None:
        """Call ``watch_thread`` on the thread that capture starts to follow; False: do not follow it."""
        self._on_adopt = watch_thread

    # --- events ----------------------------------------------------------------------------------

    def boundary(self, tracker: StepTracker) -> None:
        """Take a step boundary of ``tracker``, on its thread."""
        if self._stop_asked:
            self._answer_stop(tracker)
        if self._over or self._their_session or not self._follows(tracker):
            return
        now = self._tools.clock()
        if now >= self._next_report:
            self._next_report = now + REPORTS_NS
            self._report(self.phase, tracker.completed, now - self._last)
        self._last = now
        if self._open is None:
            self._open_next(tracker)
        elif (result := self._open.step(tracker, now)) is not Result.OPEN:
            self._take(result, tracker)

    def counted(self, tracker: StepTracker, marks: list[int]) -> None:
        """Take the ends of steps that were only counted."""
        if tracker is self.owner and isinstance(self._open, Unprofiled):
            self._open.counted(tracker, marks)

    def sight_lost(self, tracker: StepTracker) -> None:
        """Note that ``tracker`` needs forwards to tell steps apart; a window without them is void."""
        self._tools.sight.show()
        if tracker is self.owner and isinstance(self._open, Unprofiled):
            self._leave_window()

    def pause(self) -> None:
        """Stop recording at once, since two profilers crash; our open window is given up."""
        self.lost_to_others += 1
        if self.owner is not None and threading.get_ident() != self._owner_thread:
            self._ask_to_stop()
        elif self.phase is not Phase.DONE:
            self._leave_window()

    def session_starts(self) -> None:
        """Note that another profiler is about to record or to warm up."""
        with self._opening:
            self._their_session = True
        self.pause()
        self._tools.recorder.lose()  # what could not be stopped by now never may be

    def session_ends(self) -> None:
        """Note that it has ended."""
        self._their_session = False

    @property
    def _paused(self) -> bool:
        return self._over or self._their_session

    def thread_ends(self) -> None:
        """Note, on the owner's thread, that it ends now."""
        tracker = self.owner
        if tracker is None or threading.get_ident() != self._owner_thread:
            return
        if not self._paused and self.phase is Phase.RECORDING and tracker.finish():
            self._ending = True
            self.boundary(tracker)
            self._ending = False
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
        elif self.recording:
            self._ask_to_stop()  # a daemon thread trains on: it must stop its own profiler
        self._drop_incomplete_round()

    def abort(self) -> None:
        """Give up for good; must not raise."""
        try:
            if threading.get_ident() == self._owner_thread:
                self._leave_window()
                if not self.recording:
                    self._tools.recorder.abandon()  # which may have failed while it was being prepared
        finally:
            self._open, self._over = None, True

    # --- whom to follow --------------------------------------------------------------------------

    def _follows(self, tracker: StepTracker) -> bool:
        if self.owner is None:
            return self.phase is not Phase.DONE and tracker.settled and self._adopt(tracker)
        if tracker is not self.owner:
            return False
        if tracker.generation == self._generation:
            return True
        if not tracker.settled:
            if self._open is not None:
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
        self._leave_window()
        self._tools.output.discard([window.trace for window in self.windows if window.trace])
        self.windows.clear()
        self._tools.notes.clear()
        self.marks = None
        self._stage, self._restarts = 0, self._restarts + 1
        self._over |= self._restarts > RESTARTS

    def _ask_to_stop(self) -> None:
        """Have the thread of the steps give its window up at its next boundary; wait for a recording, but not long."""
        if self._stop_asked:  # it has been waited for
            return
        self._stopped.clear()
        self._stop_asked = True
        opened = self._open
        self._tools.sight.uncount()
        if isinstance(opened, Recorded):
            self._stopped.wait(FOREIGN_WAIT)

    def _answer_stop(self, tracker: StepTracker) -> None:
        if tracker is not self.owner:
            return
        self._leave_window()
        self._stop_asked = False
        if not self._tools.recorder.available():  # lost: no other profiler can be started on this thread any more
            self._stage = len(self.plan.stages)
        self._stopped.set()

    # --- the windows -----------------------------------------------------------------------------

    def _open_next(self, tracker: StepTracker) -> None:
        """Open the window that is due, if one can be opened here."""
        if self._ending:
            return
        if self._stage >= len(self.plan.stages):
            self._rest(tracker)
            return
        if tracker.completed < (min(FEW, self.plan.skip) if tracker.is_long else self.plan.skip):
            return
        with self._opening:
            if not self._paused:
                self._open_now(tracker)

    def _open_now(self, tracker: StepTracker) -> None:
        tools, stage = self._tools, self.plan.stages[self._stage]
        stage = stage.of_long_steps() if tracker.is_long else stage
        if not tools.recorder.available():
            self.lost_to_others += 1
            self._leave_window()
            return
        tools.device = self._find_device()
        if tools.device.busy_capturing:
            return
        self.device_name = tools.device.name
        if stage.recorded:
            self._open_recorded(stage, tracker)
        else:
            self._open = Unprofiled(stage, tools, tracker, self.windows)

    def _open_recorded(self, stage: Stage, tracker: StepTracker) -> None:
        """Open a recorded window, if its trace fits where it is to go, and the profiler starts."""
        queues = self._tools.device.queues
        allowed = self._room.allow(stage, queues=queues)
        filled = allowed.steps * self._room.bytes_per_step(stage, queues=queues)
        if not self._tools.output.room_for(int(filled)):
            self._take(Result.UNWRITABLE, tracker)
            return
        try:
            self._open = Recorded(stage, self._tools, tracker, steps=allowed.steps, patience_ns=allowed.patience_ns)
        except NoProfilerError:
            self._take(Result.REFUSED, tracker)

    def _take(self, result: Result, tracker: StepTracker) -> None:
        match result:
            case Result.CLOSED:
                self._keep()
                self._open_next(tracker)
            case Result.LOST | Result.VOID:
                self.lost_to_others += result is Result.LOST
                self._leave_window()
            case Result.UNWRITABLE | Result.REFUSED:
                self._leave_window()
                self._tools.output.quiet(on=False)
                self._stage = len(self.plan.stages)
                self._rest(tracker)

    def _keep(self) -> None:
        """Take the open window over: it is complete."""
        ended, self._open = self._open, None
        if ended is None or ended.window is None:
            return
        self.windows.append(ended.window)
        self._room.learn(ended)
        if isinstance(ended, Recorded):
            self._say_if_short(ended, ended.window)
            self.marks = ended.marks or self.marks
        self._stage += 1
        if ended.window.trace is not None or self.phase is Phase.DONE:
            self._tools.output.window_closed()
        if self.phase is Phase.DONE:
            self._tools.output.quiet(on=False)
            self._report(self.phase, 0, 0)

    def _say_if_short(self, ended: Recorded, window: Window) -> None:
        planned = self.plan.stages[self._stage].steps
        if window.steps < planned:
            step_bytes = ended.bytes // window.steps
            slow = window.steps < ended.most
            text = fewer_steps(window.kind, window.steps, planned, step_bytes, slow=slow, most_bytes=MAX_BYTES)
            self._tools.notes.append(Finding(name="fewer_steps", text=text))

    def _leave_window(self) -> None:
        """Give up the open window; what belongs together starts anew at the next boundary."""
        self._see()  # which delivers what was only counted
        left, self._open = self._open, None
        if left is not None and (not left.leave() or left.window is not None):
            self._open = left
            if left.window is not None:
                self._keep()
        self._stage = self.plan.again_from(self._stage)
        del self.windows[self._stage :]

    def _see(self) -> None:
        """Put the forward hooks in again, and let the tracker know."""
        self._tools.sight.show()
        if self.owner is not None and self.owner.blind:
            self.owner.unblind()

    def _drop_incomplete_round(self) -> None:
        """Drop an unprofiled window that no timing window followed."""
        rounds = {window.round for window in self.windows if window.kind == "timing"}
        self.windows[:] = [window for window in self.windows if window.round in rounds or window.round == "after"]

    def _rest(self, tracker: StepTracker) -> None:
        """All is recorded: only count."""
        if tracker.blind or self._tools.sight.hide(tracker):
            tracker.blind = True
            self._tools.sight.count(tracker, None)
