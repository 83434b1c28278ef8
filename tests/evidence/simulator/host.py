"""The threads of the training process: runs a program, instruction by instruction, against a device.

The main thread and autograd's take turns, as `backward()` makes them; a launch queue that is full, a synchronize call
and a batch that is not there yet make the running thread wait. Times in ns.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.evidence.simulator import program as p
from tests.evidence.simulator.device import Device, Job
from tests.evidence.simulator.loader import Workers, pin_ns
from tests.evidence.simulator.machine import Machine
from tests.evidence.simulator.noise import Drift, Interruptions, Jitter, generator

MAIN, AUTOGRAD = "main", "autograd"
PACE_NS = 250_000  # how often the host's pace is looked at
SMALL_COPY = 64 * 1024  # the driver copies as much aside and returns


@dataclass(slots=True, eq=False)
class Row:
    """Something recorded on a host thread, or (``thread`` None) a wait as the device's row shows it."""

    category: str
    name: str
    begin: int
    end: int = 0
    thread: str | None = None
    number: int = 0  # ranges: their own id
    external: int | None = None  # calls: the id of the innermost range around them
    correlation: int = 0
    sequence: int | None = None
    backward: bool = False
    stream: int = -1
    recorded: int = -1  # waits for an event: the correlation of its record
    inputs: str = ""  # of an operator, where shapes are recorded
    parent: int | None = None  # of a Python function: the number of the one that called it


