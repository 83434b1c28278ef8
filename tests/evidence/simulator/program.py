"""The language of training loops: one step is a sequence of these instructions. Times in µs on a reference host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

COMPUTE_STREAM, SIDE_STREAM = 7, 20
STREAMS_OF_A_DEVICE = 100  # stream 107 is stream 7 of the second device

Category = Literal["cpu_op", "user_annotation"]
Direction = Literal["HtoD", "DtoH", "PtoP"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A piece of device work that runs for ``us`` on a device at its nominal clock."""

    name: str
    us: float
    grid: tuple[int, int, int] = (1, 1, 1)
    block: tuple[int, int, int] = (128, 1, 1)
    more: str = ""  # what its row says beside: of a collective, its group


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
    node that consumes it. ``{step}`` in a name is the number of the step; ``inputs`` are what a recording with
    shapes adds to the row.
    """

    name: str
    body: tuple[Instruction, ...] = ()
    before: float = 0.0
    after: float = 0.0
    category: Category = "cpu_op"
    forward: int | None = None
    backward: int | None = None
    inputs: str = ""


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


@dataclass(frozen=True, slots=True)
class Call:
    """A runtime call of the allocator: ``us`` of its own; one that ``drains`` first waits for the whole device."""

    name: str
    us: float
    drains: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """A copy that the host waits for: two calls on CUDA, one call that blocks on ROCm."""

    direction: Direction
    bytes: int
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A Python function: a row only where stacks are recorded, and then it costs a little."""

    name: str
    body: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another Python thread of the process runs ``body`` while this one waits; its operators may go unrecorded."""

    thread: str
    body: tuple[Instruction, ...]
    operators: bool = True


@dataclass(frozen=True, slots=True)
class Growing:
    """The body, ``each`` times more in every step than in the one before."""

    each: float
    body: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Sometimes:
    """The body, in the steps of these numbers."""

    steps: frozenset[int]
    body: tuple[Instruction, ...]


Instruction = (
    Work | Launch | Op | Copy | Wait | Record | Await | Backward | Fetch | Replay | Every
    | Call | Transfer | Frame | Elsewhere | Growing | Sometimes
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loader:
    """A DataLoader: the host time of one batch, its size, and where it is made."""

    batch_us: float
    bytes: int
    workers: int = 0
    pin_memory: bool = False
    operators: int = 0  # that making a batch calls, a profiled process records and a worker does not
    body: tuple[Instruction, ...] = ()  # of ``__next__`` in the training process, in place of host time
    epoch: int = 0  # batches until the workers end and are started anew; 0: never
    first: int = 0  # the step in which an epoch begins
    start_us: float = 0.0  # of each worker, to start and to import


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
            case Op() | Backward() | Every() | Frame() | Elsewhere():
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
            case Frame() | Elsewhere():
                total += host_us(each.body, per_call)
            case Growing() | Sometimes():
                pass
            case Fetch():
                pass
            case _:
                total += per_call
    return total


def within(body: tuple[Instruction, ...]) -> Iterator[Instruction]:
    """Every instruction of ``body``, those inside others too."""
    for each in body:
        yield each
        if isinstance(each, Op | Backward | Every | Frame | Elsewhere | Growing | Sometimes):
            yield from within(each.body)
