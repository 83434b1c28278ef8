"""Where the host waits: synchronizing calls, blocking copies, and the profiler's own."""

import pytest

from stallscope.analysis.columns import intervals
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.stages.sync import waits_without_work
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder
from tests.real import real


def test_stall_is_the_union_of_synchronize_calls_and_blocking_copies():
    """.item() copies for 30 µs to pageable memory, then synchronizes for 10 µs: blocked 40 µs in two sites."""
    builder = TraceBuilder().step(0, 100).op("aten::item", 10, 45).op("aten::_local_scalar_dense", 11, 43)
    builder.memcpy(12, 30, copy=("Memcpy DtoH (Device -> Pageable)", 40, 2))
    builder.sync(43, 10, name="cudaStreamSynchronize")
    stages = analyse(builder.trace())
    assert (stages.syncs.calls, stages.syncs.call_ns) == (1, 10_000)
    assert intervals.total(stages.syncs.stall) == 40_000
    assert [(site.operator, site.api, site.calls, site.blocked_ns) for site in stages.syncs.sites] == [
        ("aten::item", "cudaMemcpyAsync", 1, 30_000),
        ("aten::item", "cudaStreamSynchronize", 1, 10_000),
    ]


def test_waits_of_two_threads_count_once_where_they_overlap():
    """Two threads that wait 10–30 and 20–40 µs block the host's progress for 30 µs."""
    builder = TraceBuilder().step(0, 100).sync(10, 20, name="cudaEventSynchronize")
    builder.sync(20, 20, name="cudaStreamSynchronize", tid=77)
    stages = analyse(builder.trace())
    assert (stages.syncs.calls, stages.syncs.call_ns) == (2, 30_000)


def test_polling_is_no_wait():
    """cudaEventQuery, cudaStreamWaitEvent and .item() on a CPU tensor are neither synchronize calls nor sites."""
    builder = TraceBuilder().step(0, 100).op("aten::item", 20, 5).op("aten::_local_scalar_dense", 21, 3)
    for start, name in ((1, "cudaEventQuery"), (5, "cudaStreamWaitEvent"), (9, "cudaMallocAsync")):
        builder.call(name, start, 2)
    stages = analyse(builder.trace())
    assert (stages.syncs.calls, stages.syncs.sites) == (0, ())


def test_profilers_own_closing_synchronize_is_listed_and_blamed_on_no_one():
    """Without steps, the DeviceSynchronize that ends the file is counted as a call but is no stall of the script."""
    builder = TraceBuilder().op("a", 0, 10).launch(2, 3, kernel=("k", 20, 10)).sync(40, 50)
    builder.call("cudaEventQuery", 95, 1, tid=99)  # NCCL's watchdog goes on polling
    stages = analyse(builder.trace())
    assert (stages.syncs.calls, stages.syncs.call_ns, intervals.total(stages.syncs.stall)) == (1, 50_000, 0)
    assert [(site.api, site.by_profiler) for site in stages.syncs.sites] == [("cudaDeviceSynchronize", True)]


def test_synchronize_inside_a_step_is_the_scripts():
    """torch.cuda.synchronize() as the last call of the last step is a stall."""
    builder = TraceBuilder().step(0, 100).launch(2, 3, kernel=("k", 20, 60)).sync(10, 71)
    stages = analyse(builder.trace())
    assert intervals.total(stages.syncs.stall) == 71_000
    assert [site.by_profiler for site in stages.syncs.sites] == [False]


def test_wait_that_no_recorded_work_explains_is_found():
    """A wait of 500 µs over a kernel of 100 µs leaves 400 unexplained; stretches up to 100 µs are latency."""
    stall, busy = intervals.span(0, 500_000), intervals.span(0, 100_000)
    assert waits_without_work(stall, busy) == 400_000
    assert waits_without_work(intervals.span(0, 200_000), busy) == 0


# -- what was waited for -----------------------------------------------------------------------------------------------


def the_site(builder, kind="synchronize"):
    """The only site of its kind."""
    stages = analyse(builder.trace())
    assert stages.broken_laws() == []
    (site,) = [site for site in stages.syncs.sites if site.kind == kind]
    return site


