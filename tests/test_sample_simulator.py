"""The simulator obeys the rules of a launch queue, and the committed sample is what it makes."""

import gzip
import itertools
import json
from collections import Counter

from tests.sample_simulator import Copy, Hardware, Launch, OnThread, Op, Simulator, Span, Sync, Work, item, steps
from tests.sample_trace import trace_bytes
from tests.simulated_iris import SAMPLE, sample_bytes

EXACT = Hardware(
    launch_call_ns=4_000,
    launch_latency_ns=7_000,
    kernel_gap_ns=1_000,
    copy_call_ns=5_000,
    copy_return_ns=4_000,
    sync_call_ns=2_000,
    sync_return_ns=5_000,
    queue_depth=4,
    hand_over_ns=9_000,
    range_gap_ns=0,
    jitter=0.0,
)


def run(*program: object, hardware: Hardware = EXACT) -> Simulator:
    """Run ``program`` from time 0."""
    simulator = Simulator(hardware)
    simulator.run(program)  # type: ignore[arg-type]
    return simulator


def times(simulator: Simulator, category: str) -> list[tuple[int, int]]:
    """(start, end) in ns of the recorded spans of one category."""
    return [(span.ts_ns, span.end_ns) for span in simulator.spans if span.category == category]


def test_an_idle_stream_starts_work_after_the_launch_latency() -> None:
    """A kernel starts 7 µs after its call began, though the call returned after 4."""
    simulator = run(Work(10_000), Launch("k", 2_000))
    assert times(simulator, "cuda_runtime") == [(10_000, 14_000)]
    assert times(simulator, "kernel") == [(17_000, 19_000)]


def test_a_stream_is_first_in_first_out() -> None:
    """A second kernel waits for the first and the gap between them; another stream does not wait."""
    simulator = run(Launch("a", 50_000), Launch("b", 2_000), Launch("c", 2_000, stream=9))
    assert times(simulator, "kernel") == [(7_000, 57_000), (58_000, 60_000), (15_000, 17_000)]


def test_item_returns_after_the_copy() -> None:
    """The blocking copy ends at 54+1.4 and its call 4 µs later; the synchronize then finds nothing to wait for."""
    simulator = run(
        Launch("k", 46_000), Copy("Memcpy DtoH (Device -> Pageable)", 1_400, bytes=4, blocking=True), Sync()
    )
    assert times(simulator, "gpu_memcpy") == [(54_000, 55_400)]
    assert times(simulator, "cuda_runtime") == [(0, 4_000), (4_000, 59_400), (59_400, 61_400)]


def test_a_synchronize_waits_for_the_last_work() -> None:
    """It returns 5 µs after its stream's last end; another stream's work is waited for by the whole device only."""
    program = [Launch("k", 20_000), Launch("long", 90_000, stream=9)]
    assert run(*program, Sync(7)).now_ns == 32_000
    assert run(*program, Sync(None)).now_ns == 106_000


def test_without_syncs_the_host_runs_ahead_until_the_queue_is_full() -> None:
    """Kernels of 100 µs, calls of 4: four wait in the queue, then each call returns when one of them starts."""
    simulator = run(*[Launch("k", 100_000)] * 10)
    calls, kernels = times(simulator, "cuda_runtime"), times(simulator, "kernel")
    waiting = [sum(start > returned for start, _ in kernels[: n + 1]) for n, (_, returned) in enumerate(calls)]
    assert [end - begin for begin, end in calls[:4]] == [4_000] * 4
    assert [returned for _, returned in calls[5:]] == [start for start, _ in kernels[1:6]]
    assert max(waiting) == 4


def test_reading_the_loss_costs_little_where_the_stream_is_drained() -> None:
    """Launch-bound: an item costs its own 37 µs. Device-bound: it stops the host from running ahead."""
    small = [Work(20_000), Launch("k", 2_000)] * 20
    large = [Work(1_000), Launch("k", 40_000)] * 20
    with_item, without = run(*(small + item()) * 10), run(*small * 10)
    assert with_item.now_ns - without.now_ns == 10 * 36_900
    deep = Hardware(jitter=0.0)
    with_item, without = run(*(large + item()) * 10, hardware=deep), run(*large * 10, hardware=deep)
    assert times(with_item, "kernel")[-1][1] > times(without, "kernel")[-1][1]
    assert without.now_ns < 0.2 * with_item.now_ns


