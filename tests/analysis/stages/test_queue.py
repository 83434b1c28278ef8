"""The launch queue: its depth, and launches that wait for room in it."""

from stallscope.analysis.stages.queue import find_queue
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.stages.where.launches import find_launches
from stallscope.analysis.stages.where.steps import find_window
from tests.builders import TraceBuilder
from tests.real import real


def queue_of(builder):
    """The stage on a trace built here."""
    trace = builder.trace()
    window = find_window(trace)
    return find_queue(trace, window, find_launches(trace, window))


def test_depth_counts_launches_that_have_not_started():
    """Launched by 2, 4 and 6, started at 10, 40 and 70: depth 3 until 10, 2 until 40, 1 until 70, then 0."""
    builder = TraceBuilder().step(0, 35).step(35, 65)
    for i in range(3):
        builder.launch(1 + 2 * i, 1, kernel=("k", 10 + 30 * i, 30))
    found = queue_of(builder)
    assert (found.deepest, found.median, found.at_step_ends.tolist(), found.full_depth) == (3, 1.0, [2, 0], None)


def test_a_graph_is_one_launch_in_the_queue():
    """A graph of three kernels is in the queue once, until its first kernel starts."""
    found = queue_of(TraceBuilder().step(0, 100).graph_launch(0, 5, [("a", 20, 10), ("b", 30, 10), ("c", 40, 10)]))
    assert (found.deepest, found.at_step_ends.tolist()) == (1, [0])


def test_work_launched_before_the_recording_is_queued_from_its_start():
    """Two kernels without a launch before the first with one: three deep; one after it was launched by nobody knows."""
    builder = TraceBuilder().step(0, 100).kernel(("old", 10, 10)).kernel(("old", 20, 10))
    builder.launch(5, 1, kernel=("k", 40, 10)).kernel(("lost", 60, 10))
    assert queue_of(builder).deepest == 3


def test_without_device_rows_nothing_is_known():
    """Launches whose kernels were not recorded have no depth."""
    found = queue_of(TraceBuilder().step(0, 100).launch(1, 1))
    assert (found.deepest, found.median, len(found.blocked_calls)) == (None, None, 0)


def full_queue(depth, more, blocked_us):
    """``depth`` launches of 1 µs fill the queue at once, then ``more`` each wait for one of the 20 µs kernels."""
    builder = TraceBuilder().step(0, 20 * (depth + more) + 100)
    free = depth + 1
    for i in range(depth):
        builder.launch(i, 1, kernel=("k", free + 20 * i, 20))
    for i in range(more):
        place = free + 20 * (i + 1)
        builder.op("aten::mul", place - blocked_us - 1, blocked_us + 2)
        builder.launch(place - blocked_us + 0.5, blocked_us, kernel=("k", free + 20 * (depth + i), 20))
    return builder


def test_launches_that_wait_for_room_are_found_with_what_a_launch_takes():
    """100 fit; 30 more of 15 µs each return when a kernel has started: blocked 14 µs each, in aten::mul."""
    stages = analyse(full_queue(100, 30, 15).trace())
    assert (stages.queue.full_depth, len(stages.queue.blocked_calls)) == (100, 30)
    assert stages.queue.blocked_ns.tolist() == [14_000] * 30
    (site,) = stages.syncs.sites
    assert (site.kind, site.operator, site.calls, site.blocked_ns, site.waited_ns) == (
        "queue_full", "aten::mul", 30, 450_000, 420_000,
    )  # fmt: skip


def test_few_slow_launches_or_a_shallow_queue_are_no_full_queue():
    """19 slow launches at the plateau, launches as quick as the others there, or a plateau at 60: not full."""
    for depth, more, blocked_us in ((100, 19, 15), (100, 30, 2), (60, 30, 15)):
        assert queue_of(full_queue(depth, more, blocked_us)).full_depth is None


def test_the_full_queue_of_a_real_gpu(real_traces):
    """A V100 holds 1021 launches; 1285 launches of five steps wait for room, some 47 ms a step."""
    stages = real(next(real_traces.glob("v100/ns_resolution*"))).stages
    assert (stages.queue.full_depth, len(stages.queue.blocked_calls)) == (1021, 1285)
    assert round(int(stages.queue.blocked_ns.sum()) / 5e6) == 47
    assert stages.queue.at_step_ends.tolist() == [773, 1021, 1021, 1021, 1021]
