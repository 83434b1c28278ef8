"""A host, its launch queue and a device, simulated: runs a training loop written as data, event by event.

    program = [Op("aten::relu", [Work(9_000), Launch("relu_kernel", 1_400), Work(5_000)])]
    simulator = Simulator(Hardware(jitter=0.0))
    simulator.run(program)

The rules (times in ns; the constants are medians measured on real traces of several GPUs):
  - one host thread runs at a time; `OnThread` hands over to another and waits for it, as backward() does
  - work starts on the device `launch_latency_ns` after its call began, or `kernel_gap_ns` after its stream's
    previous work ended, whichever is later; streams are first in, first out
  - a call that finds `queue_depth` pieces of work not yet started returns only when one of them has started
  - a copy to pageable host memory returns `copy_return_ns` after the copy ended; a synchronize call returns
    `sync_return_ns` after the last work ended, and costs `sync_call_ns` where nothing is left to wait for

It knows nothing of the analysis: what it records is the truth that the analysis is tested against.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MAIN = "main"
DEFAULT_STREAM = 7  # as CUPTI numbers the default stream


# --- the machine ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hardware:
    """Constants of host and device; ``jitter`` 0.05 varies every duration by up to ±5 %, always the same way."""

    launch_call_ns: int = 4_200
    launch_latency_ns: int = 7_000  # call start to device start on an idle stream
    kernel_gap_ns: int = 1_200  # between two queued pieces of work
    copy_call_ns: int = 5_500
    copy_return_ns: int = 4_500  # end of a copy to pageable memory, to the return of its call
    sync_call_ns: int = 2_500
    sync_return_ns: int = 5_000  # end of the last work, to the return of the synchronize call
    queue_depth: int = 1_020
    hand_over_ns: int = 9_000  # one thread wakes another
    range_gap_ns: int = 60  # from a range's end to whatever comes next
    jitter: float = 0.05


# --- the program ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Work:
    """The host computes (Python, dispatcher) for ``ns``."""

    ns: int


@dataclass(frozen=True, slots=True)
class Launch:
    """The host starts a kernel that runs for ``ns`` on ``stream``."""

    kernel: str
    ns: int
    stream: int = DEFAULT_STREAM
    grid: tuple[int, int, int] = (1, 1, 1)
    block: tuple[int, int, int] = (128, 1, 1)


@dataclass(frozen=True, slots=True)
class Copy:
    """The host starts a copy; ``blocking`` as one to pageable memory is: the call returns after the copy."""

    name: str
    ns: int
    bytes: int
    blocking: bool = False
    stream: int = DEFAULT_STREAM


@dataclass(frozen=True, slots=True)
class Sync:
    """The host waits for ``stream``, or with None for the whole device."""

    stream: int | None = DEFAULT_STREAM


@dataclass(frozen=True, slots=True)
class Op:
    """A named range around a piece of program."""

    name: str
    body: Sequence[Instruction]
    category: str = "cpu_op"
    args: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OnThread:
    """Another host thread runs ``body`` while this one waits."""

    thread: str
    body: Sequence[Instruction]


Instruction = Work | Launch | Copy | Sync | Op | OnThread


def item() -> list[Instruction]:
    """``tensor.item()``: four bytes to pageable memory, then a wait for the stream; about 39 µs if it is drained."""
    copy = Copy("Memcpy DtoH (Device -> Pageable)", ns=1_400, bytes=4, blocking=True)
    inner = Op("aten::_local_scalar_dense", [Work(8_000), copy, Work(1_500), Sync(), Work(2_000)])
    return [Work(3_000), Op("aten::item", [Work(3_000), inner, Work(2_000)]), Work(3_000)]


def steps(bodies: Iterable[Sequence[Instruction]], first: int = 0) -> list[Instruction]:
    """Training steps, each inside its ``ProfilerStep#`` range, numbered from ``first``."""
    return [Op(f"ProfilerStep#{first + n}", body, "user_annotation") for n, body in enumerate(bodies)]


# --- what happened ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Span:
    """Something that took time: on a host thread (``thread``) or on a device stream (``stream``)."""

    category: str
    name: str
    ts_ns: int
    end_ns: int = 0
    thread: str | None = None
    stream: int | None = None
    correlation: int | None = None  # joins a call with the work it started
    operator: int | None = None  # index, in ``Simulator.spans``, of the innermost range around it
    args: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """One first-in, first-out stream: when each piece of its work started, and when the last ended."""

    starts_ns: list[int] = field(default_factory=list)
    end_ns: int = 0


