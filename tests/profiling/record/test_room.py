"""How many steps a recorded window may hold, driven by hand."""

import pytest

from stallscope.profiling.record.plan import PLAIN, WHERE, WHERE_AND_STACKS, Stage
from stallscope.profiling.record.room import Allowed, Room
from stallscope.profiling.record.windows import Recorded, Unprofiled
from stallscope.traces.model.manifest import Window

TIMING = Stage("full", "timing", 20, 3)
ATTRIBUTION = Stage("full", "attribution", 5, 1, WHERE)
SECOND = 1_000_000_000


def unprofiled(*, step_ns, operations, steps=5):
    """A closed unprofiled window."""
    ended = Unprofiled.__new__(Unprofiled)
    ended.operations = operations
    ended.window = Window(
        kind="unprofiled", round="short", first_step=5, steps=steps, duration_ns=steps * step_ns, samples_ns=[]
    )
    return ended


def recorded(kind, *, megabytes, steps=5):
    """A closed recorded window whose trace has so many MB."""
    ended = Recorded.__new__(Recorded)
    ended.bytes = int(megabytes * 1e6)
    ended.window = Window(kind=kind, round="short", first_step=12, steps=steps, duration_ns=1, samples_ns=[])
    return ended


def test_nothing_known_allows_what_was_planned():
    """As many steps as planned, five seconds at most beyond what one step takes."""
    assert Room().allow(TIMING, queues=False) == Allowed(20, 5 * SECOND)


@pytest.mark.parametrize(("megabytes", "steps"), [(1, 20), (24.9, 20), (25, 20), (50, 10), (500, 1), (5000, 1)])
def test_a_window_fills_100_mb_at_most(megabytes, steps):
    """5 steps that filled so many MB: the next timing window holds as many as fill 100 MB, and never none."""
    room = Room()
    room.learn(recorded("timing", megabytes=megabytes))
    assert room.allow(TIMING, queues=False).steps == steps


def test_what_an_attribution_step_fills_is_guessed_from_a_timed_one_and_then_known():
    """20 MB a timed step: with shapes and marks 40 MB, so 2 steps; 10 MB once seen, so all 5; 20 MB with stacks."""
    room = Room()
    room.learn(recorded("timing", megabytes=100))
    assert room.allow(ATTRIBUTION, queues=False).steps == 2
    room.learn(recorded("attribution", megabytes=50))
    assert room.allow(ATTRIBUTION, queues=False).steps == 5
    deep = Stage("full", "attribution", 10, 1, WHERE_AND_STACKS)
    assert room.allow(deep, queues=False).steps == 5


def test_the_first_recording_is_bounded_by_the_autograd_nodes_of_a_step():
    """10 000 nodes at 8 kB are 80 MB a step on a CPU; at 20 kB, with the rows of a GPU, 200 MB: one step even so."""
    stage = Stage("short", "timing", 5, 2, PLAIN)
    for nodes, on_host, on_device in ((100, 5, 5), (2_000, 5, 2), (10_000, 1, 1)):
        room = Room()
        room.learn(unprofiled(step_ns=SECOND, operations=5 * nodes))
        assert room.allow(stage, queues=False).steps == on_host
        assert room.allow(stage, queues=True).steps == on_device


def test_the_first_recording_of_a_loop_without_autograd_is_bounded_by_its_time():
    """No nodes (inference), or a torch that does not count them: 100 bytes a µs, on a GPU 250; nothing below 200 ms."""
    stage = Stage("short", "timing", 5, 2, PLAIN)
    for operations in (0, None):
        for step_ns, on_host, on_device in ((SECOND // 10, 5, 4), (SECOND // 2, 2, 1), (10 * SECOND, 1, 1)):
            room = Room()
            room.learn(unprofiled(step_ns=step_ns, operations=operations))
            assert room.allow(stage, queues=False).steps == on_host
            assert room.allow(stage, queues=True).steps == on_device


def test_what_a_loop_does_now_counts():
    """A short window with nodes, then one without: the nodes of before say nothing of it any more."""
    room = Room()
    for operations in (5 * 10_000, 0):
        room.learn(unprofiled(step_ns=SECOND // 1000, operations=operations))
    assert room.allow(TIMING, queues=False).steps == 20


def test_a_window_of_slow_steps_stays_open_five_times_as_long_as_it_should():
    """20 steps of 1 s that fill 1 MB each: 100 s; of 1 ms: 5 s."""
    for step_ns, patience_ns in ((SECOND, 100 * SECOND), (SECOND // 1000, 5 * SECOND)):
        room = Room()
        room.learn(unprofiled(step_ns=step_ns, operations=5 * 50))
        assert room.allow(TIMING, queues=True) == Allowed(20, patience_ns)