def test_a_wait_ends_with_the_last_work_launched_before_it():
    """Of two kernels ending at 40 and 60 the wait from 20 to 65 was for the second: 40 µs of lag, 5 µs of its own."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("a", 5, 35)).launch(2, 1, kernel=("b", 40, 20))
    site = the_site(builder.sync(20, 45).launch(70, 1, kernel=("later", 75, 5)))
    assert (site.waited_for, site.lag_ns, site.drained_share) == ("b", 40_000, 0.0)
    assert (site.blocked_ns, site.waited_ns, site.idle_after_ns) == (45_000, 40_000, 15_000)


def test_gaps_while_the_wait_goes_on_are_not_after_it():
    """Kernels 5–20 and 30–40 under one wait until 45: the gap between them is not its doing, that from 40 to 90 is."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("a", 5, 15)).launch(2, 1, kernel=("b", 30, 10))
    assert the_site(builder.sync(10, 35).launch(80, 1, kernel=("c", 90, 10))).idle_after_ns == 50_000


def test_a_wait_on_a_drained_queue_costs_only_itself():
    """The kernel ended at 20, the wait came at 50 and took 4 µs: nothing awaited, and 4 µs of idling are its doing."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("a", 5, 15)).sync(50, 4)
    site = the_site(builder.launch(80, 1, kernel=("b", 85, 10)))
    assert (site.waited_for, site.lag_ns, site.drained_share) == (None, -30_000, 1.0)
    assert (site.waited_ns, site.idle_after_ns) == (0, 4_000)


def test_a_stream_synchronize_waits_for_its_stream_only():
    """Stream 7 ends at 30, stream 8 at 90; the cuda_sync row says 7, in either of its two forms."""
    for tid in (7, 1_000_007):
        builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("seven", 5, 25))
        builder.launch(2, 1, kernel=("eight", 5, 85), stream=8).sync(10, 25, name="cudaStreamSynchronize")
        correlation = builder.events[-1]["args"]["correlation"]
        builder.complete("cuda_sync", "Stream Sync", 10, 25, pid=0, tid=tid, correlation=correlation)
        assert (the_site(builder).waited_for, the_site(builder).lag_ns) == ("seven", 20_000)


def test_without_a_row_that_names_it_the_stream_is_the_one_the_thread_used_last():
    """Thread 77 launched on stream 8, the waiting thread on 7: it waits for 7."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("seven", 5, 25))
    builder.launch(2, 1, kernel=("eight", 5, 85), stream=8, tid=77).sync(10, 25, name="cudaStreamSynchronize")
    assert the_site(builder).waited_for == "seven"


def test_what_a_call_costs_is_told_by_those_that_had_nothing_to_wait_for():
    """Five calls on an empty queue took 2 to 10 µs: their lower quartile, 4 µs, is what the sixth costs by itself."""
    builder = TraceBuilder().step(0, 400).launch(0, 1, kernel=("a", 5, 95)).sync(10, 94)
    for i, duration in enumerate((2, 4, 6, 8, 10)):
        builder.sync(200 + 20 * i, duration)
    site = the_site(builder)
    assert (site.calls, site.waited_ns) == (6, 90_000 + 0 + 0 + 2_000 + 4_000 + 6_000)


def test_a_blocking_copy_waits_until_its_own_row_starts():
    """Copy call 10–60, kernel until 50, the copy itself 51–56: 41 µs of waiting, then 25 µs of idling."""
    builder = TraceBuilder().step(0, 100).op("aten::to", 8, 60).op("aten::copy_", 9, 58)
    builder.launch(0, 1, kernel=("k", 2, 48)).memcpy(10, 50, copy=("Memcpy DtoH (Device -> Pageable)", 51, 5))
    site = the_site(builder.launch(75, 1, kernel=("next", 81, 19)), "copy")
    assert (site.place.chain, site.waited_for) == ("aten::to < aten::copy_", "k")
    assert (site.blocked_ns, site.waited_ns, site.lag_ns, site.idle_after_ns) == (50_000, 41_000, 40_000, 25_000)


