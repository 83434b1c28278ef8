"""Capture obeys what ``Room`` and the disk allow, driven by hand: windows that hold fewer steps, or none."""

from __future__ import annotations

from tests.profiling.record.driven import STEP_NS, Clock, Training

MEGABYTE = 1_000_000


def training(tmp_path, *, megabytes=0.001, nodes=10, **plan):
    """A training of steps of 10 ms, with its clock. ``megabytes`` a step fills, ``nodes`` a step makes."""
    clock = Clock()
    made = Training(clock=clock, **plan)
    made.made, exported = 0, []

    def export(path):
        steps = made.recorder.begin_step.call_count - sum(exported)
        exported.append(steps)
        with path.open("wb") as file:
            file.truncate(int(steps * megabytes * MEGABYTE))  # sparse: nothing is written

    made.recorder.export.side_effect = export
    made.recorder.operations.side_effect = lambda: made.made
    made.folder.new_trace.side_effect = lambda: tmp_path / "trace"

    def run(steps, *, slow=()):
        for at in range(steps):
            made.made += nodes
            made.step(before=lambda ns=STEP_NS * (10_000 if at in slow else 1): clock.tick(ns))

    made.run = run
    return made


def notes(made):
    """The findings of the windows."""
    return [(each.name, each.text) for each in made.capture.notes]


def test_small_traces_are_as_long_as_planned(tmp_path):
    """1 kB a step: 5, 3, 20 and 5 steps, and nothing to say."""
    made = training(tmp_path)
    made.run(120)
    assert [each[3] for each in made.kinds() if each[1] != "unprofiled"] == [5, 3, 20, 5]
    assert notes(made) == []


def test_a_window_holds_as_many_steps_as_fit(tmp_path):
    """25 MB a step, seen in the short round: 4 timed steps instead of 20, 4 marked ones instead of 5; it is said."""
    made = training(tmp_path, megabytes=25)
    made.run(120)
    assert [each[3] for each in made.kinds() if each[1] != "unprofiled"] == [5, 2, 4, 4]
    assert [name for name, _ in notes(made)] == ["fewer_steps"] * 3
    assert notes(made)[1][1] == (
        "the timing window holds 4 of 20 steps: a step fills 25 MB of trace, and the training stands still while a "
        "trace is written"
    )


def test_the_first_window_is_bounded_by_autograd_nodes(tmp_path):
    """10 000 nodes a step might fill 80 MB: one step is recorded. It filled 1 kB, so the full round is whole."""
    made = training(tmp_path, nodes=10_000)
    made.run(120)
    assert [each[3] for each in made.kinds() if each[1] != "unprofiled"] == [1, 3, 20, 5]
    ((_, said),) = notes(made)
    assert said == (
        "the timing window holds 1 of 5 steps: how much a step fills was not known before, and it might have been too "
        "much"
    )


def test_a_window_with_a_step_that_takes_very_long_closes_early(tmp_path):
    """An evaluation of 100 s in the second timed step of 10 ms: the window ends with it, and says so."""
    made = training(tmp_path)
    made.run(30, slow=(13,))
    assert made.kinds()[:2] == [("short", "unprofiled", 5, 5), ("short", "timing", 12, 2)]
    ((_, said),) = notes(made)
    assert said == (
        "the timing window holds 2 of 5 steps: one took many times as long as the others (an evaluation?), so it was "
        "closed early"
    )


def test_room_is_asked_for_before_each_recording(tmp_path):
    """For what the steps of the window are expected to fill: first 5 of 10 nodes at 8 kB, then what was seen."""
    made = training(tmp_path, megabytes=2)
    made.run(120)
    asked = [each.args[0] for each in made.folder.room_for.call_args_list]
    assert asked == [5 * 10 * 8000, 3 * 4 * MEGABYTE, 20 * 2 * MEGABYTE, 5 * 2 * MEGABYTE]


def test_without_room_nothing_more_is_recorded(tmp_path):
    """30 MB free, 40 MB to come: the short round stays, the profiler is not even prepared, and steps go on."""
    made = training(tmp_path, megabytes=2)
    made.folder.room_for.side_effect = lambda size: size <= 30 * MEGABYTE
    made.run(120)
    assert made.kinds() == [
        ("short", "unprofiled", 5, 5),
        ("short", "timing", 12, 5),
        ("short", "attribution", 18, 3),
    ]
    assert sum(call.startswith("prepare") for call in made.calls()) == 2
    assert made.tracker.completed == 119
    assert made.capture.phase.name == "DONE"


def test_without_room_for_the_first_trace_there_is_no_window(tmp_path):
    """Nothing is recorded, not even prepared."""
    made = training(tmp_path)
    made.folder.room_for.return_value = False
    made.run(60)
    assert made.kinds() == []
    assert made.calls() == []
