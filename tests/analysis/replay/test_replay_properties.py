"""The replay against a slow one that anybody can check, and what must hold of every graph."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stallscope.analysis.replay.counterfactual import NAMES, find_replayed
from stallscope.analysis.replay.graph import NEVER, Constants, Edges, Graph, Kind, Link, Work
from stallscope.analysis.replay.graph_build import build
from stallscope.analysis.replay.replay import replay
from stallscope.analysis.stages.stages import Stages, analyse
from stallscope.traces.read.read import read
from tests.examples import examples
from tests.sample_simulator import Copy, Hardware, Instruction, Launch, OnThread, Op, Simulator, Sync, item, steps
from tests.sample_simulator import Work as Busy
from tests.sample_trace import trace_bytes

CONSTANTS = Constants(
    launch_ns=None, launch_from_end=False, gap_ns=None, sync_return_ns=None, launch_call_ns=None, queue_depth=None
)
LEAD_NS = st.integers(-5, 20)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to three threads and two streams of a few nodes each, evaluated in a random order, with random edges."""
    threads, streams = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    sizes = [draw(st.integers(1, 5)) for _ in range(threads + streams)]
    resource = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    turns = draw(st.permutations(resource.tolist()))  # whose next node comes next
    key = np.empty(len(resource), dtype=np.int64)
    for each in range(len(sizes)):
        key[resource == each] = [place for place, turn in enumerate(turns) if turn == each]
    size = len(resource)
    numbers = st.integers(0, size - 1)
    found = [pair for pair in draw(st.lists(st.tuples(numbers, numbers), max_size=12)) if key[pair[0]] < key[pair[1]]]
    on_device = resource >= threads
    columns = np.array(found, dtype=np.int64).reshape(-1, 2)
    edges = Edges(
        source=columns[:, 0],
        from_end=np.array([draw(st.booleans()) for _ in found], dtype=np.bool_),
        target=columns[:, 1],
        lag_ns=np.array([draw(LEAD_NS) for _ in found], dtype=np.int64),
        link=np.array([draw(st.sampled_from(list(Link))) for _ in found], dtype=np.uint8),
    )
    work = [draw(st.sampled_from(list(Work))) for _ in range(size)]
    released = np.array([draw(st.sampled_from([NEVER, 3, 11])) for _ in range(size)], dtype=np.int64)
    return Graph(
        kind=np.where(on_device, Kind.KERNEL, Kind.SEGMENT).astype(np.uint8),
        work=np.array(work, dtype=np.uint8),
        tag=np.zeros(size, dtype=np.uint8),
        resource=resource,
        row=np.full(size, -1),
        step=np.zeros(size, dtype=np.int32),
        start_ns=np.zeros(size, dtype=np.int64),
        end_ns=np.zeros(size, dtype=np.int64),
        duration_ns=np.array([draw(st.integers(0, 9)) for _ in range(size)], dtype=np.int64),
        gap_ns=np.where(on_device, [draw(st.integers(-2, 4)) for _ in range(size)], 0),
        release_ns=np.where(on_device, released, NEVER),
        carried=np.zeros(size, dtype=np.bool_),
        key=key,
        edges=edges,
        threads=threads,
        main=0,
        step_last=np.array([sizes[0] - 1]),
        step_ends_ns=np.zeros(1, dtype=np.int64),
        constants=CONSTANTS,
        late_ns=0,
        contradicted=0,
    )


def by_hand(graph: Graph) -> tuple[list[int], list[int]]:
    """Starts and ends by the definitions alone: raise every bound until nothing moves any more."""
    size, device = len(graph), graph.on_device.tolist()
    starts, ends = [NEVER] * size, [NEVER] * size
    columns = (graph.edges.source, graph.edges.from_end, graph.edges.target, graph.edges.lag_ns)
    edges = list(zip(*(column.tolist() for column in columns), strict=True))
    for _ in range(2 * size + 1):
        for i in range(size):
            follows = i > 0 and graph.resource[i] == graph.resource[i - 1]
            before = ends[i - 1] if follows else 0
            bounds = [(ends if from_end else starts)[s] + lag for s, from_end, target, lag in edges if target == i]
            if device[i]:
                starts[i] = max(before + int(graph.gap_ns[i]), int(graph.release_ns[i]), *bounds, NEVER)
                ends[i] = starts[i] + int(graph.duration_ns[i])
            else:
                starts[i] = before
                ends[i] = max(before + int(graph.duration_ns[i]), *bounds, NEVER)
    return starts, ends


