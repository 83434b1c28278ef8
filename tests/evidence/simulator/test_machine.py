"""The simulated machine obeys its rules: first literal cases on a machine without chance, then laws on any program."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evidence.simulator.device import Job
from tests.evidence.simulator.host import Host, Row
from tests.evidence.simulator.machine import Machine, Profiler, drawn, exact
from tests.evidence.simulator.noise import generator
from tests.evidence.simulator.program import (
    Await,
    Backward,
    Copy,
    Every,
    Fetch,
    Instruction,
    Kernel,
    Launch,
    Loader,
    Loop,
    Op,
    Record,
    Replay,
    Wait,
    Work,
    item,
)
from tests.examples import examples

START = 1_000_000  # when a host begins
STILL = exact()


def run(*step: Instruction, machine: Machine = STILL, loader: Loader | None = None, steps: int = 1) -> Host:
    """Run and record ``steps`` steps from the start, then let the device finish."""
    host = Host(machine, Loop(step, loader), generator("test"))
    host.profiled = host.recording = host.device.profiled = True
    host.steps(steps)
    host.device.drained(None)
    return host


def calls(host: Host) -> list[tuple[int, int]]:
    """(begin, end) of every runtime call, in µs since the start."""
    return [within(row.begin, row.end) for row in host.rows if row.category == "cuda_runtime"]


def work(host: Host) -> list[tuple[int, int]]:
    """(start, end) of every kernel, copy and graph, in the order of submission, in µs since the start."""
    return [within(job.start or 0, job.end or 0) for job in executed(host)]


def executed(host: Host) -> list[Job]:
    """What was submitted and took device time."""
    return [job for job in host.jobs if job.kind in ("kernel", "copy", "graph")]


def within(begin: int, end: int) -> tuple[int, int]:
    """Whole µs since the start."""
    return (begin - START) // 1000, (end - START) // 1000


def kernel(us: float, stream: int = 7) -> Launch:
    """A launch of a kernel that runs for ``us``."""
    return Launch(Kernel("k", us), stream)


# --- the rules, one by one --------------------------------------------------------------------------


def test_a_launch_returns_before_its_kernel_starts_on_an_idle_device() -> None:
    """The call takes 4.5 µs (and 1 for a queue of one in 1 020), the kernel starts 7 µs after it began."""
    host = run(Work(10.0), kernel(2.0))
    assert calls(host) == [(10, 14)]
    assert work(host) == [(17, 19)]


def test_a_stream_is_first_in_first_out_and_another_does_not_wait() -> None:
    """The second kernel follows the first after a gap of 1.2 µs; one on another stream runs beside them."""
    host = run(kernel(50.0), kernel(2.0), kernel(2.0, stream=20))
    assert work(host) == [(7, 57), (58, 60), (16, 18)]


def test_a_full_queue_blocks_the_launch_until_a_kernel_starts() -> None:
    """Four may wait: calls of 4.5 µs until then, afterwards one returns 3 µs after each start of a 100 µs kernel."""
    host = run(*[kernel(100.0)] * 10, machine=exact(queue_depth=4))
    ends = [end for _, end in calls(host)]
    starts = [start for start, _ in work(host)]
    assert starts[:3] == [7, 108, 209]
    assert ends[:4] == [4, 9, 14, 18]
    assert [end - start for end, start in zip(ends[4:], starts[1:], strict=False)] == [3, 3, 3, 3, 3, 3]


def test_a_synchronize_returns_after_the_work_it_waits_for() -> None:
    """5 µs after its stream's last end; a device-wide one after the last of any stream; drained, it costs its call."""
    program = (kernel(20.0), kernel(90.0, stream=20))
    assert calls(run(*program, Wait(7)))[-1] == (9, 32)
    assert calls(run(*program, Wait(None)))[-1] == (9, 106)
    assert calls(run(kernel(20.0), Work(100.0), Wait(7)))[-1] == (104, 107)


