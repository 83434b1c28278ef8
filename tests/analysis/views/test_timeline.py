"""Steps as timelines: which are chosen, what lies on which lane and level."""

from __future__ import annotations

import pytest

from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.views import timeline
from stallscope.analysis.views.timeline import Lane, Timeline, find_timelines
from tests.builders import TraceBuilder
from tests.real import real, small_real_traces


def lanes(found: Timeline) -> dict[str, list[tuple[float, float, str, str, int]]]:
    """(start, duration, name, kind, level) by lane, µs."""
    return {
        lane.name: [
            (start / 1000, duration / 1000, *rest)
            for start, duration, *rest in zip(
                lane.starts.tolist(), lane.durations.tolist(), lane.names, lane.kinds, lane.levels, strict=True
            )
        ]
        for lane in found.lanes
    }


def test_one_step():
    """The operator holds the call in it, one level deeper; what begins before the step is cut at its start."""
    builder = TraceBuilder().step(100, 100).op("aten::item", 110, 50).sync(120, 30).op("early", 90, 15)
    builder.launch(101, 2, kernel=("k", 105, 40))
    (found,) = find_timelines(analyse(builder.trace()))
    by_name = lanes(found)
    assert (found.label, found.number, found.length_ns, found.left_out) == ("median", 1, 100_000, 0)
    assert by_name["GPU 0 stream 7"] == [(5.0, 40.0, "k", "kernel", 0)]
    (thread,) = [ranges for name, ranges in by_name.items() if not name.startswith("GPU")]
    assert thread == [
        (0.0, 5.0, "early", "operator", 0),
        (1.0, 2.0, "cudaLaunchKernel", "launch", 1),
        (10.0, 50.0, "aten::item", "operator", 0),
        (20.0, 30.0, "cudaDeviceSynchronize", "wait", 1),
    ]
    assert by_name["GPU 0 idles"][0] == (0.0, 1.0, "host_operator", "host_operator", 0)


def test_the_steps_that_are_shown():
    """Of steps of 10, 30, 20 and 90 µs: the median (20 and 30 are both), the slowest and the fastest, each once."""
    builder = TraceBuilder()
    for start, duration in ((0, 10), (10, 30), (40, 20), (60, 90)):
        builder.step(start, duration).op("aten::mm", start + 1, 5)
    found = find_timelines(analyse(builder.trace()))
    assert [(each.label, each.number) for each in found] == [("median", 2), ("slowest", 4), ("fastest", 1)]


def test_outliers_that_are_asked_for():
    """Steps 2 and 4 as outliers: 4 is the slowest already and stays it, 2 is shown last."""
    builder = TraceBuilder()
    for start, duration in ((0, 100), (100, 40), (140, 100), (240, 300), (540, 20), (560, 100)):
        builder.step(start, duration).op("aten::mm", start + 1, 5)
    found = find_timelines(analyse(builder.trace()), (2, 4))
    assert [(each.label, each.number) for each in found] == [
        ("median", 3),
        ("slowest", 4),
        ("fastest", 5),
        ("outlier", 2),
    ]


def test_an_outlier_shows_fewer_ranges(monkeypatch: pytest.MonkeyPatch):
    """With one range for an outlier and two for any other step, of three: two of the outlier's are left out."""
    monkeypatch.setattr(timeline, "MOST", 2)
    monkeypatch.setattr(timeline, "MOST_OF_OUTLIER", 1)
    builder = TraceBuilder(gpu=None)
    for start, length in ((0, 100), (100, 101), (201, 102), (303, 103)):
        builder.step(start, length).op("a", start, 10).op("b", start + 20, 1).op("c", start + 30, 20)
    found = {each.label: each.left_out for each in find_timelines(analyse(builder.trace()), (2,))}
    assert (found["outlier"], found["median"]) == (2, 1)


def test_a_step_of_too_many_ranges(monkeypatch: pytest.MonkeyPatch):
    """Of three operators two are shown, the longest, and one is said to be left out."""
    monkeypatch.setattr(timeline, "MOST", 2)
    builder = TraceBuilder(gpu=None).step(0, 100).op("a", 0, 10).op("b", 20, 1).op("c", 30, 20)
    (found,) = find_timelines(analyse(builder.trace()))
    assert found.left_out == 1
    assert [name for lane in found.lanes for name in lane.names] == ["a", "c"]


def test_overlapping_ranges_are_noticed():
    """The law can fail: the same range twice on one level."""
    builder = TraceBuilder().step(0, 100).launch(2, 5, kernel=("k", 10, 30))
    lane = find_timelines(analyse(builder.trace()))[0].lanes[-1]
    twice = lane.starts.repeat(2), lane.durations.repeat(2), lane.names * 2, lane.kinds * 2, lane.levels * 2
    assert lane.disjoint()
    assert not Lane(lane.name, lane.group, *twice).disjoint()


def test_where_a_wait_and_an_idle_stretch_lie():
    """By the trace alone: the operators around the wait, and around the launch that ends the stretch."""
    builder = TraceBuilder().step(0, 100).launch(2, 5, kernel=("k", 10, 30)).op("aten::item", 18, 30).sync(20, 25)
    builder.op("aten::mm", 70, 20).launch(80, 5, kernel=("k", 90, 10))
    (found,) = find_timelines(analyse(builder.trace()))
    idle, thread, stream = found.lanes
    assert [place for place in thread.places if place] == ["At aten::item"]
    assert thread.names[thread.places.index("At aten::item")] == "cudaDeviceSynchronize"
    assert stream.places == ()
    assert dict(zip(idle.starts.tolist(), idle.places, strict=True)) == {
        0: "",
        2_000: "",
        40_000: "After the wait at aten::item",
        45_000: "Until the next work is started by aten::mm",
        48_000: "Until the next work is started by aten::mm",
        70_000: "Until the next work is started by aten::mm",
        80_000: "Until the next work is started by aten::mm",
    }


@small_real_traces
def test_real_traces(path):
    """On every lane of every step shown, ranges of one level do not overlap, and none leaves its step."""
    for found in find_timelines(real(path).stages):
        assert all(lane.disjoint() for lane in found.lanes)
        assert all(int(lane.starts.min()) >= 0 for lane in found.lanes)
        assert all(int((lane.starts + lane.durations).max()) <= found.length_ns for lane in found.lanes)
