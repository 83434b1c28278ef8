"""The capture plan, driven by hand: which windows are recorded when, without torch."""

import queue
import threading
import time

import pytest

from stallscope.profiling.machine.device import Host
from stallscope.profiling.record import capture
from stallscope.profiling.record.plan import Depth, Phase, make, unusual
from stallscope.profiling.watch.steps import StepTracker
from stallscope.profiling.words.sentences import short_round
from stallscope.traces.model.manifest import Finding
from tests.profiling.record.driven import STEP_NS, Clock, Training, marks, trained


class QueueingDevice(Host):
    """A device whose work runs on its own thread: each launch sleeps there; the host runs up to 1024 launches ahead."""

    name, queues = "simulated", True

    def __init__(self, kernel_ns):
        self._seconds = kernel_ns / 1e9
        self._queue = queue.Queue(maxsize=1024)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def launch(self):
        """Queue a kernel."""
        self._queue.put(self._seconds)

    def synchronize(self):
        """Wait for all of them."""
        self._queue.join()

    def close(self):
        """End the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self):
        while (seconds := self._queue.get()) is not None:
            time.sleep(seconds)
            self._queue.task_done()


@pytest.mark.parametrize("removable", [False, True])
def test_the_rounds_of_a_long_run(removable):
    """5 steps alone; 5 unprofiled, 2 warm-up, 5 timed, 1 warm-up, 3 attributed; then the full round; then the rest.

    With steps of 10 ms 1/4 s unprofiled takes 25 steps; 3 warm-up, 20 timed, 1 warm-up, 5 attributed. The same whether
    forward hooks can be removed or not.
    """
    training = trained(120, removable=removable)
    assert training.kinds() == [
        ("short", "unprofiled", 5, 5),
        ("short", "timing", 12, 5),
        ("short", "attribution", 18, 3),
        ("full", "unprofiled", 21, 25),
        ("full", "timing", 49, 20),
        ("full", "attribution", 70, 5),
        ("after", "unprofiled", 75, 44 if not removable else 45),
    ]
    windows = training.capture.windows
    assert [set(each.samples_ns) for each in windows] == [{STEP_NS}] * 7
    assert [each.duration_ns for each in windows] == [each.steps * STEP_NS for each in windows]
    assert [each.forward_hooks for each in windows] == [
        *(not removable, not removable, True) * 2,
        not removable,
    ]
    assert [each.warmup_steps for each in windows] == [0, 2, 1, 0, 3, 1, 0]
    assert [each.detail for each in windows] == [[], [], ["shapes"], [], [], ["shapes"], []]
    assert training.capture.phase is Phase.DONE
    assert [call for call in training.calls() if call.startswith("step")] == [
        f"step {index}" for index in [*range(12, 17), *range(18, 21), *range(49, 69), *range(70, 75)]
    ]


def test_the_timing_window_is_as_long_as_asked_for():
    """--steps 7 --warmup 0 --skip 2 --no-attribution: seven steps in the full window, five in the short one."""
    training = trained(44, steps=7, warmup=0, skip=2, attribution=False)
    assert training.kinds() == [
        ("short", "unprofiled", 2, 5),
        ("short", "timing", 7, 5),
        ("full", "unprofiled", 12, 25),
        ("full", "timing", 37, 7),
    ]


def test_where_the_run_is_is_told_rarely():
    """Four times a second: of steps of 10 ms every 25th, with its number and time."""
    training = trained(60)
    assert [call.args for call in training.report.call_args_list] == [
        (Phase.SKIP, 2, 2 * STEP_NS),  # the first two tell what a step is
        (Phase.UNPROFILED, 27, STEP_NS),
        (Phase.RECORDING, 52, STEP_NS),
    ]


def test_a_run_that_ends_in_the_full_round_keeps_the_short_one():
    """60 steps of 10 ms end inside the full timing window: it is given up, and so is its unprofiled window."""
    training = trained(60)
    assert [each[:2] for each in training.kinds()] == [
        ("short", "unprofiled"),
        ("short", "timing"),
        ("short", "attribution"),
    ]
    assert training.calls()[-1] == "abandon"
    assert training.folder.new_trace.call_count == 2


def test_a_run_that_ends_in_the_full_attribution_window_keeps_the_full_timing_window():
    """74 steps: the attribution window of the full round lacks one step, and only that window is given up."""
    training = trained(74)
    assert training.kinds()[-2:] == [("full", "unprofiled", 21, 25), ("full", "timing", 49, 20)]
    assert training.calls()[-1] == "abandon"


def test_the_end_of_the_script_ends_the_last_step():
    """17 steps are the fewest that are recorded, 21 the fewest that are attributed; with 16 there is nothing.

    A recording that the end of the script completes is not followed by the warm-up of another.
    """
    for steps, windows in ((16, 0), (17, 2), (20, 2), (21, 3)):
        training = Training()
        for _ in range(steps):
            training.step()
        training.capture.finish()
        assert len(training.capture.windows) == windows
        assert training.capture.plan.shortest == 17
        prepared = sum(call.startswith("prepare") for call in training.calls())
        assert prepared == {16: 1, 17: 1, 20: 2, 21: 2}[steps]


def test_marks_are_in_place_only_while_the_attribution_window_records():
    """Put in once the profiler records, one step before the first that counts; out before it stops. 22 steps do."""
    training = Training(new_marks=marks)
    training.steps(22)
    training.capture.finish()
    assert training.kinds()[-1] == ("short", "attribution", 19, 3)
    calls = training.calls()
    assert calls[calls.index("export") + 1 :] == [
        *("prepare cpu +shapes +marks", "start", "mark"),
        *("step 19", "end", "step 20", "end", "step 21", "end"),
        *("unmark", "stop", "export"),
    ]
    assert training.capture.windows[-1].detail == ["shapes", "marks"]
    assert training.capture.windows[-1].warmup_steps == 2


def test_marks_come_out_when_the_window_is_given_up():
    """The script ends inside the attribution window: the marks are taken out first, then the recording is dropped."""
    training = Training(new_marks=marks)
    training.steps(20)
    training.capture.finish()
    assert training.calls()[-2:] == ["unmark", "abandon"]
    assert [each[1] for each in training.kinds()] == ["unprofiled", "timing"]


def broken():
    """Marks that cannot be made."""
    raise RuntimeError("no marks today")


def refused():
    """Marks that cannot be put in, and say so."""
    return marks(installs=False, notes=[Finding(name="marks_failed", text="not today")])


WHY = "call sites and modules could not be marked (RuntimeError: no marks today); the script was not affected"


@pytest.mark.parametrize(("new_marks", "why"), [(broken, WHY), (refused, "not today")])
def test_marks_that_fail_cost_nothing_but_themselves(new_marks, why):
    """The window is recorded all the same, says that it has none, and the run says why."""
    training = Training(new_marks=new_marks).steps(22)
    training.capture.finish()
    assert training.kinds()[-1][:2] == ("short", "attribution")
    assert training.kinds()[-1][3] == 3
    assert training.capture.windows[-1].detail == ["shapes"]
    assert training.capture.marks is None
    assert [(each.name, each.text) for each in training.capture.notes] == [("marks_failed", why)]


def test_a_lost_attribution_window_is_recorded_again_alone():
    """Another profiler takes it over: the windows before stay, and it is recorded when the other is through."""
    training = Training()
    training.steps(19)
    assert training.capture.phase is Phase.RECORDING
    training.capture.session_starts()
    training.steps(10)
    training.capture.session_ends()
    training.steps(10)
    assert training.kinds() == [
        ("short", "unprofiled", 5, 5),
        ("short", "timing", 12, 5),
        ("short", "attribution", 30, 3),
    ]


def test_a_full_disk_at_the_attribution_window_keeps_what_is_there():
    """The second trace cannot be written: nothing more is recorded, and the first stays with its unprofiled window."""
    training = Training()
    training.folder.finished.side_effect = ["trace1", None]
    training.steps(60)
    training.capture.finish()
    assert training.kinds() == [("short", "unprofiled", 5, 5), ("short", "timing", 12, 5)]
    assert training.capture.phase is Phase.DONE
    assert training.calls().count("start") == 2


@pytest.mark.parametrize("removable", [False, True])
def test_after_the_recordings_steps_are_timed_for_a_while(removable):
    """Until 8192 steps are timed or 20 s are over: of steps of 10 ms that is 2000; and then no more."""
    training = trained(75 + 2200, removable=removable)
    assert training.kinds()[-1] == ("after", "unprofiled", 75, 2000)
    training = Training(clock=Clock(), removable=removable, attribution=False)
    training.steps(12_000, ns=100_000)
    assert training.kinds()[-1][:2] == ("after", "unprofiled")
    assert training.kinds()[-1][3] == 8192
    assert training.capture.phase is Phase.DONE


def test_a_profiler_of_the_script_ends_the_steps_that_are_timed_after_the_recordings():
    """What was timed before it counts; nothing under it does."""
    training = Training(clock=Clock())
    training.steps(101)
    training.capture.session_starts()
    training.steps(20, ns=7 * STEP_NS)
    training.capture.session_ends()
    training.capture.finish()
    assert training.kinds()[-1] == ("after", "unprofiled", 75, 25)
    assert set(training.capture.windows[-1].samples_ns) == {STEP_NS}


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
    full = training.capture.windows[3]
    assert full.steps >= 20
    assert full.duration_ns >= 1_000_000_000 or full.steps >= 4096
    assert "prepare simulated" in training.calls()


def test_what_was_recorded_under_a_wrong_belief_is_discarded():
    """40 steps of one optimizer, then two in turn: the windows of before are dropped, new ones recorded."""
    training = Training(clock=Clock())
    training.steps(40)
    assert len(training.capture.windows) == 3
    for _ in range(150):
        training.step(key=1, before=training.clock.tick)
        training.step(key=2, before=training.clock.tick)
    assert training.folder.discard.call_args_list[-1].args == (["trace1", "trace2"],)
    assert [each[:2] for each in training.kinds()] == [
        ("short", "unprofiled"),
        ("short", "timing"),
        ("short", "attribution"),
        ("full", "unprofiled"),
        ("full", "timing"),
        ("full", "attribution"),
    ]
    assert set(training.capture.windows[0].samples_ns) == {20_000_000}


def test_recording_gives_way_and_comes_back():
    """Another profiler starts in our timing window: ours is given up at once, and its round begins anew afterwards."""
    training = Training(clock=Clock())
    training.steps(14)
    assert training.capture.phase is Phase.RECORDING
    training.capture.session_starts()
    assert training.calls()[-1] == "abandon"
    training.steps(30)
    assert training.capture.windows == []
    training.capture.session_ends()
    training.steps(80)
    assert [each[:2] for each in training.kinds()][-2:] == [("full", "timing"), ("full", "attribution")]
    assert training.capture.lost_to_others == 1


def test_a_stolen_recording_is_not_exported():
    """If the profiler is no longer ours when the window closes, nothing is exported."""
    training = Training()
    training.steps(14)
    training.recorder.available.return_value = training.recorder.stop.return_value = False
    training.steps(20)
    assert "export" not in training.calls()
    assert training.capture.windows == []


def on_another_thread(call):
    """Call it on a thread of its own, and wait for that."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_a_profiler_on_another_thread_finds_no_recording():
    """In an unprofiled window: nothing happens on that thread; the window is given up at its own next boundary."""
    training = Training()
    training.steps(8)
    opened = training.capture._open
    on_another_thread(training.capture.session_starts)
    assert training.capture._open is opened
    assert training.capture.phase is Phase.UNPROFILED
    training.step()
    training.step()
    assert training.capture.phase is Phase.SKIP
    training.capture.session_ends()
    training.steps(40)
    assert [each[1] for each in training.kinds()][:2] == ["unprofiled", "timing"]
    assert training.capture.windows[0].first_step > 8


