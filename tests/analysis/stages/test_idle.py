"""The idle account: each rule on a trace of a few events, and all of them against the rule applied µs by µs."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stallscope.analysis.columns import intervals
from stallscope.analysis.contract.idle import IDLE_CAUSES, Idle
from stallscope.analysis.stages.idle import find_idle
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.stages.where.launches import find_launches
from stallscope.analysis.stages.where.steps import find_window
from stallscope.analysis.summary import summarize
from tests.analysis.synthetic import three_steps
from tests.builders import MAIN_THREAD, TraceBuilder
from tests.examples import examples
from tests.real import real

OTHER_THREAD = 77


def idle_of(builder):
    """The causes of the only device that are not 0, µs."""
    stages = analyse(builder.trace())
    assert stages.broken_laws() == []
    (found,) = stages.idle
    return {name: found.ns(name) / 1000 for name in found.spans if found.ns(name)}


def test_the_cross_check_trace():
    """Of 698 µs a step: 3 returning from the wait, 594 in Python, 13 in operators, 43 launching, 45 until the copy."""
    assert idle_of(three_steps()) == {
        "sync": 3 * 3.0, "host_python": 3 * 594.0, "host_operator": 3 * 13.0, "launch": 3 * 43.0, "memcpy": 3 * 45.0,
    }  # fmt: skip
    idle = summarize(three_steps().trace()).idle_us
    assert (idle.sync, idle.host_python, idle.stream_dependency, idle.unexplained) == (3.0, 594.0, 0.0, 0.0)


def test_the_way_back_from_the_launch():
    """Gap 30–100: wait returns at 40, Python to 60, operator to 80, call from 80: 10, 20, 20 and 20 µs."""
    builder = TraceBuilder().step(0, 200).launch(5, 5, kernel=("k", 10, 20)).sync(12, 28)
    builder.op("aten::add", 60, 30).launch(80, 5, kernel=("k", 100, 100))
    assert idle_of(builder) == {
        "sync": 10.0, "host_python": 20.0 + 5.0, "host_operator": 20.0, "launch": 20.0 + 5.0,
    }  # fmt: skip


def test_the_dataloader_comes_before_the_operators_in_it():
    """Fetching from 30 to 70 with operators inside: 40 µs of the gap are the DataLoader's."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("k", 0, 20)).dataloader(30, 40).op("aten::stack", 35, 10)
    builder.launch(80, 2, kernel=("k", 90, 10))
    assert idle_of(builder) == {"dataloader": 40.0, "host_python": 20.0, "launch": 10.0}


def test_a_copy_that_has_to_be_started_is_the_copys_time():
    """A copy issued at 50 that starts at 60 after a copy call of 20 µs on the same thread: 10 and 20 µs for memcpy."""
    builder = TraceBuilder().step(0, 70).launch(0, 1, kernel=("k", 0, 20)).call("cudaMemcpyAsync", 25, 20)
    builder.op("x", 62, 2).memcpy(50, 5, copy=("Memcpy HtoD (Pinned -> Device)", 60, 10))
    assert idle_of(builder) == {"host_python": 10.0, "memcpy": 30.0}


def test_work_that_waits_for_another_stream():
    """Launched at 2 on stream 8, it starts 10 µs after the end of stream 7's kernel at 60: not the host's doing."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("a", 1, 59)).launch(2, 1, kernel=("b", 70, 30), stream=8)
    assert idle_of(builder) == {"launch": 1.0, "stream_dependency": 10.0}


def test_a_wait_event_before_the_launch_is_something_to_wait_for():
    """The same on one stream: cudaStreamWaitEvent came before the second launch, after the first."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("a", 0, 60)).call("cudaStreamWaitEvent", 2, 1)
    assert idle_of(builder.launch(5, 1, kernel=("b", 70, 30))) == {"stream_dependency": 10.0}


