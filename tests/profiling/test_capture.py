"""The capture plan, driven by hand: which windows are recorded when, without torch."""

# ruff: noqa: D102, ARG002, FBT003 - test doubles, whose protocols say what they do

import queue
import threading
import time
from pathlib import Path

import pytest

from stallscope.profiling.capture import Capture
from stallscope.profiling.device import Host
from stallscope.profiling.plan import Phase, standard, unusual
from stallscope.profiling.steps import StepTracker


class FakeRecorder:
    """Notes what it is asked to do; ``free`` False: somebody else's profiler is running."""

    def __init__(self):
        self.calls = []
        self.free = True

    def available(self):
        return self.free

    def prepare(self, device):
        self.calls.append(f"prepare {device}")
        return ["CPU"]

    def start(self):
        self.calls.append("start")

    def begin_step(self, index):
        self.calls.append(f"step {index}")

    def end_step(self):
        self.calls.append("end")

    def stop(self):
        self.calls.append("stop")
        return self.free

    def export(self, path):
        self.calls.append("export")

    def abandon(self):
        self.calls.append("abandon")


class FakeOutput:
    """Takes every trace; remembers what was discarded."""

    def __init__(self):
        self.traces = 0
        self.discarded = []

    def new_trace(self):
        self.traces += 1
        return Path(f"trace{self.traces}")

    def finished(self, plain, error):
        return plain.name

    def discard(self, names):
        self.discarded += names

    def window_closed(self):
        pass

    def quiet(self, on):
        pass


class FakeSight:
    """Forward hooks that can be taken out, or not."""

    def __init__(self, removable):
        self.removable = removable

    def hide(self, tracker):
        return self.removable

    def show(self):
        pass

    def count(self, tracker, until):
        pass


class QueueingDevice:
    """A device whose work runs on its own thread: each launch sleeps there; the host runs up to 1024 launches ahead."""

    name = "simulated"
    queues = True
    busy_capturing = False

    def __init__(self, kernel_ns):
        self._seconds = kernel_ns / 1e9
        self._queue = queue.Queue(maxsize=1024)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def launch(self):
        self._queue.put(True)

    def synchronize(self):
        self._queue.join()

    def close(self):
        self._queue.put(False)
        self._thread.join()

    def _work(self):
        while self._queue.get():
            time.sleep(self._seconds)
            self._queue.task_done()


class Training:
    """A training loop: a tracker and a capture, stepped by hand."""

    def __init__(self, *, removable=False, device=None, clock=None, **plan):
        self.tracker, self.recorder, self.output = StepTracker(), FakeRecorder(), FakeOutput()
        self.device = device or Host()
        self.sight = FakeSight(removable)
        self.capture = Capture(
            standard(**{"skip": 5, "warmup": 3, "steps": 20, **plan}),
            recorder=self.recorder,
            device=lambda: self.device,
            sight=self.sight,
            output=self.output,
            clock=clock or time.perf_counter_ns,
        )

    def step(self, *, key=1, before=lambda: None):
        """One iteration: a forward (unless hidden), then the optimizer."""
        if not self.tracker.blind and self.tracker.forward(grad=True):
            self.capture.boundary(self.tracker)
        before()
        if self.tracker.optimizer_start(key) or self.tracker.optimizer_end(key):
            self.capture.boundary(self.tracker)

    def kinds(self):
        return [(each.round, each.kind, each.first_step, each.steps) for each in self.capture.windows]


