"""The windows: each opens at a step boundary, takes steps, and closes at another. All on the thread of the steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from msgspec.structs import replace

from stallscope.profiling.folder.export import RunFolder
from stallscope.profiling.machine.device import Device
from stallscope.profiling.mark.marks import Marks
from stallscope.profiling.record.pace import Pace
from stallscope.profiling.record.plan import Phase, Stage, unusual
from stallscope.profiling.record.recorder import NoProfilerError, Recorder
from stallscope.profiling.watch.guarded import Guarded
from stallscope.profiling.watch.sight import Sight
from stallscope.profiling.watch.steps import StepTracker
from stallscope.profiling.words.sentences import marks_failed
from stallscope.traces.model.manifest import Finding, GpuState, Window


class Result(Enum):
    """What became of a window at a boundary."""

    OPEN = "goes on"
    CLOSED = "is complete"
    LOST = "somebody else's profiler took it"
    VOID = "could not be closed here: begin anew"
    UNWRITABLE = "could not be written"
    REFUSED = "the profiler does not start"


@dataclass(slots=True)
class Tools:
    """What windows are made with."""

    recorder: Recorder
    new_marks: Callable[[], Marks | None]
    sight: Sight
    output: RunFolder
    clock: Callable[[], int]
    device: Device
    pace: Pace = field(default_factory=Pace)
    notes: list[Finding] = field(default_factory=list)  # what the user should know of the windows


class _Tally:
    """The steps of a window: when each ended, and what it held."""

    def __init__(self, first: int, opened: int, gpu: GpuState | None) -> None:
        self.first, self.opened, self.last = first, opened, opened
        self.samples: list[int] = []
        self._held: list[tuple[int, int]] = []  # of each step: gradient-free root forwards, fetches
        self._gpu_at_open = gpu

    @property
    def steps(self) -> int:
        """Complete steps so far."""
        return len(self.samples)

    def note(self, tracker: StepTracker, now: int) -> None:
        """Take the end of a step."""
        self.samples.append(now - self.last)
        self._held.append((tracker.gradient_free, tracker.fetched))
        self.last = now

    def window(self, stage: Stage, closed: int, gpu: GpuState | None = None) -> Window:
        """What a window of any kind has."""
        return Window(
            kind=stage.kind,
            round=stage.round,
            first_step=self.first,
            steps=self.steps,
            duration_ns=closed - self.opened,
            samples_ns=self.samples,
            evaluation_steps=unusual(self._held),
            gpu_at_open=self._gpu_at_open,
            gpu_at_close=gpu,
        )


class Unprofiled:
    """A window without a profiler: the forward hooks are out where they can be, steps are only counted."""

    phase = Phase.UNPROFILED

    def __init__(self, stage: Stage, tools: Tools, tracker: StepTracker, before: list[Window]) -> None:
        self.window: Window | None = None
        self.operations: int | None = None  # in the whole window
        self._stage, self._tools = stage, tools
        self._closing = False
        first = tracker.completed
        tools.output.quiet(on=True)
        self._blind = tracker.blind = tools.sight.hide(tracker)
        gpu = tools.device.state()
        self._operations_before = tools.recorder.operations()
        tools.device.synchronize()
        self._tally = _Tally(first, tools.clock(), gpu)
        tools.pace.open(stage, first, before, queues=tools.device.queues)
        if self._blind:
            shortest_ns, most = tools.pace.look_after(stage, queues=tools.device.queues)
            tools.sight.count(tracker, (self._tally.opened + shortest_ns, most))

    def step(self, tracker: StepTracker, now: int) -> Result:
        """Take a boundary."""
        tally = self._tally
        if self._closing:  # what came between the last optimizer step and now belongs to the last step
            tally.samples[-1] += now - tally.last
            return self._close()
        tally.note(tracker, now)
        pace, queues = self._tools.pace, self._tools.device.queues
        if not pace.enough(self._stage, tally.steps, now - tally.opened, queues=queues):
            return Result.OPEN
        if tracker.blind and not self._stage.open_ended:
            self._tools.sight.show()
            self._closing = not tracker.unblind()
            if self._closing:  # the boundary proper is the next forward or fetch
                return Result.OPEN
        return self._close()

    def counted(self, tracker: StepTracker, marks: list[int]) -> None:
        """Take the ends of steps that were only counted."""
        for mark in marks:
            self._tally.note(tracker, mark)
            tracker.gradient_free = tracker.fetched = 0

    def leave(self) -> bool:
        """Give the window up, which is always possible; one that counts however few steps it holds is kept."""
        self._tools.output.quiet(on=False)
        if self._stage.open_ended and self._tally.steps:
            self._finish(self._tally.last, None)
        return True

    def _close(self) -> Result:
        device = self._tools.device
        if device.busy_capturing:
            return Result.VOID
        device.synchronize()
        closed = self._tools.clock()
        after = self._tools.recorder.operations()
        if after is not None and self._operations_before is not None:
            self.operations = after - self._operations_before
        self._finish(closed, device.state())
        return Result.CLOSED

    def _finish(self, closed: int, gpu: GpuState | None) -> None:
        window = self._tally.window(self._stage, closed, gpu)
        self.window = replace(window, forward_hooks=not self._blind)


class Recorded:
    """A window under the profiler. ``steps``: how many it may hold, ``patience_ns``: after which it closes early."""

    def __init__(self, stage: Stage, tools: Tools, tracker: StepTracker, *, steps: int, patience_ns: int) -> None:
        self.phase = Phase.WARMUP
        self.window: Window | None = None
        self.bytes = 0  # of the plain trace
        self.most = steps
        self._stage, self._tools, self._patience_ns = stage, tools, patience_ns
        self._warmed = 0
        self._leading = False
        self._given_up = False
        self._glances = False  # the forward hooks see only what begins a step
        self._tally = _Tally(tracker.completed, 0, None)
        self.marks = self._make_marks() if stage.detail.marks else None
        detail = dataclasses.replace(stage.detail, marks=self.marks is not None)
        tools.output.quiet(on=True)
        tools.pace.record(tracker.completed, steps)
        self._activities, self._detail = tools.recorder.prepare(tools.device.name, detail)
        if stage.warmup == 0:
            self._start(tracker)

    def step(self, tracker: StepTracker, now: int) -> Result:
        """Take a boundary."""
        if self._given_up:
            return Result.VOID
        if self.phase is Phase.WARMUP:
            return self._warm_up(tracker)
        if self._leading:
            self._warmed += 1
            if not self._tools.device.busy_capturing:
                self._open(tracker)
            return Result.OPEN
        return self._count(tracker, now)

    def _warm_up(self, tracker: StepTracker) -> Result:
        """Take a boundary before anything is recorded."""
        self._warmed += 1
        if self._warmed >= self._stage.warmup and not self._tools.device.busy_capturing:
            try:
                self._start(tracker)
            except NoProfilerError:
                return Result.REFUSED
        return Result.OPEN

    def _count(self, tracker: StepTracker, now: int) -> Result:
        tally, recorder = self._tally, self._tools.recorder
        recorder.end_step()
        tally.note(tracker, now)
        steps = tally.steps
        full = self._tools.pace.recorded(steps, self.most, late=now - tally.opened >= self._patience_ns)
        if full and not self._tools.device.busy_capturing:
            return self._close()
        recorder.begin_step(tally.first + steps)
        return Result.OPEN

    def leave(self) -> bool:
        """Give the window up. False: the next boundary must try again, since the device cannot be waited for now."""
        self._unmark()
        self._tools.output.quiet(on=False)
        self._given_up = self._tools.device.busy_capturing
        if not self._given_up:
            self._tools.recorder.abandon()
        return not self._given_up

    def _start(self, tracker: StepTracker) -> None:
        """Begin to record. Marks are put in from inside a hook, and seen by torch from the next step on."""
        self._gpu = self._tools.device.state()
        self._tools.device.synchronize()
        self._activities = self._tools.recorder.start()
        self.phase = Phase.RECORDING
        if self.marks is not None:
            self._leading = True
            self._mark(self.marks)
        else:
            self._open(tracker)

    def _make_marks(self) -> Marks | None:
        with Guarded(self._without_marks):
            return self._tools.new_marks()
        return None

    def _mark(self, marks: Marks) -> None:
        """Put the marks in; the window is worth having without them."""
        if not marks.install():
            self._tools.notes.extend(marks.notes)
            self.marks = None
            self._detail = [each for each in self._detail if each != "marks"]

    def _without_marks(self, error: Exception) -> None:
        self._tools.notes.append(Finding(name="marks_failed", text=marks_failed(error)))

    def _open(self, tracker: StepTracker) -> None:
        if self._leading:
            self._leading = False
            self._tools.device.synchronize()
        if self._stage.kind == "timing":
            self._glances = self._tools.sight.glance(tracker)
        self._tally = _Tally(tracker.completed, self._tools.clock(), self._gpu)
        self._tools.recorder.begin_step(self._tally.first)

    def _unmark(self) -> None:
        if self.marks is not None:
            self.marks.remove()

    def _close(self) -> Result:
        self._tools.sight.show()
        self._unmark()
        self._tools.device.synchronize()
        closed = self._tools.clock()
        gpu = self._tools.device.state()
        if not self._tools.recorder.stop():
            return Result.LOST
        trace = self._write_trace()
        if trace is None:
            return Result.UNWRITABLE
        self.window = replace(
            self._tally.window(self._stage, closed, gpu),
            trace=trace,
            warmup_steps=self._warmed,
            activities=self._activities,
            detail=self._detail,
            pause_ns=self._tools.clock() - closed,
            forward_hooks=not self._glances,
        )
        return Result.CLOSED

    def _write_trace(self) -> str | None:
        """Write the trace, plain; None where it cannot be."""
        plain = self._tools.output.new_trace()
        if plain is None:
            self._tools.recorder.abandon()
            return None
        failures: list[Exception] = []
        with Guarded(failures.append):
            self._tools.recorder.export(plain)
            self.bytes = _size(plain)
        return self._tools.output.finished(plain, failures[0] if failures else None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it was not written: the output finds that out
        return 0