@examples(200)
@given(graphs())
def test_replay_is_the_longest_path(graph):
    """Every start and every end is what the definitions give."""
    times = replay(graph)
    assert (times.start_ns.tolist(), times.end_ns.tolist()) == by_hand(graph)


@examples(100)
@given(graphs(), st.sampled_from(list(Link)), st.data())
def test_less_to_do_never_takes_longer(graph, link, data):
    """Free classes, shorter durations, nodes or edges left out: no node starts or ends later than before."""
    classes = data.draw(st.sets(st.sampled_from(list(NAMES)), min_size=1))
    gone = np.array([data.draw(st.booleans()) for _ in range(len(graph))])
    base = replay(graph)
    flat = replace(graph, gap_ns=np.maximum(graph.gap_ns, 0))
    for less, bound in (
        (replay(graph.free(classes)), base),
        (replay(graph, graph.duration_ns // 2), base),
        (replay(graph.without_links(link)), base),
        (replay(flat.without(gone)), replay(flat)),
    ):
        assert (less.start_ns <= bound.start_ns).all()
        assert (less.end_ns <= bound.end_ns).all()


@examples(50)
@given(graphs())
def test_a_second_pass_begins_where_the_first_ended(graph):
    """The first of two passes is as long as one alone; after both the main thread has done its work twice."""
    once, twice = replay(graph), replay(graph, passes=2)
    assert twice.first_ns == once.span_ns
    assert twice.span_ns >= twice.first_ns
    main = int(graph.duration_ns[graph.resource == graph.main].sum())
    assert twice.end_ns[graph.step_last[-1]] >= 2 * main
    assert twice.passes == 2


def instructions(depth: int = 0) -> st.SearchStrategy[Instruction]:
    """A piece of a training step."""
    simple = [
        st.builds(Busy, st.integers(0, 30_000)),
        st.builds(Launch, st.sampled_from(["gemm", "relu"]), st.integers(1_000, 40_000)),
        st.builds(Launch, st.sampled_from(["gemm", "relu"]), st.integers(1_000, 40_000)),
        st.just(Sync()),
        st.just(Copy("Memcpy HtoD (Pinned -> Device)", 3_000, 4_096)),
    ]
    if depth:
        return st.one_of(simple)
    inner = st.lists(instructions(1), max_size=4)
    return st.one_of(
        *simple,
        st.builds(lambda body: Op("aten::mm", [Busy(1_000), *body]), inner),
        st.builds(lambda body: OnThread("autograd", [Op("backward", [Busy(2_000), *body])]), inner),
        st.builds(lambda _: Op("block", item()), st.none()),
    )


def simulated(body: list[Instruction], count: int = 4) -> Graph | None:
    """The graph of ``count`` equal steps."""
    return build(recorded(body, count))


def recorded(body: list[Instruction], count: int = 4) -> Stages:
    """The stages of ``count`` equal steps, recorded by the sample simulator without any jitter."""
    simulator = Simulator(Hardware(jitter=0.0))
    simulator.run(steps([[Busy(5_000), Launch("first", 2_000), *body, Busy(1_000)]] * count))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "worker0.1700000000000000000.pt.trace.json.gz"
        path.write_bytes(trace_bytes(simulator.spans))
        return analyse(read(path))


@examples(25)
@given(st.lists(instructions(), min_size=1, max_size=8))
def test_identity_without_contention(body):
    """A random loop on a machine without jitter takes, replayed unchanged, its own time to 3 %, step by step.

    What is left is what constants cannot be: the trace does not say what a wait costs by itself where every one waits.
    """
    graph = simulated(body)
    times = replay(graph)
    measured = graph.measured_completion_ns
    assert np.abs(times.completion_ns - measured).max() <= 0.03 * measured[-1] + 3_000


def test_freeing_everything_leaves_latencies():
    """Of a loop that does everything in turn, only launch latency, gaps between kernels and the return remain."""
    graph = simulated([Launch("gemm", 30_000), *item(), Busy(50_000)])
    everything = replay(graph.free(list(Work)), passes=2)
    assert 0 <= everything.step_ns < 0.05 * replay(graph, passes=2).step_ns


def test_a_forecast_is_made_of_the_trace_alone():
    """Two analyses of one file give the same savings to the last digit."""
    simulator = Simulator(Hardware())
    simulator.run(steps([[Busy(20_000), Launch("gemm", 30_000), *item()]] * 5))
    found = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "worker0.1700000000000000000.pt.trace.json.gz"
            path.write_bytes(trace_bytes(simulator.spans))
            replayed = find_replayed(analyse(read(path)))
            assert replayed is not None
            found.append(replayed.savings)
    assert found[0] == found[1]