def test_queued_work_that_starts_late_for_no_recorded_reason_is_unexplained():
    """101 µs between two kernels of one stream, both queued: unexplained; 100 µs would be the GPU's own slowness."""
    for late, cause in ((101, "unexplained"), (100, "launch")):
        builder = TraceBuilder().step(0, 400).launch(0, 1, kernel=("a", 0, 100))
        builder.launch(5, 1, kernel=("b", 100 + late, 300 - late))
        assert idle_of(builder) == {cause: float(late)}


def test_another_device_at_work_explains_a_long_delay():
    """The queued kernel of device 0 starts 150 µs late while device 1 works for 120 of them."""
    builder = TraceBuilder().step(0, 400).launch(0, 1, kernel=("a", 0, 100)).launch(5, 1, kernel=("b", 250, 150))
    builder.launch(7, 1, kernel=("c", 100, 120), device=1)
    first = analyse(builder.trace()).idle[0]
    assert (first.ns("stream_dependency"), first.ns("unexplained"), first.total) == (120_000, 30_000, 150_000)


def test_the_autograd_threads_first_launch_waited_for_the_main_thread():
    """Before its operator the backward thread did nothing, while the main thread was in an operator: no Python time."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("k", 0, 20)).op("aten::relu", 20, 30)
    builder.op("ReluBackward0", 60, 10, tid=OTHER_THREAD).launch(65, 1, kernel=("k", 70, 30), tid=OTHER_THREAD)
    assert idle_of(builder) == {"host_operator": 35.0, "host_python": 10.0, "launch": 5.0}


def test_threads_that_launch_nothing_are_not_looked_at():
    """An operator on a thread that launches no work, fetches nothing and holds no step does not stand for Python."""
    builder = TraceBuilder().step(0, 60).launch(0, 1, kernel=("k", 0, 20)).op("aten::pin_memory", 20, 20, tid=5)
    assert idle_of(builder.launch(40, 1, kernel=("k", 40, 20))) == {"host_python": 20.0}


def test_a_wait_over_nothing_that_was_recorded_is_unexplained():
    """Synchronize from 20 to 320 over a kernel that ends at 50: the 270 µs after it hold work that was not recorded."""
    builder = TraceBuilder().step(0, 400).launch(0, 1, kernel=("k", 0, 50)).sync(20, 300)
    assert idle_of(builder.op("x", 390, 1)) == {"unexplained": 270.0, "host_operator": 1.0, "host_python": 79.0}


def test_a_gap_ended_by_work_without_a_launch_is_unexplained():
    """Nothing tells since when such work could have run."""
    builder = TraceBuilder().step(0, 100).op("x", 25, 5).launch(0, 1, kernel=("k", 0, 20)).kernel(("orphan", 60, 40))
    assert idle_of(builder) == {"unexplained": 40.0}


def test_lost_stretches_are_unrecorded_whatever_the_host_did():
    """Of a gap from 20 to 100 the recorder lost 30 to 60: 30 µs unrecorded, the rest as ever."""
    builder = TraceBuilder().step(0, 120).launch(0, 1, kernel=("k", 0, 20)).op("x", 20, 20)
    trace = builder.launch(90, 5, kernel=("k", 100, 20)).trace()
    window = find_window(trace)
    none = trace.events.rows()
    (found,) = find_idle(trace, window, find_launches(trace, window), none, intervals.span(30_000, 60_000))
    assert {name: found.ns(name) for name in found.spans if found.ns(name)} == {
        "unrecorded": 30_000, "host_operator": 10_000, "host_python": 30_000, "launch": 10_000,
    }  # fmt: skip
    assert found.conserved(window, 40_000)


def test_a_stretch_in_which_the_recorder_lost_kernels_is_unrecorded():
    """Launches whose kernels are missing from the tail of the file, 400 µs of it: unrecorded, and not the script's."""
    builder = TraceBuilder().step(0, 1000).op("x", 0, 990)
    for i in range(90):
        builder.launch(5 + 6 * i, 3, kernel=("k", 10 + 6 * i, 5))
    for i in range(8):
        builder.launch(600 + 50 * i, 3)
    stages = analyse(builder.trace())
    (found,) = stages.idle
    assert stages.broken_laws() == []
    assert (found.ns("unrecorded"), found.total) == (400_000, 550_000)