class Host:
    """One process. ``rows`` and ``jobs`` fill while ``recording``; ``profiled`` alone makes it slower."""

    def __init__(self, machine: Machine, loop: p.Loop, made: random.Random) -> None:
        self.machine, self.loop = machine, loop
        self.now = 1_000_000
        self.worked_ns = 0  # so far, waits left out
        self.profiled = self.recording = self.stacks = False
        self.marks = True  # the script calls the profiler's ``step()``
        self.free: frozenset[str] = frozenset()  # kinds of work that cost nothing: see `Free`
        self.rows: list[Row] = []
        self.jobs: list[Job] = []
        self.device = Device(machine, made)
        self.step = 0
        self._thread, self._ranges = MAIN, [0]
        self._frames: list[int] = []
        self._kind = "host"
        self._hidden = False  # the thread's operators go unrecorded
        self._numbers = self._correlations = self._calls = 0
        self._events: dict[int, Job] = {}
        self._jitter = Jitter(made, machine.host_jitter)
        self._wakes = Jitter(made, machine.wake_jitter)
        self._batches = Jitter(made, machine.worker_jitter)
        self._sizes = generator("sizes", made.random())
        self._drift = Drift(made, machine.host_drift, 30_000_000)
        self._interruptions = Interruptions(made, 1000 * machine.interruption_every_us, 1000 * machine.interruption_us)
        self._run = machine.host_scale * made.lognormvariate(0.0, machine.run_difference)
        self._pace, self._pace_until = self._run, 0
        self._start_us = 0.0
        loader = loop.loader
        self.workers = Workers(loader, machine, made, self.now) if loader is not None and loader.workers else None

    def steps(self, count: int) -> None:
        """Run the loop's next ``count`` steps, each a ``ProfilerStep#`` range while recording."""
        for _ in range(count):
            self._batch_size()
            if self.profiled and self.marks:
                self._op(p.Op(f"ProfilerStep#{self.step}", self.loop.step, category="user_annotation"))
            else:
                self.run(self.loop.step)
            self.step += 1

    def _batch_size(self) -> None:
        """The step's batch is larger or smaller than the last."""
        if self.loop.uneven:
            self.device.batch = self._sizes.lognormvariate(-(self.loop.uneven**2) / 2, self.loop.uneven)

    def synchronize(self) -> None:
        """``torch.cuda.synchronize()``, by who measures: it waits even where the script's own waits are free."""
        free, self.free = self.free, self.free - {"sync"}
        self._wait(p.Wait(None))
        self.free = free

    def run(self, body: tuple[p.Instruction, ...]) -> None:
        """Execute ``body`` from now on."""
        for instruction in body:
            HANDLERS[type(instruction)](self, instruction)

    def startle(self) -> None:
        """The first call of the next step pays for the start of recording."""
        self._start_us = self.machine.profiler.first_us

    # --- time ---------------------------------------------------------------------------------------

    def _spend(self, us: float) -> None:
        """The host computes for ``us`` of a reference host's time."""
        if self._kind in self.free:
            return
        if self.now >= self._pace_until:
            self._pace = self._run * self._drift.at(self.now)
            if self.workers is not None:
                self._pace *= self.workers.crowding(self.now)
            self._pace_until = self.now + PACE_NS
        ns = int(1000 * us * self._pace * self._jitter())
        spent = ns + self._interruptions.during(ns)
        self.now += spent
        self.worked_ns += spent

    def _recorder(self, us: float) -> None:
        """The profiler computes, while there is one."""
        if self.profiled:
            self._spend(us)

    # --- ranges -------------------------------------------------------------------------------------

    def _work(self, work: p.Work) -> None:
        self._spend(work.us)

    def _op(self, op: p.Op) -> None:
        outer, row = self._kind, None
        self._kind = "reads" if op.name in READS else outer
        if self.profiled and not (self._hidden and op.category == "cpu_op"):
            profiler = self.machine.profiler
            cost = profiler.op_us if op.category == "cpu_op" else profiler.annotation_us
            self._spend(cost * 0.4)
            row = self._open(op)
            self._spend(cost * 0.25)
        if op.before:
            self._spend(op.before)
        self.run(op.body)
        if op.after:
            self._spend(op.after)
        if row is not None:
            self._spend(cost * 0.2)
            row.end = self.now
            self._ranges.pop()
            self._spend(cost * 0.15)
        self._kind = outer

    def _open(self, op: p.Op) -> Row:
        self._numbers += 1
        tape = op.backward if op.backward is not None else op.forward
        row = Row(
            op.category,
            op.name.replace("{step}", str(self.step)),
            self.now,
            thread=self._thread,
            number=self._numbers,
            backward=op.backward is not None,
        )
        row.sequence = None if tape is None else 10_000 * (self.step + 1) + tape
        row.inputs = op.inputs
        self._ranges.append(self._numbers)
        if self.recording:
            self.rows.append(row)
        return row

    def _every(self, every: p.Every) -> None:
        self._spend(0.2)
        if self.step % every.k == 0:
            self.run(every.body)

    def _backward(self, backward: p.Backward) -> None:
        ranges = self._ranges  # ranges belong to their thread
        self._hand_over(AUTOGRAD, [0])
        self.run(backward.body)
        self._hand_over(MAIN, ranges)

    def _hand_over(self, thread: str, ranges: list[int]) -> None:
        if "host" not in self.free:
            self.now += int(1000 * self.machine.hand_over_us * self._wakes())
        self._thread, self._ranges = thread, ranges

    # --- the device ---------------------------------------------------------------------------------

    def _call(self, name: str, begin: int) -> Row:
        """A runtime call from ``begin`` to now."""
        row = Row("cuda_runtime", name, begin, self.now, self._thread, external=self._ranges[-1] or None)
        row.correlation = self._correlations
        if self.recording:
            self.rows.append(row)
        return row

    def _begin_call(self) -> int:
        """Open a runtime call: its correlation, and the profiler's share at its begin."""
        self._correlations += 1
        begin = self.now
        if self.profiled:
            self._calls += 1
            self._spend(self.machine.profiler.call_us * 0.5 + self._start_us)
            self._start_us = 0.0
            if self._calls % self.machine.profiler.buffer_every_calls == 0:
                self._spend(self.machine.profiler.buffer_us)
        return begin

    def _submit(self, job: Job) -> None:
        job.correlation, job.external = self._correlations, self._ranges[-1] or None
        if self.profiled:
            self.jobs.append(job)
        self.device.submit(job)

    def _arrival(self, stream: int, more_us: float = 0.0) -> int:
        """When the device can see work that is submitted now: later where it slept."""
        machine = self.machine
        idle = self.device.idle_for(stream, self.now)
        latency = machine.launch_latency_us + more_us
        if idle is not None and idle > 1000 * machine.wake_after_us:
            latency += machine.wake_us
        return self.now + int(1000 * latency * self._wakes())

    def _enqueue(self, job: Job, call_us: float) -> None:
        """Submit, pay for the call, and wait while the launch queue is full."""
        self._submit(job)
        filled = self.device.pending / self.machine.queue_depth
        self._spend((call_us * (1 + 0.1 * filled)) / self.machine.host_scale**0.5)
        free = self.device.room(self.machine.queue_depth)
        if free is not None:
            self.now = max(self.now, free + int(1000 * self.machine.queue_resume_us * self._wakes()))
        if self.machine.blocking and "sync" not in self.free:
            self.now = max(self.now, self.device.finish(job) + int(1000 * self.machine.sync_return_us * self._wakes()))
        self._recorder(self.machine.profiler.call_us * 0.5)

    def _launch(self, launch: p.Launch) -> None:
        begin = self._begin_call()
        kernel = launch.kernel
        arrival = self._arrival(launch.stream)
        kind = "communication" if kernel.name.startswith("nccl") else "compute"
        ns = 0.0 if kind in self.free else 1000 * kernel.us * self.device.batch
        job = Job("kernel", launch.stream, arrival, ns, kernel.name, kernel)
        self._enqueue(job, self.machine.launch_us)
        self._call("cudaLaunchKernel", begin)

    def _replay(self, replay: p.Replay) -> None:
        begin, machine = self._begin_call(), self.machine
        nodes = len(replay.kernels)
        arrival = self._arrival(p.COMPUTE_STREAM, machine.graph_latency_us)
        self._recorder(machine.profiler.graph_node_us * nodes)
        job = Job("graph", p.COMPUTE_STREAM, arrival, 1000 * self.device.batch, "graph", nodes=replay.kernels)
        self._enqueue(job, machine.graph_call_us + machine.graph_node_us * nodes)
        self._call("cudaGraphLaunch", begin)

    def _copy(self, copy: p.Copy) -> None:
        begin, machine = self._begin_call(), self.machine
        kind = "Pinned" if copy.pinned else "Pageable"
        ways = {"HtoD": f"{kind} -> Device", "DtoH": f"Device -> {kind}", "PtoP": "Device -> Device"}[copy.direction]
        name = f"Memcpy {copy.direction} ({ways})"
        rate = machine.pinned_rate if copy.pinned else machine.pageable_rate
        if not copy.pinned and self.workers is not None:
            rate /= self.workers.crowding(self.now)  # the host's memory is busy with the workers' batches
        ns = 0.0 if "copy" in self.free else 1000 * (machine.copy_setup_us + copy.bytes / rate)
        staged = not copy.pinned and copy.direction == "HtoD" and copy.bytes <= SMALL_COPY
        if staged:
            self._spend(copy.bytes / machine.host_copy_rate)
        job = Job("copy", copy.stream, self._arrival(copy.stream), ns, name, bytes=copy.bytes, engine=copy.direction)
        self._enqueue(job, machine.launch_us * 1.2)
        waits = "staging" if copy.direction == "HtoD" else "sync"
        if not copy.pinned and not staged and waits not in self.free:
            self._stage(job, copy)
        self._call("cudaMemcpyAsync", begin)

    def _stage(self, job: Job, copy: p.Copy) -> None:
        """A copy through the driver's staging buffer: the call returns with the last piece, before or after its end."""
        end = self.device.finish(job)
        after = int(1000 * self.machine.copy_return_us * self._wakes())
        if copy.direction == "HtoD" and job.start is not None:
            after = -min((end - job.start) // 2, 25_000)
        self.now = max(self.now, end + after)

    def _wait(self, wait: p.Wait) -> None:
        if "sync" in self.free:
            return
        outer, self._kind = self._kind, "sync"  # the call's own cost goes with the call
        begin = self._begin_call()
        last = self.device.drained(wait.stream)
        self._spend(self.machine.sync_us / self.machine.host_scale**0.5)
        if last > begin:
            self.now = max(self.now, last + int(1000 * self.machine.sync_return_us * self._wakes()))
        self._recorder(self.machine.profiler.call_us * 0.5)
        self._kind = outer
        name = "cudaDeviceSynchronize" if wait.stream is None else "cudaStreamSynchronize"
        call = self._call(name, begin)
        kind = "Context Sync" if wait.stream is None else "Stream Sync"
        self._sync_row(kind, call, -1 if wait.stream is None else wait.stream)

    def _sync_row(self, kind: str, call: Row, stream: int, recorded: int = -1) -> None:
        if self.recording:
            margin = min(300, (call.end - call.begin) // 4)
            row = Row("cuda_sync", kind, call.begin + margin, call.end - margin, external=call.external)
            row.correlation, row.stream, row.recorded = call.correlation, stream, recorded
            self.rows.append(row)

    def _record(self, record: p.Record) -> None:
        begin = self._begin_call()
        job = Job("record", record.stream, self._arrival(record.stream))
        self._events[record.event] = job
        self._submit(job)
        self._spend(1.6)
        self._call("cudaEventRecord", begin)

    def _await(self, wait: p.Await) -> None:
        begin = self._begin_call()
        event = self._events[wait.event]
        self._submit(Job("wait", wait.stream, self._arrival(wait.stream), awaited=event))
        self._spend(1.4)
        call = self._call("cudaStreamWaitEvent", begin)
        self._sync_row("Stream Wait Event", call, wait.stream, event.correlation)

    # --- the loader ---------------------------------------------------------------------------------

    def _fetch(self, _: p.Fetch) -> None:
        loader = self.loop.loader
        assert loader is not None
        kind = "_MultiProcessingDataLoaderIter" if self.workers is not None else "_SingleProcessDataLoaderIter"
        op = p.Op(f"enumerate(DataLoader)#{kind}.__next__", (Batch(),), category="user_annotation")
        outer, self._kind = self._kind, "input"
        if loader.epoch and self.workers is not None and self.step % loader.epoch == loader.first % loader.epoch:
            self._spend(0.05 * loader.start_us * loader.workers)  # the new processes are forked one after another
            self.workers.restart(self.now)
        self._op(op)
        self._kind = outer

    def _make(self, loader: p.Loader, us: float) -> None:
        """Read and collate: Python, and small operators on the host's memory."""
        if not loader.operators:
            self._spend(us)
            return
        self.run((p.Op("aten::select", before=0.6 * us / loader.operators),) * loader.operators)
        self._op(p.Op("aten::stack", before=0.4 * us))

    def _batch(self, _: Batch) -> None:
        loader = self.loop.loader
        assert loader is not None
        if loader.body:
            self.run(loader.body)
            return
        if self.workers is None:
            self._make(loader, loader.batch_us * self._batches())
            if loader.pin_memory:
                self.now += pin_ns(loader, self.machine)
            return
        ready = self.workers.take()
        if ready > self.now and "input" not in self.free:
            self.now = ready + int(40_000 * self._wakes())
        self._spend(self.machine.next_us * self._batches())
        self.workers.request(self.now)


@dataclass(frozen=True, slots=True)
class Batch:
    """What happens inside the loader's ``__next__``."""


READS = frozenset({"aten::item", "aten::is_nonzero", "aten::nonzero", "aten::to", "aten::masked_select"})

HANDLERS: dict[type, Callable[[Host, object], None]] = {
    p.Work: Host._work,
    p.Op: Host._op,
    p.Launch: Host._launch,
    p.Copy: Host._copy,
    p.Wait: Host._wait,
    p.Record: Host._record,
    p.Await: Host._await,
    p.Backward: Host._backward,
    p.Fetch: Host._fetch,
    p.Replay: Host._replay,
    p.Every: Host._every,
    Batch: Host._batch,
}  # type: ignore[assignment]
