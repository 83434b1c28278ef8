"""The allocator, copies that are waited for, threads, frames and restarts, on a machine without chance."""

from __future__ import annotations

from dataclasses import replace

from tests.evidence.simulator.calls import HANDLERS
from tests.evidence.simulator.device import Job
from tests.evidence.simulator.host import Host, Row
from tests.evidence.simulator.machine import Machine, exact
from tests.evidence.simulator.noise import generator
from tests.evidence.simulator.program import (
    Call,
    Copy,
    Elsewhere,
    Fetch,
    Frame,
    Growing,
    Instruction,
    Kernel,
    Launch,
    Loader,
    Loop,
    Op,
    Sometimes,
    Transfer,
    Wait,
    Work,
)
from tests.evidence.simulator.run import Process

START = 1_000_000
STILL = exact()


def run(
    *step: Instruction, machine: Machine = STILL, loader: Loader | None = None, steps: int = 1, stacks: bool = False
) -> Host:
    """Run and record ``steps`` steps from the start, then let the device finish."""
    host = Host(machine, Loop(step, loader), generator("test"))
    host.profiled = host.recording = host.device.profiled = True
    host.stacks = stacks
    host.steps(steps)
    host.device.drained(None)
    return host


def calls(host: Host) -> list[tuple[str, int, int]]:
    """Name, begin and end of every runtime call, in µs since the start."""
    return [(row.name, us(row.begin), us(row.end)) for row in host.rows if row.category == "cuda_runtime"]


def us(at: int) -> int:
    """Whole µs since the start."""
    return (at - START) // 1000


def kernel(length: float) -> Launch:
    """A launch of a kernel that runs for ``length`` µs."""
    return Launch(Kernel("k", length))


def named(host: Host, name: str) -> list[Row]:
    """The rows of one name."""
    return [row for row in host.rows if row.name == name]


def test_every_instruction_has_a_handler() -> None:
    """What the language can say, the host can do."""
    assert {Call, Transfer, Frame, Elsewhere, Growing, Sometimes} <= set(HANDLERS)


def test_freeing_memory_waits_for_the_device_and_asking_for_it_does_not() -> None:
    """With a kernel that runs until 107 µs: malloc takes its own 40 µs, free ends 5 µs after the kernel plus its 10."""
    host = run(kernel(100.0), Call("cudaMalloc", 40.0), Call("cudaFree", 10.0, drains=True))
    assert calls(host) == [("cudaLaunchKernel", 0, 4), ("cudaMalloc", 4, 44), ("cudaFree", 44, 122)]


def test_a_copy_that_is_waited_for_is_two_calls_on_cuda_and_one_on_rocm() -> None:
    """Behind a kernel of 50 µs CUDA copies and synchronizes, ROCm has one call that returns at the copy's end."""
    cuda = run(kernel(50.0), Transfer("DtoH", 4, pinned=True))
    assert [name for name, _, _ in calls(cuda)] == ["cudaLaunchKernel", "cudaMemcpyAsync", "cudaStreamSynchronize"]
    rocm = run(kernel(50.0), Transfer("DtoH", 4, pinned=True), machine=exact(rocm=True))
    assert [name for name, _, _ in calls(rocm)] == ["cudaLaunchKernel", "hipMemcpyWithStream"]
    assert calls(rocm)[-1][2] == 57 + 1 + 1 + 5  # the kernel's end, a gap, the copy, the return