def test_a_broken_account_is_not_conserved():
    """The law can fail: one ns too much busy time, or an instant that two causes claim."""
    stages = analyse(three_steps().trace())
    (found,) = stages.idle
    assert found.conserved(stages.window, 906_000)
    assert not found.conserved(stages.window, 906_001)
    shared = replace(found, spans=found.spans | {"launch": intervals.join(found.spans["launch"], found.spans["sync"])})
    assert not shared.conserved(stages.window, 906_000 - found.ns("sync"))


def test_the_table_of_causes_holds_those_of_the_contract():
    """A cause without words and colour, or without a field in the JSON, would fail on a page or in a summary only."""
    (found,) = analyse(three_steps().trace()).idle
    names = [cause.name for cause in IDLE_CAUSES]
    assert names == list(Idle.__struct_fields__) == list(found.spans)


def test_a_device_that_never_worked_was_idle_for_the_hosts_reasons():
    """A run that only allocated: its 100 µs of idling are divided as well, and sum to the step."""
    idle = summarize(TraceBuilder().step(0, 100).op("aten::empty", 10, 30).call("cudaMalloc", 20, 10).trace()).idle_us
    assert (idle.host_operator, idle.host_python) == (30.0, 70.0)


def test_figures_of_several_devices_are_means():
    """Idle for 80 and 40 µs: 60 on average, and the causes sum to it."""
    builder = TraceBuilder().step(0, 100).op("x", 0, 1).launch(0, 1, kernel=("k", 0, 20))
    builder.launch(0.5, 0.5, kernel=("k", 1, 60), device=1)
    summary = summarize(builder.trace())
    idle = summary.idle_us
    assert summary.per_step.gpu_idle_us == 60.0
    assert (idle.host_python, idle.launch) == (59.5, 0.5)


def test_withheld_devices_withhold_the_causes():
    """A CPU run, or launches without kernels: every cause is null."""
    for builder in (TraceBuilder(gpu=None).step(0, 9).op("x", 1, 2), TraceBuilder().step(0, 9).launch(1, 1)):
        assert summarize(builder.trace()).idle_us.host_python is None


# -- against the rule applied instant by instant ----------------------------------------------------------------------

END = 400
RANK = (
    ("sync", "sync"),
    ("copy", "memcpy"),
    ("fetch", "dataloader"),
    ("launch", "launch"),
    ("op", "host_operator"),
)
threads = st.sampled_from((MAIN_THREAD, OTHER_THREAD))
moments = st.integers(0, END - 20)
ranges = st.tuples(st.sampled_from(("op", "fetch", "copy", "sync")), moments, st.integers(1, 180), threads)
launches = st.tuples(
    moments, st.integers(1, 30), st.integers(0, 250), st.integers(1, 60), st.sampled_from((7, 8)), threads
)