@pytest.mark.parametrize("tail", [0.04, -0.5])
def test_an_upload_behind_queued_kernels_waits_for_them(tail):
    """100 ms of kernels, then a pageable upload that returns 40 µs before or 500 after its copy ends: all counts."""
    builder = TraceBuilder().step(0, 150_000)
    for number in range(20):
        builder.launch(100 * number, 8, kernel=("conv", 1000 + 5000 * number, 5000))
    copy = ("Memcpy HtoD (Pageable -> Device)", 101_005, 21_000)
    builder.op("aten::copy_", 2500, 120_000).memcpy(2600, 119_405 - 1000 * tail, copy=copy, nbytes=77_070_336)
    stages = analyse(builder.trace())
    assert intervals.total(stages.syncs.stall) == 119_405_000 - 1_000_000 * tail
    site = the_site(builder, "copy")
    assert (site.waited_for, site.waited_ns, site.drained_share) == ("conv", 98_405_000, 0.0)
    assert "wait_to_device" in [cause.name for cause in summarize(builder.trace()).causes]


def test_a_gap_is_not_counted_twice():
    """The call idles for 5 µs before its copy and 40 after; the synchronize call in these 40 has no share in them."""
    builder = TraceBuilder().step(0, 100).memcpy(10, 10, copy=("Memcpy DtoH (Device -> Pageable)", 15, 3))
    builder.sync(22, 2, name="cudaStreamSynchronize").launch(50, 1, kernel=("k", 58, 42))
    assert (the_site(builder, "copy").idle_after_ns, the_site(builder).idle_after_ns) == (45_000, 0)


