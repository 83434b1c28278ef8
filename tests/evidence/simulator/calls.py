"""More of what a host does: the allocator, copies it waits for, Python functions, threads, what not every step does.

`run.py` imports this: the handlers join those of `host.py`.
"""

from __future__ import annotations

from tests.evidence.simulator import program as p
from tests.evidence.simulator.device import Job
from tests.evidence.simulator.host import HANDLERS, Host, Row


def call(host: Host, instruction: p.Call) -> None:
    """A call of the allocator, which may first wait for all that runs."""
    if "allocator" in host.free:
        return
    begin = host._begin_call()
    if instruction.drains:
        last = host.device.drained(None)
        if last > host.now:
            host.now = last + int(1000 * host.machine.sync_return_us)
    kind, host._kind = host._kind, "allocator"
    host._spend(instruction.us)
    host._kind = kind
    host._call(instruction.name, begin)


def transfer(host: Host, instruction: p.Transfer) -> None:
    """Copy and wait: CUDA copies and then synchronizes the stream, ROCm has one call that returns at the end."""
    copy = p.Copy(instruction.direction, instruction.bytes, pinned=instruction.pinned)
    if not host.machine.rocm:
        host.run((copy, p.Work(0.8), p.Wait()))
        return
    begin, machine = host._begin_call(), host.machine
    rate = machine.pinned_rate if copy.pinned else machine.pageable_rate
    ns = 0.0 if "copy" in host.free else 1000 * (machine.copy_setup_us + copy.bytes / rate)
    name = "Memcpy HtoD (Host -> Device)" if copy.direction == "HtoD" else "Memcpy DtoH (Device -> Host)"
    if copy.pinned and copy.direction == "DtoH":
        name = "Memcpy DtoD (Device -> Device)"  # as ROCm's recorder takes the pinned scalar for the device's
    job = Job("copy", copy.stream, host._arrival(copy.stream), ns, name, bytes=copy.bytes, engine=copy.direction)
    host._enqueue(job, machine.launch_us * 1.2)
    if "sync" not in host.free:
        host.now = max(host.now, host.device.finish(job) + int(1000 * machine.sync_return_us))
    host._call("hipMemcpyWithStream", begin)


def frame(host: Host, instruction: p.Frame) -> None:
    """A Python function, seen where stacks are recorded."""
    if not (host.profiled and host.stacks):
        host.run(instruction.body)
        return
    host._numbers += 1
    row = Row("python_function", instruction.name, host.now, thread=host._thread, number=host._numbers)
    row.parent = host._frames[-1] if host._frames else None
    host._frames.append(row.number)
    if host.recording:
        host.rows.append(row)
    host._spend(host.machine.profiler.frame_us / 2)
    host.run(instruction.body)
    host._spend(host.machine.profiler.frame_us / 2)
    host._frames.pop()
    row.end = host.now


def elsewhere(host: Host, instruction: p.Elsewhere) -> None:
    """Another thread runs while this one waits."""
    ranges, frames, back, hidden = host._ranges, host._frames, host._thread, host._hidden
    host._frames, host._hidden = [], not instruction.operators
    host._hand_over(instruction.thread, [0])
    host.run(instruction.body)
    host._hidden = hidden
    host._hand_over(back, ranges)
    host._frames = frames


def growing(host: Host, instruction: p.Growing) -> None:
    """What was kept in all steps so far is gone through once more."""
    for _ in range(int(instruction.each * host.step)):
        host.run(instruction.body)


def sometimes(host: Host, instruction: p.Sometimes) -> None:
    """Steps of certain numbers do more."""
    if host.step in instruction.steps:
        host.run(instruction.body)


HANDLERS.update(
    {
        p.Call: call, p.Transfer: transfer, p.Frame: frame, p.Elsewhere: elsewhere,
        p.Growing: growing, p.Sometimes: sometimes,
    }  # type: ignore[dict-item]
)  # fmt: skip