def test_copies_wait_as_their_memory_makes_them() -> None:
    """18 MB are 2 ms at 9 GB/s: pageable calls return with the last piece or after it, pinned ones at once."""
    size = 18_000_000
    assert [calls(run(Copy("HtoD", size)))[0], work(run(Copy("HtoD", size)))[0]] == [(0, 1983), (7, 2008)]
    assert [calls(run(Copy("DtoH", size)))[0], work(run(Copy("DtoH", size)))[0]] == [(0, 2012), (7, 2008)]
    assert [calls(run(Copy("HtoD", size, pinned=True)))[0], work(run(Copy("HtoD", size, pinned=True)))[0]] == [
        (0, 5),
        (7, 758),
    ]


def test_one_engine_copies_one_way() -> None:
    """Two copies to the device on two streams follow one another; one up and one down overlap."""
    down = Copy("HtoD", 2_400_000, pinned=True)
    both = run(down, Copy("HtoD", 2_400_000, pinned=True, stream=20))
    assert work(both) == [(7, 108), (108, 209)]
    ways = run(down, Copy("DtoH", 2_400_000, pinned=True, stream=20))
    assert work(ways) == [(7, 108), (12, 113)]


def test_a_stream_waits_for_an_event_of_another() -> None:
    """The side stream's kernel starts 2 µs after the event, which is reached when the first kernel ended."""
    host = run(kernel(80.0), Record(1, 7), Await(1, 20), kernel(5.0, stream=20))
    assert work(host) == [(7, 87), (90, 95)]


def test_a_graph_is_one_call_and_its_kernels_follow_each_other() -> None:
    """Three kernels of 10 µs, 0.8 µs apart, 4 µs later than a kernel would start; the call takes 8 µs."""
    host = run(Replay((Kernel("a", 10.0), Kernel("b", 10.0), Kernel("c", 10.0))))
    assert calls(host) == [(0, 8)]
    parts = [(k.name, *within(begin, end)) for k, begin, end in executed(host)[0].parts]
    assert parts == [("a", 11, 21), ("b", 21, 31), ("c", 32, 42)]