def test_a_recording_that_cannot_be_stopped_in_time_is_lost(monkeypatch):
    """A step takes longer than the other thread's profiler is kept waiting: ours is never stopped, and none follows."""
    monkeypatch.setattr(capture, "FOREIGN_WAIT", 0.01)
    training = Training()
    training.steps(14)
    assert training.capture.phase is Phase.RECORDING
    on_another_thread(training.capture.session_starts)
    training.recorder.lose.assert_called_once()
    training.recorder.available.return_value = training.recorder.stop.return_value = False
    training.capture.session_ends()
    before = list(training.calls())
    training.steps(20)
    assert training.calls() == [*before, "abandon"]  # which stops nothing that is lost
    assert training.capture.phase is Phase.DONE


def test_a_recording_stays_open_while_a_graph_is_captured():
    """Closing it would wait for the device, which breaks the capture: it is closed, with more steps, afterwards."""
    training = Training()
    training.steps(14)
    training.device.busy_capturing = True
    training.steps(10)
    assert "stop" not in training.calls()
    assert training.capture.phase is Phase.RECORDING
    training.device.busy_capturing = False
    training.step()
    training.step()
    assert training.kinds()[1][:3] == ("short", "timing", 12)
    assert training.kinds()[1][3] > 10


def test_a_recording_is_given_up_once_a_captured_graph_is_through():
    """Something ends the window during a capture (here a profiler): it is abandoned at the first boundary after it."""
    training = Training()
    training.steps(14)
    training.device.busy_capturing = True
    training.capture.pause()
    training.step()
    assert "abandon" not in training.calls()
    training.device.busy_capturing = False
    training.step()
    training.step()
    assert training.calls().count("abandon") == 1
    assert not training.capture.recording