def test_idling_while_data_is_loaded_is_not_the_waits_doing():
    """The device idles from 30 to 90; at 40 the DataLoader begins: 10 µs are the wait's."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("k", 2, 28)).sync(5, 28).dataloader(40, 40)
    assert the_site(builder.launch(85, 1, kernel=("k", 90, 10))).idle_after_ns == 10_000


@pytest.mark.parametrize(
    ("api", "listed"),
    [
        ("cudaMalloc", True),
        ("cudaFree", True),
        ("cudaHostAlloc", True),
        ("cudaMallocHost", True),
        ("cudaFreeHost", True),
        ("hipMalloc", True),
        ("hipFree", True),
        ("hipHostMalloc", True),
        ("cuMemAlloc_v2", True),
        ("cudaMallocManaged", True),
        ("cudaMallocAsync", False),
        ("cudaFreeAsync", False),
        ("cudaMemGetInfo", False),
    ],
)
def test_allocator_calls_are_listed_and_are_no_stall(api, listed):
    """Calls of the allocators that block, by name; those that are queued as work are not."""
    stages = analyse(TraceBuilder().step(0, 100).launch(1, 1, kernel=("k", 3, 5)).call(api, 20, 30).trace())
    assert [(site.kind, site.blocked_ns) for site in stages.syncs.sites] == [("allocation", 30_000)] * listed
    assert intervals.total(stages.syncs.stall) == 0


def test_an_allocator_call_waited_if_all_work_ended_in_it():
    """Freeing takes from 10 to 50. The last kernel ended at 45: it waited 35 µs. Ended at 60: it waited for nothing."""
    for end, waited, idle_after in ((45, 35_000, 55_000), (60, 0, None)):
        builder = TraceBuilder().step(0, 100).launch(1, 1, kernel=("k", 3, end - 3)).call("cudaFree", 10, 40)
        site = the_site(builder, "allocation")
        assert (site.waited_ns, site.idle_after_ns) == (waited, idle_after)


def test_graph_launches_are_listed():
    """A cudaGraphLaunch of 30 µs holds the host up, and is no wait."""
    builder = TraceBuilder().step(0, 100).graph_launch(10, 30, [("a", 20, 5), ("b", 25, 5)])
    site = the_site(builder, "graph_launch")
    assert (site.blocked_ns, site.waited_ns, site.idle_after_ns) == (30_000, 0, None)


def test_waits_of_one_operator_in_two_modules_are_two_sites():
    """.item() in Linear_0 and in Linear_1, 5 and 7 µs: module, function and thread tell places apart."""
    builder = TraceBuilder().step(0, 100)
    for i, duration in enumerate((5, 7)):
        builder.python(f"nn.Module: Linear_{i}", 10 + 40 * i, 30).python("train.py(6): helper", 12 + 40 * i, 20)
        builder.op("aten::item", 14 + 40 * i, 15).sync(15 + 40 * i, duration, name="cudaStreamSynchronize")
    found = [
        (s.place.module, s.place.function, s.place.thread, s.blocked_ns) for s in analyse(builder.trace()).syncs.sites
    ]
    assert found == [
        ("Linear_1", "helper (train.py:6)", "thread 4242", 7_000),
        ("Linear_0", "helper (train.py:6)", "thread 4242", 5_000),
    ]


def test_the_ledger_of_owlv2(real_traces):
    """16 stream synchronizes a batch, 359 ms in 5, under aten::to > _to_copy > copy_; one of them all but 0.3."""
    summary = real(real_traces / "h100" / "owlv2_large.json.gz").summary
    waits = [site for site in summary.sync_sites if site.api == "cudaStreamSynchronize"]
    assert {site.chain for site in waits} == {"aten::to < aten::_to_copy < aten::copy_"}
    assert (summary.steps.count, sum(site.calls_per_step for site in waits)) == (5, 16)
    assert 5 * sum(site.blocked_us_per_step for site in waits) == pytest.approx(358_790, abs=1)
    assert (waits[0].module, waits[0].calls_per_step, waits[0].drained_share) == ("Owlv2ForObjectDetection_0", 1.0, 0.0)
    assert waits[0].function.startswith("box_predictor (transformers/models/owlv2/modeling_owlv2.py:")
    assert waits[0].waited_for == "Memcpy HtoD (Pageable -> Device)"
    copies = [site for site in summary.sync_sites if site.kind == "copy"]
    assert sum(site.calls_per_step for site in copies) == 13  # 11 downloads, 2 pageable uploads
    assert 5 * sum(site.blocked_us_per_step for site in copies) == pytest.approx(17_466, abs=1)


def test_the_profilers_closing_synchronize_of_a_real_trace(real_traces):
    """The 158 ms with which the recommender's recording ends lie outside its steps, and are nobody's wait."""
    stages = real(real_traces / "a100" / "recommender_rank0_of_16.json.gz").stages
    assert {site.api for site in stages.syncs.sites} == {"cudaMemcpyAsync", "cudaStreamSynchronize", "cudaGraphLaunch"}


def event_wait(**told):
    """`first` ends at 30 µs on stream 7, `second`, launched after the event was recorded there, at 31 on stream 20."""
    builder = TraceBuilder().step(0, 100).launch(2, 2, kernel=("first", 20, 10))
    builder.call("cudaEventRecord", 5, 1).launch(7, 2, kernel=("second", 12, 19), stream=20)
    builder.sync(10, 22, name="cudaEventSynchronize")
    ids = {"correlation": 4, "stream": -1, **told}
    builder.complete("cuda_sync", "Event Sync", 10, 22, pid=0, tid=-1, **ids)
    return summarize(builder.trace()).sync_sites[0]


@pytest.mark.parametrize(
    ("told", "waited_for", "lag_us"),
    [
        ({}, "second", 21.0),
        ({"wait_on_stream": 7, "wait_on_cuda_event_record_corr_id": 2}, "first", 20.0),
        ({"wait_on_stream": 20, "wait_on_cuda_event_record_corr_id": 2}, None, None),
        ({"wait_on_stream": 9, "wait_on_cuda_event_record_corr_id": 2}, None, None),
        ({"wait_on_stream": 7, "wait_on_cuda_event_record_corr_id": -1}, None, None),
        ({"wait_on_stream": 7, "wait_on_cuda_event_record_corr_id": 99}, "second", 21.0),
    ],
    ids=["not told", "told", "nothing before it", "a stream without work", "recorded earlier", "no record call"],
)
def test_a_wait_for_an_event_waits_for_what_came_before_the_event(told, waited_for, lag_us):
    """By the ids of the cuda_sync row; only where they are missing for all that was launched before the call."""
    site = event_wait(**told)
    assert (site.waited_for, site.lag_us) == (waited_for, lag_us)
