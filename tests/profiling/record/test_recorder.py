"""What the recorder does where torch's profiler does not start, or not with everything that was asked for."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from stallscope.profiling.machine.device import Host
from stallscope.profiling.record.capture import Capture
from stallscope.profiling.record.plan import Detail, make
from stallscope.profiling.record.recorder import NoProfilerError, Recorder, _ranges
from stallscope.profiling.run.run_findings import findings_of_run
from stallscope.profiling.watch.steps import StepTracker
from stallscope.traces.model.manifest import Steps
from tests.profiling.record.driven import a_folder, a_sight

BUSY = "CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED\nException raised from prepare at profiler.cpp:1"


class Profile:
    """A profiler whose ``refusing`` methods fail while it is made with any of the ``held`` activities."""

    def __init__(self, log, held, refusing, **options):
        self.log, self.told = log, options
        self.refused = refusing if {each.name for each in options["activities"]} & held else ()

    def _do(self, name):
        self.log.append((name, [each.name for each in self.told["activities"]], "experimental_config" in self.told))
        if name in self.refused:
            raise RuntimeError(BUSY)

    def prepare_trace(self):
        """Warm up, or fail."""
        self._do("prepare")

    def start_trace(self):
        """Start, or fail."""
        self._do("start")


def taken(*held, at):
    """A torch whose interface to the devices ``held`` is taken by another tool, which shows ``at`` a method."""
    kinds = SimpleNamespace(CPU=SimpleNamespace(name="CPU"), CUDA=SimpleNamespace(name="CUDA"))
    log = []
    profiler = SimpleNamespace(
        ProfilerActivity=kinds,
        supported_activities=lambda: [kinds.CPU, kinds.CUDA],
        profile=lambda **options: Profile(log, set(held), at, **options),
    )
    inside = SimpleNamespace(_profiler=SimpleNamespace(), _autograd=SimpleNamespace(_profiler_enabled=lambda: False))
    record = SimpleNamespace(__enter__=lambda: None)
    autograd = SimpleNamespace(profiler=SimpleNamespace(record_function=lambda _name: record))
    return SimpleNamespace(profiler=profiler, _C=inside, autograd=autograd), log


@pytest.mark.parametrize("at", ["prepare", "start"])
def test_a_device_interface_that_somebody_holds(at):
    """Nsight or ncu has CUPTI: once more with the host alone, which is what is said to be recorded, and why."""
    fake, log = taken("CUDA", at=(at,))
    recorder = Recorder(fake, cpu_only=False)
    prepared, _ = recorder.prepare("cuda", Detail())
    assert prepared == (["CPU"] if at == "prepare" else ["CPU", "CUDA"])
    assert recorder.start() == ["CPU"]
    both, host = ["CPU", "CUDA"], ["CPU"]
    expected = [("prepare", both, True), ("prepare", host, False), ("start", host, False)]
    if at == "start":
        expected.insert(1, ("start", both, True))
    assert log == expected
    (note,) = recorder.notes
    assert note.name == "device_interface_in_use"
    assert note.text == (
        "the GPU could not be recorded (CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED), only the host: another "
        "profiler may hold its interface; end it (Nsight, ncu, DCGM, rocprof) and record again"
    )


def test_it_is_said_once_however_many_windows_there_are():
    """Two windows, both refused the device: one finding."""
    fake, _ = taken("CUDA", at=("prepare",))
    recorder = Recorder(fake, cpu_only=False)
    for _ in range(2):
        recorder.prepare("cuda", Detail())
        recorder.start()
    assert len(recorder.notes) == 1


def trained(recorder):
    """A capture that followed 60 steps."""
    tracker = StepTracker()
    capture = Capture(make(), recorder=recorder, device=Host, sight=a_sight(removable=False), output=a_folder())
    for _ in range(60):
        if tracker.forward(grad=True):
            capture.boundary(tracker)
        if tracker.optimizer_start(1) or tracker.optimizer_end(1):
            capture.boundary(tracker)
    capture.finish()
    return capture


@pytest.mark.parametrize("at", ["prepare", "start"])
def test_a_profiler_that_does_not_start_at_all(at):
    """Not even for the host: nothing is recorded, no exception leaves the capture, and one sentence says why."""
    fake, log = taken("CPU", "CUDA", at=(at,))
    recorder = Recorder(fake, cpu_only=False)
    if at == "prepare":
        with pytest.raises(NoProfilerError):
            recorder.prepare("cuda", Detail())
    log.clear()
    capture = trained(recorder)
    assert capture.windows == []
    assert capture.phase.name == "DONE"
    assert len([name for name, _, _ in log if name == at]) == 1  # it is not tried again in each step
    events = SimpleNamespace(trackers=[])
    account = SimpleNamespace(capture=capture, exit_code=0, interrupted=False, torch=fake, events=events)
    told = findings_of_run(account, Steps(count=60, source="optimizer"), unwritable=False)
    assert [each.name for each in told if each.name != "device_interface_in_use"] == ["profiler_refused"]
    assert "torch's profiler does not start here" in told[-1].text


def test_stacks_that_cannot_be_recorded_are_said():
    """Under a function that listens to calls (cProfile, coverage) stacks are left out, and it is said."""
    recorder = Recorder(torch, cpu_only=True)
    before = sys.getprofile()
    try:
        sys.setprofile(lambda *_: None)
        _, details = recorder.prepare("cpu", Detail(shapes=True, stacks=True))
    finally:
        sys.setprofile(before)
        recorder.abandon()
    assert details == ["shapes"]
    assert [each.name for each in recorder.notes] == ["stack_tracer_lost"]


def test_without_torchs_binding_ranges_are_made_by_its_public_function():
    """An older torch has no ``_record_function_with_args_enter``: the range that is opened is closed."""
    log = []

    class Range:
        """A range of torch's; notes what happens to it."""

        def __init__(self, name):
            self.name = name

        def __enter__(self):
            log.append(("in", self.name))

        def __exit__(self, *_):
            log.append(("out", self.name))

    old = SimpleNamespace(autograd=SimpleNamespace(profiler=SimpleNamespace(record_function=Range)))
    enter, leave = _ranges(old)
    leave(enter("a"))
    assert log == [("in", "a"), ("out", "a")]
    log.clear()
    recorder = Recorder(old, cpu_only=True)
    for index in (7, 8):
        recorder.begin_step(index)
        recorder.end_step()
    recorder.end_step()  # there is none
    assert log == [(what, f"ProfilerStep#{index}") for index in (7, 8) for what in ("in", "out")]


@pytest.mark.parametrize("fast", [True, False])
def test_both_ways_make_the_same_row(fast):
    """The binding and ``record_function``: a range of this name among the events, closed after what is in it."""
    if not fast:
        slow = SimpleNamespace(autograd=SimpleNamespace(profiler=torch.autograd.profiler))
    enter, leave = _ranges(torch if fast else slow)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorded:
        opened = enter("a range")
        torch.ones(3)
        leave(opened)
    (step,) = [each for each in recorded.events() if each.name == "a range"]
    (ones,) = [each for each in recorded.events() if each.name == "aten::ones"]
    assert step.time_range.start <= ones.time_range.start
    assert ones.time_range.end <= step.time_range.end
