"""The tracks painted into a trace: the idle account kept instant by instant, waits and counters, never overlapping."""

from __future__ import annotations

import numpy as np

from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.views.tracks import Track, find_counters, find_tracks
from tests.analysis.synthetic import three_steps
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real


def tracks_of(builder: TraceBuilder) -> dict[str, list[tuple[float, float, str]]]:
    """(start, duration, name) of the slices of each track, µs."""
    found = find_tracks(analyse(builder.trace()), "host-bound", "why")
    return {track.name: [(s.start_ns / 1000, s.dur_ns / 1000, s.name) for s in track.slices] for track in found}


def one_wait() -> TraceBuilder:
    """A step of 100 µs: a kernel from 10 to 40, waited for from 20 to 45, and one launched at 80 from 90 to 100."""
    builder = TraceBuilder().step(0, 100).launch(2, 5, kernel=("k", 10, 30)).op("aten::item", 18, 30).sync(20, 25)
    return builder.launch(80, 5, kernel=("k", 90, 10))


def test_the_tracks_of_one_step():
    """What the GPU does not do from 0 to 10 and from 40 to 90 is told to the µs; the wait is named by its operator."""
    tracks = tracks_of(one_wait())
    assert tracks["Verdict"] == [(0.0, 100.0, "step 1 of 1: host-bound, 100 µs")]
    assert tracks["Critical path: what the steps wait for"][1:4] == [
        (2.0, 8.0, "a launch on its way to the GPU"),
        (10.0, 30.0, "GPU: k"),
        (40.0, 5.0, "the CPU returns from waiting for the GPU"),
    ]
    assert tracks["Why GPU 0 idles"] == [
        (0.0, 2.0, "idle: Python between the operators"),
        (2.0, 8.0, "idle: a launch on its way"),
        (40.0, 5.0, "idle: the CPU returns from waiting for the GPU"),
        (45.0, 3.0, "idle: PyTorch operators on the CPU"),
        (48.0, 32.0, "idle: Python between the operators"),
        (80.0, 10.0, "idle: a launch on its way"),
    ]
    (wait,) = next(slices for name, slices in tracks.items() if name.startswith("Where the CPU waits"))
    assert wait == (20.0, 25.0, "waits: aten::item")


def test_the_queue_as_a_counter():
    """Two launches are queued from their return at 7 and at 85 until their kernels start at 10 and at 90."""
    (queue,) = find_counters(analyse(one_wait().trace()))
    assert list(zip((queue.ts_ns / 1000).tolist(), queue.values.tolist(), strict=True)) == [
        (7.0, 1.0), (10.0, 0.0), (85.0, 1.0), (90.0, 0.0),
    ]  # fmt: skip


def test_memory_as_counters():
    """Two samples at one instant: the higher is shown. Reserved and allocated are counters of their own, in MB."""
    builder = one_wait().memory(10, 1_000_000, 4_000_000).memory(20, 3_000_000, 4_000_000)
    builder.memory(20, 2_000_000, 4_000_000)
    found = {each.name: each for each in find_counters(analyse(builder.trace()))}
    allocated = found["GPU 0 memory allocated"]
    assert list(found)[1:] == ["GPU 0 memory reserved", "GPU 0 memory allocated"]
    assert (allocated.unit, (allocated.ts_ns / 1000).tolist()) == ("MB", [10.0, 20.0])
    assert allocated.values.tolist() == [1.0, 3.0]


def test_copies_that_run_together_add_up():
    """100 kB in 10 µs from 20 and 50 kB in 10 µs from 25, both to the GPU: 10, 15, 5 GB/s and none."""
    builder = TraceBuilder().step(0, 100).op("aten::to", 0, 20)
    builder.memcpy(1, 5, copy=("Memcpy HtoD (Pinned -> Device)", 20, 10), nbytes=100_000)
    builder.memcpy(8, 5, copy=("Memcpy HtoD (Pinned -> Device)", 25, 10), nbytes=50_000, stream=8)
    copies = next(each for each in find_counters(analyse(builder.trace())) if each.name == "copies HtoD")
    assert list(zip((copies.ts_ns / 1000).tolist(), np.round(copies.values, 6).tolist(), strict=True)) == [
        (20.0, 10.0), (25.0, 15.0), (30.0, 5.0), (35.0, 0.0),
    ]  # fmt: skip


def test_a_trace_whose_device_rows_are_missing_shows_no_idle_time():
    """Launches without a kernel: nothing is said of the GPU, the steps are still marked."""
    builder = TraceBuilder().step(0, 100).launch(10, 5).launch(20, 5).launch(30, 5)
    assert list(tracks_of(builder)) == ["Verdict"]
    assert find_counters(analyse(builder.trace())) == ()


def test_overlapping_slices_are_noticed():
    """The law can fail: the second slice of a track begins before the first has ended."""
    track = find_tracks(analyse(three_steps().trace()), "host-bound", "why")[0]
    assert track.disjoint()
    assert not Track(track.name, (track.slices[0], track.slices[0])).disjoint()


@every_real_trace
def test_on_real_traces(path):
    """The idle stretches sum to the idle time, to the ns, none overlapping, and no two slices of a track overlap."""
    stages = real(path).stages
    assert stages.broken_laws() == []
    assert all(track.disjoint() for track in find_tracks(stages, "x", "y"))