class Clock:
    """A clock that only goes on when told to."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def tick(self, ns):
        self.now += ns


@pytest.mark.parametrize("removable", [False, True])
def test_the_rounds_of_a_long_run(removable):
    """5 steps alone, then 5 unprofiled, 2 warm-up, 5 timed; then 1/4 s unprofiled, 3 warm-up, 20 timed.

    With steps of 10 ms the full unprofiled window takes 25 steps. The same whether forward hooks can be removed or not.
    """
    clock = Clock()
    training = Training(clock=clock, removable=removable)
    for _ in range(100):
        training.step(before=lambda: clock.tick(10_000_000))
    training.capture.finish()
    assert training.kinds() == [
        ("short", "unprofiled", 5, 5),
        ("short", "timing", 12, 5),
        ("full", "unprofiled", 17, 25),
        ("full", "timing", 45, 20),
    ]
    assert [each.samples_ns for each in training.capture.windows] == [[10_000_000] * count for count in (5, 5, 25, 20)]
    assert [each.duration_ns for each in training.capture.windows] == [50_000_000, 50_000_000, 250_000_000, 200_000_000]
    assert [each.forward_hooks for each in training.capture.windows] == [not removable, True, not removable, True]
    assert training.capture.phase is Phase.DONE
    assert [call for call in training.recorder.calls if call.startswith("step")] == [
        f"step {index}" for index in [*range(12, 17), *range(45, 65)]
    ]


def test_the_timing_window_is_as_long_as_asked_for():
    """--steps 7 --warmup 0 --skip 2: seven steps in the full window, five in the short one."""
    clock = Clock()
    training = Training(clock=clock, steps=7, warmup=0, skip=2)
    for _ in range(100):
        training.step(before=lambda: clock.tick(10_000_000))
    assert training.kinds() == [
        ("short", "unprofiled", 2, 5),
        ("short", "timing", 7, 5),
        ("full", "unprofiled", 12, 25),
        ("full", "timing", 37, 7),
    ]


def test_a_run_that_ends_in_the_full_round_keeps_the_short_one():
    """50 steps of 10 ms end inside the full timing window: it is given up, and so is its unprofiled window."""
    clock = Clock()
    training = Training(clock=clock)
    for _ in range(50):
        training.step(before=lambda: clock.tick(10_000_000))
    training.capture.finish()
    assert [each[:2] for each in training.kinds()] == [("short", "unprofiled"), ("short", "timing")]
    assert training.recorder.calls[-1] == "abandon"
    assert training.output.traces == 1


def test_the_end_of_the_script_ends_the_last_step():
    """17 steps are the fewest that are recorded; with 16 there is nothing."""
    for steps, windows in ((17, 2), (16, 0)):
        training = Training()
        for _ in range(steps):
            training.step()
        training.capture.finish()
        assert len(training.capture.windows) == windows
        assert training.capture.plan.shortest == 17


@pytest.mark.parametrize("removable", [False, True])
def test_a_loop_without_syncs_is_not_timed_at_enqueueing_speed(removable):
    """Each step launches 0.2 ms of device work and waits for nothing: the step time is at least 0.2 ms.

    The host enqueues far faster until the queue is full; only the synchronization at the window's ends shows the truth.
    """
    device = QueueingDevice(200_000)
    training = Training(device=device, removable=removable)
    try:
        while training.capture.phase is not Phase.DONE:
            training.step(before=device.launch)
    finally:
        device.close()
    for each in training.capture.windows:
        if each.kind == "unprofiled":
            assert each.duration_ns / each.steps >= 200_000
    full = training.capture.windows[2]
    assert full.steps >= 20
    assert full.duration_ns >= 1_000_000_000 or full.steps >= 4096
    assert "prepare simulated" in training.recorder.calls


def test_what_was_recorded_under_a_wrong_belief_is_discarded():
    """40 steps of one optimizer, then two in turn: the windows of before are dropped, new ones recorded."""
    clock = Clock()
    training = Training(clock=clock)
    for _ in range(40):
        training.step(before=lambda: clock.tick(10_000_000))
    assert len(training.capture.windows) == 2
    for _ in range(150):
        training.step(key=1, before=lambda: clock.tick(10_000_000))
        training.step(key=2, before=lambda: clock.tick(10_000_000))
    assert training.output.discarded == ["trace1"]
    assert [each[:2] for each in training.kinds()] == [
        ("short", "unprofiled"),
        ("short", "timing"),
        ("full", "unprofiled"),
        ("full", "timing"),
    ]
    assert set(training.capture.windows[0].samples_ns) == {20_000_000}


def test_recording_gives_way_and_comes_back():
    """Another profiler starts in our timing window: ours is given up at once, and its round begins anew afterwards."""
    clock = Clock()
    training = Training(clock=clock)
    for _ in range(14):
        training.step(before=lambda: clock.tick(10_000_000))
    assert training.capture.phase is Phase.TIMING
    training.capture.session_starts()
    assert training.recorder.calls[-1] == "abandon"
    for _ in range(30):
        training.step()
    assert training.capture.windows == []
    training.capture.session_ends()
    for _ in range(80):
        training.step(before=lambda: clock.tick(10_000_000))
    assert [each[:2] for each in training.kinds()][-1] == ("full", "timing")
    assert training.capture.lost_to_others == 1


def test_a_stolen_recording_is_not_exported():
    """If the profiler is no longer ours when the window closes, nothing is exported."""
    training = Training()
    for _ in range(14):
        training.step()
    training.recorder.free = False
    for _ in range(20):
        training.step()
    assert "export" not in training.recorder.calls
    assert training.capture.windows == []


def test_only_one_thread_is_followed():
    """Steps of a second tracker do not disturb the windows of the first."""
    clock = Clock()
    training = Training(clock=clock)
    other = StepTracker()
    for _ in range(100):
        training.step(before=lambda: clock.tick(10_000_000))
        if other.forward(grad=True):
            training.capture.boundary(other)
        other.optimizer_start(9)
        other.optimizer_end(9)
    assert [each[3] for each in training.kinds()] == [5, 5, 25, 20]


def test_nothing_is_recorded_while_a_graph_is_captured():
    """Synchronizing would break the capture of a CUDA graph: the window opens when it is over."""
    training = Training()
    training.device.busy_capturing = True
    for _ in range(10):
        training.step()
    assert training.capture.phase is Phase.SKIP
    training.device.busy_capturing = False
    training.step()
    training.step()
    assert training.capture.phase is Phase.UNPROFILED


def test_unusual_steps():
    """Evaluation passes stand out; a teacher network's gradient-free forward in every step does not."""
    assert unusual([(0, 1), (0, 1), (12, 13), (0, 1)]) == [2]
    assert unusual([(1, 1), (1, 1), (1, 1), (5, 1)]) == [3]
    assert unusual([(0, 1), (0, 9), (0, 1)]) == [1]
    assert unusual([(0, 0)] * 5) == []
    counted_late = [(0, 1), *[(0, 0)] * 12, (0, 14), (0, 1), (0, 5), (0, 1)]
    assert unusual(counted_late) == [15]
    assert unusual([(0, 1), (0, 0), (0, 3), (0, 1), (0, 1)]) == []
    assert unusual([]) == []
