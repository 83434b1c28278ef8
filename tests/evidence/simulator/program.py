"""The language of training loops: one step is a sequence of these instructions. Times in µs on a reference host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

COMPUTE_STREAM, SIDE_STREAM = 7, 20

Category = Literal["cpu_op", "user_annotation"]
Direction = Literal["HtoD", "DtoH"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A piece of device work that runs for ``us`` on a device at its nominal clock."""

    name: str
    us: float
    grid: tuple[int, int, int] = (1, 1, 1)
    block: tuple[int, int, int] = (128, 1, 1)


@dataclass(frozen=True, slots=True)
class Work:
    """The host computes: Python, dispatcher, allocator."""

    us: float


@dataclass(frozen=True, slots=True)
class Launch:
    """The host starts a kernel on a stream and goes on."""

    kernel: Kernel
    stream: int = COMPUTE_STREAM


@dataclass(frozen=True, slots=True)
class Op:
    """A named range with ``before`` and ``after`` µs of its own host work around ``body``.

    ``forward`` and ``backward`` are positions in the step's autograd tape: the operator that wrote an entry, and the
    node that consumes it.
    """

    name: str
    body: tuple[Instruction, ...] = ()
    before: float = 0.0
    after: float = 0.0
    category: Category = "cpu_op"
    forward: int | None = None
    backward: int | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """``cudaMemcpyAsync`` of ``bytes``; pageable memory makes the call itself wait, as the driver stages it."""

    direction: Direction
    bytes: int
    pinned: bool = False
    stream: int = COMPUTE_STREAM


@dataclass(frozen=True, slots=True)
class Wait:
    """``cudaStreamSynchronize``, or with ``stream`` None ``cudaDeviceSynchronize``."""

    stream: int | None = COMPUTE_STREAM


@dataclass(frozen=True, slots=True)
class Record:
    """``cudaEventRecord`` of the event ``event`` on a stream."""

    event: int
    stream: int


@dataclass(frozen=True, slots=True)
class Await:
    """``cudaStreamWaitEvent``: the stream's later work waits for the event's last record."""

    event: int
    stream: int


@dataclass(frozen=True, slots=True)
class Backward:
    """The autograd thread runs ``body`` while the main thread waits for it."""

    body: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """``next(iterator)`` of the loop's DataLoader."""


@dataclass(frozen=True, slots=True)
class Replay:
    """``cudaGraphLaunch`` of a captured sequence of kernels."""

    kernels: tuple[Kernel, ...]


@dataclass(frozen=True, slots=True)
class Every:
    """``if step % k == 0``: the body, in every k-th step."""

    k: int
    body: tuple[Instruction, ...]


Instruction = Work | Launch | Op | Copy | Wait | Record | Await | Backward | Fetch | Replay | Every


@dataclass(frozen=True, slots=True)
class Loader:
    """A DataLoader: the host time of one batch, its size, and where it is made."""

    batch_us: float
    bytes: int
    workers: int = 0
    pin_memory: bool = False
    operators: int = 0  # that making a batch calls, a profiled process records and a worker does not


@dataclass(frozen=True, slots=True)
class Loop:
    """A training loop: what each step executes."""

    step: tuple[Instruction, ...]
    loader: Loader | None = None
    uneven: float = 0.0  # batches differ in size: deviation of the logarithm of a step's kernel times


def item(*, pinned: bool = False) -> Op:
    """``tensor.item()``: four bytes to the host, through pageable or (since torch 2.3) pinned memory, and a wait."""
    inner = Op("aten::_local_scalar_dense", (Copy("DtoH", 4, pinned=pinned), Work(1.0), Wait()), before=6.0, after=1.5)
    return Op("aten::item", (inner,), before=2.5, after=1.5)


def to_device(size: int, *, pinned: bool, non_blocking: bool) -> Op:
    """``batch.to("cuda")``: allocate and copy; without ``non_blocking`` the stream is waited for."""
    wait = () if non_blocking else (Work(0.8), Wait())
    copied = Op("aten::copy_", (Copy("HtoD", size, pinned=pinned), *wait), before=4.0, after=1.5)
    empty = Op("aten::empty_strided", before=3.0)
    return Op("aten::to", (Op("aten::_to_copy", (empty, copied), before=2.5, after=1.0),), before=1.2, after=0.8)


def kernels_in(body: tuple[Instruction, ...]) -> list[Kernel]:
    """Every kernel that executing ``body`` once launches, in the order of the program."""
    found: list[Kernel] = []
    for each in body:
        match each:
            case Launch(kernel):
                found.append(kernel)
            case Replay(kernels):
                found.extend(kernels)
            case Op() | Backward() | Every():
                found.extend(kernels_in(each.body))
            case _:
                pass
    return found


def host_us(body: tuple[Instruction, ...], per_call: float = 4.5) -> float:
    """Host work of ``body`` in µs on the reference host, each runtime call at ``per_call``, waits not counted."""
    total = 0.0
    for each in body:
        match each:
            case Work(us):
                total += us
            case Op():
                total += each.before + each.after + host_us(each.body, per_call)
            case Backward():
                total += 30.0 + host_us(each.body, per_call)
            case Every():
                total += host_us(each.body, per_call) / each.k
            case Fetch():
                pass
            case _:
                total += per_call
    return total