def test_only_one_thread_is_followed():
    """Steps of a second tracker do not disturb the windows of the first."""
    training = Training(clock=Clock())
    other = StepTracker()
    for _ in range(100):
        training.step(before=training.clock.tick)
        if other.forward(grad=True):
            training.capture.boundary(other)
        other.optimizer_start(9)
        other.optimizer_end(9)
    assert [each[3] for each in training.kinds()] == [5, 5, 3, 25, 20, 5]


def test_nothing_is_recorded_while_a_graph_is_captured():
    """Synchronizing would break the capture of a CUDA graph: the window opens when it is over."""
    training = Training()
    training.device.busy_capturing = True
    training.steps(10)
    assert training.capture.phase is Phase.SKIP
    training.device.busy_capturing = False
    training.step()
    training.step()
    assert training.capture.phase is Phase.UNPROFILED


def stages(plan):
    """Round, kind, steps, warm-up and details of each stage of a plan."""
    return [(each.round, each.kind, each.steps, each.warmup, each.detail.names) for each in plan.stages]


def test_the_plans():
    """Quick: the short round alone. Deep: more steps, and stacks. --steps is the length of the last timing window."""
    short = [
        ("short", "unprofiled", 5, 0, []),
        ("short", "timing", 5, 2, []),
        ("short", "attribution", 3, 1, ["shapes", "marks"]),
    ]
    after = ("after", "unprofiled", 8192, 0, [])
    assert stages(make(Depth.QUICK)) == short
    assert stages(make(Depth.QUICK, steps=30, attribution=False)) == [short[0], ("short", "timing", 30, 2, [])]
    assert stages(make(Depth.STANDARD)) == [
        *short,
        ("full", "unprofiled", 20, 0, []),
        ("full", "timing", 20, 3, []),
        ("full", "attribution", 5, 1, ["shapes", "marks"]),
        after,
    ]
    assert stages(make(Depth.DEEP)) == [
        *short,
        ("full", "unprofiled", 20, 0, []),
        ("full", "timing", 50, 3, []),
        ("full", "attribution", 10, 1, ["shapes", "stacks", "marks"]),
        after,
    ]
    assert [each.timed for each in (make(Depth.QUICK), make(), make(Depth.DEEP), make(steps=7))] == [5, 20, 50, 7]
    assert [each.shortest for each in (make(), make(skip=0), make(Depth.QUICK, steps=30))] == [17, 12, 42]


def test_how_many_steps_a_full_recording_takes():
    """Steps of 100 µs: 5 left alone, a short round of 16, 2500 unprofiled, 23 timed and 6 marked ones, so 2550."""
    standard, deep = make(), make(Depth.DEEP, skip=0, attribution=False)
    assert standard.whole(100_000, queues=False) == 2550
    assert standard.whole(100_000, queues=True) == 5 + 16 + 4096 + 29
    assert deep.whole(1_000_000_000, queues=False) == 5 + 7 + 20 + 53
    assert short_round(20, 2550).endswith("; a full recording takes about 2600 steps of this length")
    assert short_round(20, 85).endswith("about 85 steps of this length")


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