def test_backward_runs_on_its_own_thread_while_main_waits() -> None:
    """12 µs to wake it and 12 to come back; its calls lie on its own row."""
    host = run(Work(1.0), Backward((Work(5.0), kernel(1.0))), kernel(1.0))
    rows = [(row.thread, (row.begin - START) // 1000) for row in host.rows if row.category == "cuda_runtime"]
    assert rows == [("autograd", 18), ("main", 34)]


def test_kernels_on_two_streams_slow_each_other_down() -> None:
    """A kernel that starts beside another runs 30 % longer on this machine."""
    host = run(kernel(200.0), kernel(50.0, stream=20), machine=exact(overlap_share=0.3))
    assert [end - start for start, end in work(host)] == [200, 65]


def test_every_kth_step_runs_its_body() -> None:
    """Of 12 steps, steps 0, 5 and 10 read."""
    host = run(Work(10.0), Every(5, (item(),)), steps=12)
    assert sum(row.name == "aten::item" for row in host.rows) == 3


def test_an_item_of_a_drained_stream_costs_its_own_time_only() -> None:
    """Launch-bound, it adds 28 µs of its own work, copy and wait; with long kernels the host also loses its lead."""
    small, large = (Work(20.0), kernel(2.0)) * 20, (Work(1.0), kernel(40.0)) * 20
    assert 27_000 < step_ns(*small, item()) - step_ns(*small) < 29_000
    assert 20_000 < step_ns(*large, item()) - step_ns(*large) < 60_000


def step_ns(*step: Instruction, machine: Machine = STILL, loader: Loader | None = None) -> float:
    """Unprofiled mean of 60 steps with the device synchronized at both ends."""
    host = Host(machine, Loop(step, loader), generator("test"))
    host.steps(2)
    host.synchronize()
    opened = host.now
    host.steps(60)
    host.synchronize()
    return (host.now - opened) / 60


# --- the loader -------------------------------------------------------------------------------------


def test_a_batch_is_made_in_the_process_or_by_workers() -> None:
    """1 ms of loading: all of it in the step, or hidden behind 3 ms of other work, or a fourth of 8 ms by 4 workers."""
    rest = Work(3_000.0)
    assert step_ns(Fetch(), rest, loader=Loader(1_000.0, 4_096)) // 1000 == 4_000
    hidden = step_ns(Fetch(), rest, loader=Loader(1_000.0, 4_096, workers=4))
    assert hidden // 1000 == 3_000 + 250
    starved = step_ns(Fetch(), Work(100.0), loader=Loader(8_000.0, 4_096, workers=4), machine=exact(cores=32))
    assert 2_200_000 < starved < 2_500_000


def test_busy_workers_slow_the_training_process() -> None:
    """Six workers on four cores take processor time from it; on 32 cores they do not."""
    loader = Loader(20_000.0, 4_096, workers=6)
    few, many = (step_ns(Fetch(), Work(3_000.0), loader=loader, machine=exact(cores=cores)) for cores in (4, 32))
    assert few > 1.2 * many


def test_pinning_costs_the_process_that_pins() -> None:
    """9 MB at 9 GB/s are 1 ms more in a step without workers, and nothing with them where time is left."""
    rest = Work(3_000.0)
    pinning = step_ns(Fetch(), rest, loader=Loader(100.0, 9_000_000, pin_memory=True))
    assert pinning // 1000 == 3_000 + 100 + 1_015
    thread = step_ns(Fetch(), rest, loader=Loader(100.0, 9_000_000, workers=2, pin_memory=True))
    assert thread // 1000 == 3_250


# --- the profiler -----------------------------------------------------------------------------------


def test_recording_costs_time_for_each_operator_and_call_and_changes_no_kernel() -> None:
    """Ten operators at 1 µs, ten launches at 2 µs and a step range at 3 µs: 33 µs more."""
    machine = exact(profiler=Profiler(1.0, 3.0, 2.0, 0.0, 0.0, buffer_us=0.0))
    step = tuple(Op("aten::relu", (kernel(2.0),), before=15.0) for _ in range(10))
    plain = run(*step, machine=STILL)
    profiled = run(*step, machine=machine)
    assert abs(profiled.now - plain.now - 33_000) < 50
    assert [b - a for a, b in work(plain)] == [b - a for a, b in work(profiled)]


def test_the_first_recorded_step_pays_for_the_start() -> None:
    """500 µs more in the first call after recording began, once."""
    host = Host(exact(profiler=Profiler(0.0, 0.0, 0.0, 0.0, 0.0, buffer_us=0.0)), Loop((kernel(2.0),)), generator("t"))
    host.profiled = host.recording = True
    host.startle()
    host.steps(3)
    assert [end - begin for begin, end in calls(host)] == [504, 5, 4]  # each 4.5, the times rounded down


def test_what_loading_calls_is_recorded_in_the_training_process_only() -> None:
    """Eight selects and a stack that take a batch's 900 µs; of a batch from workers nothing but the waiting."""
    here = run(Fetch(), loader=Loader(900.0, 4_096, operators=8))
    assert [row.name for row in here.rows[2:]] == ["aten::select"] * 8 + ["aten::stack"]
    assert within(here.rows[1].begin, here.rows[1].end) == (0, 900)
    there = run(Fetch(), loader=Loader(900.0, 4_096, operators=8, workers=2))
    assert [row.name for row in there.rows[1:]] == ["enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__"]


def test_batches_of_different_sizes_make_kernels_of_different_lengths() -> None:
    """Both kernels of a step run equally long, those of the next step longer or shorter."""
    host = Host(STILL, Loop((kernel(100.0), kernel(100.0)), uneven=0.2), generator("test"))
    host.profiled = host.recording = True
    host.steps(3)
    host.device.drained(None)
    lengths = [(job.end or 0) - (job.start or 0) for job in executed(host)]
    assert lengths[::2] == lengths[1::2]
    assert len(set(lengths)) == 3


# --- laws on any program ----------------------------------------------------------------------------

STREAMS = st.sampled_from((7, 20))
KERNELS = st.builds(Kernel, st.just("k"), st.floats(1.0, 120.0))
LEAVES = st.one_of(
    st.builds(Work, st.floats(0.0, 40.0)),
    st.builds(Launch, KERNELS, STREAMS),
    st.builds(Copy, st.sampled_from(("HtoD", "DtoH")), st.integers(4, 3_000_000), st.booleans(), STREAMS),
    st.builds(Wait, st.sampled_from((7, 20, None))),
    st.builds(Replay, st.lists(KERNELS, min_size=1, max_size=5).map(tuple)),
    st.sampled_from(((item()), item(pinned=True), Op("fence", (Record(1, 7), Await(1, 20))))),
)  # fmt: skip
BODIES = st.lists(LEAVES, min_size=1, max_size=12).map(tuple)
PROGRAMS = st.lists(
    st.one_of(LEAVES, st.builds(Op, st.just("op"), BODIES), st.builds(Backward, BODIES)), min_size=1, max_size=10
).map(tuple)
MACHINES = st.integers(0, 200).map(lambda seed: drawn("laws", seed))
ANY = settings(examples(60), suppress_health_check=[HealthCheck.too_slow])


@ANY
@given(PROGRAMS, MACHINES, st.integers(2, 8))
def test_laws_of_causality_and_order(program: tuple[Instruction, ...], machine: Machine, depth: int) -> None:
    """Work starts after its call began, streams never overlap nor reorder, and every submission is executed."""
    host = run(*program, machine=replace_depth(machine, depth), steps=3)
    begun = {row.correlation: row.begin for row in host.rows if row.category == "cuda_runtime"}
    for job in executed(host):
        assert job.start is not None
        assert job.end is not None
        assert begun[job.correlation] < job.start < job.end
    for stream in (7, 20):
        ordered = [job for job in executed(host) if job.stream == stream]
        assert all((b.start or 0) >= (a.end or 0) for a, b in itertools.pairwise(ordered))
    assert host.device.pending == 0


@ANY
@given(PROGRAMS, MACHINES, st.integers(2, 8))
def test_laws_of_waiting(program: tuple[Instruction, ...], machine: Machine, depth: int) -> None:
    """A synchronize ends after all earlier work of its streams; no call returns with more waiting than fits."""
    host = run(*program, machine=replace_depth(machine, depth), steps=3)
    called = {row.correlation: row for row in host.rows if row.category == "cuda_runtime"}
    for row in host.rows:
        if row.category == "cuda_sync" and row.name != "Stream Wait Event":
            assert called[row.correlation].end >= awaited(host, row)
    for job in executed(host):
        returned = called[job.correlation].end
        waiting = [j for j in executed(host) if j.correlation <= job.correlation and (j.start or 0) > returned]
        assert len(waiting) <= depth


def awaited(host: Host, row: Row) -> int:
    """The last end of the work submitted before ``row`` on the streams that it waits for."""
    streams = (7, 20) if row.stream == -1 else (row.stream,)
    jobs = [job for job in executed(host) if job.stream in streams and job.correlation < row.correlation]
    return max((job.end or 0 for job in jobs), default=0)


def replace_depth(machine: Machine, depth: int) -> Machine:
    """The machine with another launch queue."""
    return Machine(**{**{name: getattr(machine, name) for name in machine.__slots__}, "queue_depth": depth})


@ANY
@given(PROGRAMS, MACHINES)
def test_laws_of_threads(program: tuple[Instruction, ...], machine: Machine) -> None:
    """On each thread ranges and calls nest or follow each other, and time never goes back."""
    host = run(*program, machine=machine, steps=2)
    for thread in ("main", "autograd"):
        rows = [row for row in host.rows if row.thread == thread]
        assert nested(sorted(rows, key=lambda row: (row.begin, -row.end)))
    assert all(row.end >= row.begin for row in host.rows)


def nested(rows: Sequence[Row]) -> bool:
    """Whether every row lies inside the last one still open, or after it."""
    open_until: list[int] = []
    for row in rows:
        while open_until and open_until[-1] <= row.begin:
            open_until.pop()
        if open_until and row.end > open_until[-1]:
            return False
        open_until.append(row.end)
    return True


@ANY
@given(PROGRAMS, MACHINES)
def test_a_seed_says_everything(program: tuple[Instruction, ...], machine: Machine) -> None:
    """The same program on the same machine from the same seed gives the same times to the ns."""
    first, second = (run(*program, machine=machine, steps=2) for _ in range(2))
    assert first.now == second.now
    assert work(first) == work(second)