def test_blocking_launches_return_after_their_kernel() -> None:
    """Each of three calls ends 5 µs after its kernel of 100 µs; copies too."""
    host = run(kernel(100.0), kernel(100.0), Copy("HtoD", 24_000, pinned=True), machine=exact(blocking=True))
    ends = {job.correlation: job.end for job in host.jobs}
    rows = [row for row in host.rows if row.category == "cuda_runtime"]
    assert [(row.end - (ends[row.correlation] or 0)) // 1000 for row in rows] == [5, 5, 5]


def test_python_functions_are_rows_only_with_stacks_and_nest() -> None:
    """Two frames, the inner with the outer as its parent; without stacks none, and no time is lost."""
    step = (Frame("a.py(1): outer", (Work(5.0), Frame("a.py(9): inner", (Work(5.0),)))),)
    assert named(run(*step), "a.py(1): outer") == []
    with_stacks = run(*step, stacks=True)
    (outer,), (inner,) = named(with_stacks, "a.py(1): outer"), named(with_stacks, "a.py(9): inner")
    assert (outer.parent, inner.parent) == (None, outer.number)
    assert outer.begin <= inner.begin <= inner.end <= outer.end


def test_another_thread_runs_in_turn_and_may_hide_its_operators() -> None:
    """Its launch lies on its own row; its operator is recorded only where asked for."""
    body = (Op("aten::relu", (kernel(2.0),), before=5.0),)
    for operators in (True, False):
        host = run(Elsewhere("replica 1", body, operators=operators), Work(3.0))
        assert [row.thread for row in named(host, "cudaLaunchKernel")] == ["replica 1"]
        assert len(named(host, "aten::relu")) == int(operators)


def test_what_grows_and_what_happens_sometimes_follow_the_step_number() -> None:
    """Two reads more in each of four steps; in step 2 alone a pause."""
    grown = run(Growing(2.0, (kernel(1.0),)), steps=4)
    assert len(named(grown, "cudaLaunchKernel")) == 0 + 2 + 4 + 6
    paused = run(Sometimes(frozenset({2}), (Work(500.0),)), Work(10.0), steps=4)
    lengths = [(row.end - row.begin) // 1000 for row in paused.rows if row.name.startswith("ProfilerStep")]
    assert lengths == [10, 10, 510, 10]


def test_an_epoch_begins_with_workers_that_have_to_start() -> None:
    """Steps 2 and 6 of 8 wait for 30 ms more than the others."""
    loader = Loader(200.0, 4_096, workers=2, epoch=4, first=2, start_us=30_000.0)
    host = run(Fetch(), Work(2_000.0), loader=loader, steps=8, machine=exact(cores=32))
    waits = [(row.end - row.begin) // 1000 for row in host.rows if "DataLoader" in row.name]
    assert [number for number, wait in enumerate(waits) if wait > 20_000 and number] == [2, 6]


def test_carried_work_has_no_launch_in_the_record() -> None:
    """Without an opening synchronize, kernels of the warm-up run inside the record; with one none do."""
    step = (kernel(400.0), Work(20.0))
    for opened in (True, False):
        recorded = Process(Loop(step), STILL, "carried").record(5, warmup=3, opened=opened)
        begun = {row.correlation for row in recorded.rows if row.category == "cuda_runtime"}
        carried = [job for job in recorded.jobs if job.kind == "kernel" and job.correlation not in begun]
        assert bool(carried) is not opened
        assert len(recorded.jobs) - len(carried) == 5
        first = min(row.begin for row in recorded.rows)
        assert all((job.start or 0) >= first - 1_000 for job in recorded.jobs)


def test_a_kind_of_work_that_is_free_takes_no_time() -> None:
    """50 kernels of 100 µs behind 10 µs of host work each: free kernels leave the host, a free host the kernels."""
    step = (Work(10.0), kernel(100.0)) * 50
    lengths = {
        kind: Process(Loop(step), STILL, "free", free=frozenset({kind})).step_ns(20) / 1000
        for kind in ("none", "compute", "host")
    }
    assert 5_000 < lengths["none"] < 5_200
    assert 700 < lengths["compute"] < 760
    assert 5_000 < lengths["host"] < 5_100


def test_waits_are_free_but_for_those_who_measure() -> None:
    """A synchronize after each of ten kernels of 50 µs: freed, the host is done at once and the kernels still count."""
    step = (kernel(50.0), Wait()) * 10
    free = Process(Loop(step), STILL, "waits", free=frozenset({"sync"})).step_ns(10) / 1000
    whole = Process(Loop(step), STILL, "waits").step_ns(10) / 1000
    assert 510 < free < 530
    assert whole > free + 9 * 10


def test_two_devices_copy_at_once() -> None:
    """Each has engines of its own: copies to both overlap, two to one follow one another."""

    def ends(first: int, second: int) -> list[Job]:
        pair = tuple(Copy("HtoD", 2_400_000, pinned=True, stream=stream) for stream in (first, second))
        return run(*pair, machine=replace(STILL)).jobs

    both, one = ends(7, 107), ends(7, 20)
    assert (both[1].start or 0) < (both[0].end or 0)
    assert (one[1].start or 0) >= (one[0].end or 0)