@examples(100)
@given(st.lists(ranges, max_size=8), st.lists(launches, min_size=1, max_size=7))
def test_the_account_is_that_of_the_rule_applied_to_each_instant(made, work):
    """Any mixture of operators, fetches, copies, waits and launches on two threads and two streams, µs by µs."""
    builder, host = TraceBuilder().step(0, END), []
    for kind, start, duration, tid in made:
        host.append((kind, start, start + duration, tid))
        if kind == "op":
            builder.op("aten::x", start, duration, tid=tid)
        elif kind == "fetch":
            builder.annotation("enumerate(DataLoader)#_It.__next__", start, duration, tid=tid)
        else:
            builder.call({"copy": "cudaMemcpyAsync", "sync": "cudaDeviceSynchronize"}[kind], start, duration, tid=tid)
    kernels = []
    for start, duration, delay, length, stream, tid in work:
        builder.launch(start, duration, kernel=("k", start + delay, length), stream=stream, tid=tid)
        host.append(("launch", start, start + duration, tid))
        kernels.append((start + delay, start + delay + length, stream, start, start + duration, tid))
    stages = analyse(builder.trace())
    assert stages.broken_laws() == []
    assume(not stages.clocks)  # a wait that ends before its work: the device's clock is moved
    (found,) = stages.idle
    window = stages.device_window  # to the end of the step's work; from the first fetch on where it holds several
    span = range(window.start // 1000, window.end // 1000)
    assert {name: instants(held) for name, held in found.spans.items()} == instant_by_instant(host, kernels, span)


def instants(held):
    """The µs that the stretches hold."""
    return {t for start, end in zip(held.starts, held.ends, strict=True) for t in range(start // 1000, end // 1000)}


def instant_by_instant(host, kernels, span):
    """The rule of the module's docstring as one reads it: for each cause the idle µs that it has."""
    found = {each.name: set() for each in IDLE_CAUSES}
    busy = {t for start, end, *_ in kernels for t in range(start, end)}
    if not any(start < span.stop and end > span.start for start, end, *_ in kernels):  # its end is nobody's launch
        kernels = []
    has_operators = any(kind == "op" for kind, *_ in host)
    waiting = {t for kind, start, end, _ in host if kind == "sync" for t in range(start, end) if t in span} - busy
    long = {t for run in runs(waiting) if len(run) > 100 for t in run}
    launching = {MAIN_THREAD} | {tid for kind, _, _, tid in host if kind in ("launch", "fetch")}
    for gap in runs(set(span) - busy):
        for t in gap:
            why = cause(t, gap[0], gap[-1] + 1, host, kernels, long, launching, has_operators=has_operators)
            found[why].add(t)
    return found


def runs(instants):
    """The instants as lists of consecutive ones."""
    found = []
    for t in sorted(instants):
        if found and found[-1][-1] == t - 1:
            found[-1].append(t)
        else:
            found.append([t])
    return found


def cause(t, gap_start, gap_end, host, kernels, long, launching, *, has_operators):
    """Why nothing ran at ``t``."""
    after = [k for k in kernels if k[0] >= gap_end]
    launchers = [tid for kind, _, _, tid in host if kind == "launch"]
    thread = max((MAIN_THREAD, OTHER_THREAD), key=launchers.count)
    if after:
        _, _, stream, c0, c1, thread = min(after, key=lambda k: (k[0], -k[1], k[2]))
        ready = min(max(c1, c0 + 20, gap_start), gap_end)
        if t >= max(c0, gap_start):
            if t < ready:
                return "launch"
            if gap_end - ready > 100:
                return "unexplained"
            ended = [k for k in kernels if k[1] == gap_start]
            return "stream_dependency" if ended and stream not in [k[2] for k in ended] else "launch"
    for mine in (lambda tid: tid == thread, lambda tid: tid != thread and tid in launching):
        doing = {kind for kind, start, end, tid in host if start <= t < end and mine(tid)}
        for kind, name in RANK:
            if kind in doing:
                return "unexplained" if kind == "sync" and t in long else name
    return "host_python" if has_operators else "unexplained"


@pytest.mark.parametrize(
    ("name", "cause", "at_least"),
    [
        ("h100/owlv2_large", "dataloader", 0.95),
        ("h100/bert_small", "host_python", 0.5),
        ("b200/eager", "host_operator", 0.6),
        ("a100/recommender_rank0_of_16", "unexplained", 0.9),
        ("amd/mi300_graph_decode", "unexplained", 0.99),
        ("kineto-2021/resnet50_num_workers_0/worker0.1623143089861", "dataloader", 0.75),
    ],
)
def test_what_real_gpus_waited_for(name, cause, at_least, real_traces):
    """The cause of most of the idle time: loading data, Python and operators; what was not recorded is not blamed."""
    summary = real(next(real_traces.glob(f"{name}*.json.gz"))).summary
    assert getattr(summary.idle_us, cause) >= at_least * summary.per_step.gpu_idle_us