def test_another_thread_runs_while_the_first_waits() -> None:
    """A hand-over costs 9 µs each way, and the other thread's calls lie on its own row."""
    simulator = run(Work(1_000), OnThread("autograd", [Work(5_000), Launch("k", 1_000)]), Launch("k", 1_000))
    calls = [(span.thread, span.ts_ns) for span in simulator.spans if span.category == "cuda_runtime"]
    assert calls == [("autograd", 15_000), ("main", 28_000)]


def test_ranges_nest_and_own_their_work() -> None:
    """Each range covers its body; device work names the innermost range around its call."""
    simulator = run(Op("outer", [Work(1_000), Op("inner", [Launch("k", 1_000)]), Work(2_000)]))
    outer, inner, call, kernel = simulator.spans
    assert ((outer.ts_ns, outer.end_ns), (inner.ts_ns, inner.end_ns)) == ((0, 7_000), (1_000, 5_000))
    assert (call.operator, kernel.operator) == (1, 1)
    assert call.correlation == kernel.correlation


def test_jitter_is_the_same_every_time() -> None:
    """The same seed gives the same spans; another seed differs, by no more than the jitter."""

    def last(seed: int) -> int:
        simulator = Simulator(Hardware(jitter=0.05), seed=seed)
        simulator.run([Work(10_000)] * 50)
        return simulator.now_ns

    assert last(1) == last(1) != last(2)
    assert abs(last(2) - 500_000) <= 25_000


def test_no_kernel_starts_before_its_launch() -> None:
    """Over a long jittered loop with copies and syncs, work starts after its call began and streams never overlap."""
    simulator = Simulator(Hardware(queue_depth=8), seed=3)
    simulator.run(steps([[Work(3_000), Launch("k", 30_000), *item()] + [Launch("k", 9_000)] * 12] * 30))
    begun = {s.correlation: s.ts_ns for s in simulator.spans if s.category == "cuda_runtime"}
    work = [s for s in simulator.spans if s.category in ("kernel", "gpu_memcpy")]
    assert len(work) == 30 * 14
    assert all(span.ts_ns > begun[span.correlation] for span in work)
    assert all(later.ts_ns >= earlier.end_ns for earlier, later in itertools.pairwise(work))


# --- the file ---------------------------------------------------------------------------------------


def decoded(data: bytes) -> dict[str, object]:
    """The JSON inside a gzipped trace."""
    return json.loads(gzip.decompress(data))  # type: ignore[no-any-return]


def test_the_committed_sample_is_what_the_simulator_makes() -> None:
    """Regenerating gives the committed trace; `python -m tests.simulated_iris` writes it after a change."""
    assert decoded(SAMPLE.read_bytes()) == decoded(sample_bytes())


def test_the_sample_says_that_no_hardware_made_it() -> None:
    """Its device is called simulated, a top-level sentence says so, and it is small enough to ship."""
    trace = decoded(SAMPLE.read_bytes())
    assert "no hardware" in str(trace["stallscope_simulated"])
    assert [device["name"] for device in trace["deviceProperties"]] == ["simulated"]  # type: ignore[attr-defined]
    assert SAMPLE.stat().st_size < 200_000


def test_the_sample_is_the_iris_training() -> None:
    """20 steps of 16 launches and kernels, one copy and one wait each; the device idles over 90 % of the time."""
    rows = [event for event in decoded(SAMPLE.read_bytes())["traceEvents"] if event["ph"] == "X"]  # type: ignore[attr-defined]
    count = Counter(row["name"] for row in rows if row["cat"] == "cuda_runtime")
    assert count == {
        "cudaLaunchKernel": 320,
        "cudaMemcpyAsync": 20,
        "cudaStreamSynchronize": 20,
        "cudaDeviceSynchronize": 1,
    }
    count = Counter(row["cat"] for row in rows)
    assert (count["kernel"], count["gpu_memcpy"]) == (320, 20)
    wall = sum(r["dur"] for r in rows if r["cat"] == "user_annotation" and r["name"].startswith("ProfilerStep#"))
    busy = sum(r["dur"] for r in rows if r["cat"] in ("kernel", "gpu_memcpy"))
    assert 460 < wall / 20 < 520
    assert busy < 0.1 * wall


def test_sync_rows_are_left_out_on_request() -> None:
    """A profiler that was not asked for synchronization rows writes none; all else stays."""
    spans = [Span("cpu_op", "aten::item", 0, 9_000, thread="main"), *run(Launch("k", 1_000), Sync()).spans]
    with_rows, without = (
        Counter(event.get("cat") for event in decoded(trace_bytes(spans, sync_rows=rows))["traceEvents"])  # type: ignore[attr-defined]
        for rows in (True, False)
    )
    assert with_rows - without == {"cuda_sync": 1}
