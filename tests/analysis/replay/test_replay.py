"""The dependency graph and its replay on traces of a few events, every time by hand."""

import numpy as np
import pytest

from stallscope.analysis.replay.graph import Graph, Kind, Link, Work
from stallscope.analysis.replay.graph_build import build
from stallscope.analysis.replay.replay import replay
from stallscope.analysis.stages.stages import analyse
from tests.builders import TraceBuilder


def graph_of(builder: TraceBuilder) -> Graph:
    """The graph of a built trace."""
    graph = build(analyse(builder.trace()))
    assert graph is not None
    return graph


def waiting_loop(steps: int = 4) -> TraceBuilder:
    """Steps of 100 µs: two kernels of 20 µs, launched at 10 and 20, run from 18 to 59; the host waits to 65."""
    builder = TraceBuilder()
    for n in range(steps):
        at = 100 * n
        builder.step(at, 100).op("aten::mm", at + 8, 14)
        builder.launch(at + 10, 4, kernel=("gemm", at + 18, 20)).launch(at + 20, 4, kernel=("gemm", at + 39, 20))
        builder.sync(at + 40, 25, name="cudaStreamSynchronize")
    return builder


def test_replay_gives_the_measured_times_back():
    """Every node of a regular loop starts and ends when it did."""
    graph = graph_of(waiting_loop())
    times = replay(graph)
    assert times.start_ns.tolist() == graph.start_ns.tolist()
    assert times.end_ns.tolist() == graph.end_ns.tolist()
    assert times.completion_ns.tolist() == [100_000, 200_000, 300_000, 400_000]
    assert times.step_ns == 100_000


def test_the_constants_are_those_of_the_trace():
    """Launch latency 8 µs from the call's start, the call takes 4, the wait returns 6 µs after the last kernel."""
    constants = graph_of(waiting_loop()).constants
    assert (constants.launch_ns, constants.launch_from_end, constants.sync_return_ns) == (8_000, False, 6_000)
    assert (constants.launch_call_ns, constants.queue_depth) == (4_000, None)


def test_a_wait_that_goes_lets_the_host_run_on():
    """Without the waits a step takes the host's 75 µs: 100 less the 25 in the call, of which 6 are its own."""
    graph = graph_of(waiting_loop())
    waits = graph.kind == Kind.SYNC
    assert graph.duration_ns[waits].tolist() == [6_000] * 4  # a call that returns at once would take that
    assert replay(graph, dropped=[Link.SYNC], passes=2).step_ns == 81_000
    assert replay(graph.free([Work.SYNC]), passes=2).step_ns == 75_000
    assert replay(graph.without(waits), passes=2).step_ns == 75_000


def test_nothing_is_faster_than_the_device():
    """A free host leaves the two kernels, the µs between them, the launch and the return from the wait."""
    graph = graph_of(waiting_loop())
    assert replay(graph.free([Work.HOST]), passes=2).step_ns == 8_000 + 20_000 + 1_000 + 20_000 + 6_000
    assert replay(graph.free([Work.HOST, Work.SYNC]), passes=2).step_ns == pytest.approx(42_000, abs=1_500)


def test_durations_can_be_replaced():
    """Kernels twice as long: the step grows by the two."""
    graph = graph_of(waiting_loop())
    slower = np.where(graph.kind == Kind.KERNEL, 2 * graph.duration_ns, graph.duration_ns)
    assert replay(graph, slower, passes=2).step_ns == 140_000


def test_an_edge_against_the_order_is_refused():
    """A graph that somebody changed so that a node waits for a later one cannot be replayed, and says so."""
    graph = graph_of(waiting_loop())
    graph.edges.source[:] = len(graph) - 1
    with pytest.raises(ValueError, match="not evaluated after its source"):
        replay(graph)


def test_there_is_no_graph_without_device_work():
    """A CPU run has nothing to replay."""
    assert build(analyse(TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 10, 20).trace())) is None


def test_a_wait_that_had_nothing_to_wait_for_costs_what_it_took():
    """Kernels end at 38, the call lasts from 40 to 42: no wait returns, and 6 µs after the kernel would be too late."""
    builder = TraceBuilder()
    for n in range(4):
        at = 100 * n
        builder.step(at, 100).launch(at + 10, 4, kernel=("gemm", at + 18, 20)).sync(at + 40, 2)
    graph = graph_of(builder)
    assert replay(graph).end_ns.tolist() == graph.end_ns.tolist()
    assert graph.edges.lag_ns[graph.edges.link == Link.SYNC].tolist() == [4_000] * 4
    assert graph.constants.sync_return_ns is None


def two_streams(*, told: bool) -> TraceBuilder:
    """Steps of 100 µs: a kernel on stream 7 until 58, then one on stream 20 that was told to wait for it until 79.

    Both are launched by 30; ``told``: the trace says what the second waits for.
    """
    builder = TraceBuilder()
    for n in range(4):
        at = 100 * n
        builder.step(at, 100).launch(at, 4, kernel=("fill", at + 8, 1))
        builder.launch(at + 10, 4, kernel=("gemm", at + 18, 40))
        builder.call("cudaEventRecord", at + 16, 1).call("cudaStreamWaitEvent", at + 18, 1)
        wait = builder._correlation
        said = {"stream": 20, "correlation": wait, "wait_on_stream": 7, "wait_on_cuda_event_record_corr_id": wait - 1}
        if told:
            builder.complete("cuda_sync", "Stream Wait Event", at + 18, 1, pid=0, tid=20, **said)
        builder.launch(at + 20, 4, kernel=("side", at + 59 + 20 * (not told), 20), stream=20)
    return builder


def test_a_stream_waits_for_what_it_was_told_to_wait_for():
    """The second kernel follows the first by the usual gap; as soon as the first is free, it starts when launched."""
    graph = graph_of(two_streams(told=True))
    side = np.flatnonzero(graph.on_device & (graph.resource == graph.resource[-1]))
    waits = graph.edges.of(graph.edges.link == Link.EVENT)
    assert sorted(waits.target.tolist()) == side.tolist()
    assert waits.lag_ns.tolist() == [1_000] * 4
    assert replay(graph).start_ns[side].tolist() == [59_000, 159_000, 259_000, 359_000]
    first = graph.on_device & (graph.start_ns % 100_000 == 18_000)
    free = replay(graph, np.where(first, 0, graph.duration_ns))
    assert free.start_ns[side].tolist() == pytest.approx([28_000, 128_000, 228_000, 328_000], abs=1_500)


def test_work_that_waits_for_nothing_that_is_recorded_is_late():
    """The same kernel 20 µs after the first one's end, and nothing says why: four times 51 µs are unexplained."""
    graph = graph_of(two_streams(told=False))
    assert not (graph.edges.link == Link.EVENT).any()
    assert graph.late_ns == 4 * 51_000