class Simulator:
    """Runs programs one after another; ``spans`` holds what was recorded, in the order of the calls."""

    def __init__(self, hardware: Hardware | None = None, seed: int = 0, start_ns: int = 0) -> None:
        self.hardware = hardware or Hardware()
        self.now_ns = start_ns
        self.recording = True
        self.spans: list[Span] = []
        self._streams: dict[int, Stream] = {}
        self._ranges: list[int | None] = []
        self._thread = MAIN
        self._correlation = 0
        self._random = random.Random(seed)  # noqa: S311 - nothing secret here

    def run(self, program: Iterable[Instruction]) -> None:
        """Execute ``program`` from the current time on."""
        for instruction in program:
            match instruction:
                case Work(ns):
                    self.now_ns += self._vary(ns)
                case Launch():
                    self._launch(instruction)
                case Copy():
                    self._copy(instruction)
                case Sync(stream):
                    self._sync(stream)
                case Op():
                    self._range(instruction)
                case OnThread(thread, body):
                    self._on_thread(thread, body)

    def _range(self, op: Op) -> None:
        span = self._record(Span(op.category, op.name, self.now_ns, thread=self._thread, args=op.args))
        self._ranges.append(span)
        self.run(op.body)
        self._ranges.pop()
        if span is not None:
            self.spans[span].end_ns = self.now_ns
        self.now_ns += self._vary(self.hardware.range_gap_ns)

    def _on_thread(self, thread: str, body: Sequence[Instruction]) -> None:
        waiting, self._thread = self._thread, thread
        ranges, self._ranges = self._ranges, []  # ranges belong to their thread
        self.now_ns += self._vary(self.hardware.hand_over_ns)
        self.run(body)
        self.now_ns += self._vary(self.hardware.hand_over_ns)
        self._thread, self._ranges = waiting, ranges

    def _launch(self, launch: Launch) -> None:
        shape = {"grid": list(launch.grid), "block": list(launch.block)}
        device = Span("kernel", launch.kernel, 0, stream=launch.stream, args=shape)
        self._submit("cudaLaunchKernel", self.hardware.launch_call_ns, device, launch.ns)

    def _copy(self, copy: Copy) -> None:
        device = Span("gpu_memcpy", copy.name, 0, stream=copy.stream, args={"bytes": copy.bytes})
        self._submit("cudaMemcpyAsync", self.hardware.copy_call_ns, device, copy.ns, blocking=copy.blocking)

    def _submit(self, call: str, call_ns: int, work: Span, work_ns: int, *, blocking: bool = False) -> None:
        """One call that starts one piece of device work; the host goes on when the call returns."""
        begin, stream = self.now_ns, self._streams.setdefault(work.stream or 0, Stream())
        self._correlation += 1
        work.ts_ns = max(
            begin + self._vary(self.hardware.launch_latency_ns),
            stream.end_ns + self.hardware.kernel_gap_ns if stream.starts_ns else 0,
        )
        work.end_ns = work.ts_ns + self._vary(work_ns)
        returns = max(begin + self._vary(call_ns), self._room_ns(stream))
        if blocking:
            returns = max(returns, work.end_ns + self._vary(self.hardware.copy_return_ns))
        stream.starts_ns.append(work.ts_ns)
        stream.end_ns = work.end_ns
        self._record(self._call(call, begin, returns))
        work.correlation, work.operator = self._correlation, self._innermost()
        self._record(work)
        self.now_ns = returns

    def _room_ns(self, stream: Stream) -> int:
        """When the queue has room for one more: once the piece of work ``queue_depth`` before it has started."""
        depth = self.hardware.queue_depth
        return stream.starts_ns[-depth] if len(stream.starts_ns) >= depth else 0

    def _sync(self, stream: int | None) -> None:
        begin = self.now_ns
        awaited = self._streams.values() if stream is None else [self._streams.setdefault(stream, Stream())]
        last = max((one.end_ns for one in awaited), default=0)
        self._correlation += 1
        self.now_ns = max(
            begin + self._vary(self.hardware.sync_call_ns),
            last + self._vary(self.hardware.sync_return_ns) if last > begin else 0,
        )
        name = "cudaDeviceSynchronize" if stream is None else "cudaStreamSynchronize"
        call = self._call(name, begin, self.now_ns)
        self._record(call)
        self._record(
            Span(
                "cuda_sync",
                "Context Sync" if stream is None else "Stream Sync",
                begin + 200,
                self.now_ns - 200,
                stream=-1 if stream is None else stream,
                correlation=call.correlation,
                operator=call.operator,
            )
        )

    def _call(self, name: str, begin: int, end: int) -> Span:
        return Span(
            "cuda_runtime",
            name,
            begin,
            end,
            thread=self._thread,
            correlation=self._correlation,
            operator=self._innermost(),
        )

    def _record(self, span: Span) -> int | None:
        """Keep ``span`` and return its index; None while nothing is recorded."""
        if not self.recording:
            return None
        self.spans.append(span)
        return len(self.spans) - 1

    def _innermost(self) -> int | None:
        return self._ranges[-1] if self._ranges else None

    def _vary(self, ns: int) -> int:
        """``ns`` with its share of jitter."""
        return round(ns * (1 + self.hardware.jitter * (2 * self._random.random() - 1)))
