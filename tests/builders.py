"""Say a tiny trace in three lines and write it as a Chrome trace in the modern Kineto dialect.

    path = TraceBuilder().step(0, 1000).launch(20, 5, kernel=("gemm", 40, 100)).sync(30, 115).write(tmp_path)

All times are µs, ints or floats with at most three decimals. Every method returns the builder. A launch, copy or
set gives its device row as (name, start, duration) and pairs the two by a fresh correlation id.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any, Self

from stallscope.traces.model.trace import Trace
from stallscope.traces.read.read import read

PID = 4242
MAIN_THREAD = 4242
BASE_TIME_NS = 1_767_189_312_000_000_000

DeviceRow = tuple[str, float, float]  # name, start µs, duration µs


class TraceBuilder:
    """Collects events; ``document``, ``json``, ``write`` and ``trace`` give the result in four forms."""

    def __init__(self, *, gpu: str | None = "NVIDIA H100 80GB HBM3", rank: int | None = None, world_size: int = 1):
        self.events: list[dict[str, Any]] = []
        self.keys: dict[str, Any] = {
            "schemaVersion": 1,
            "deviceProperties": [] if gpu is None else [self._device(gpu)],
            "displayTimeUnit": "ms",
            "baseTimeNanoseconds": BASE_TIME_NS,
        }
        if rank is not None:
            self.keys["distributedInfo"] = {"backend": "nccl", "rank": rank, "world_size": world_size}
        self._correlation = 0
        self._steps = 0

    @staticmethod
    def _device(name: str) -> dict[str, Any]:
        sms = {"numSms": 132, "warpSize": 32, "maxThreadsPerMultiprocessor": 2048}
        return {"id": 0, "name": name, "totalGlobalMem": 85018279936, "computeMajor": 9, "computeMinor": 0, **sms}

    # -- anything -----------------------------------------------------------------------------------------------

    def event(self, **fields: Any) -> Self:
        """Append one entry of ``traceEvents``, exactly as given."""
        self.events.append(fields)
        return self

    def complete(
        self, cat: str, name: str, start: float, duration: float, *, pid: Any = PID, tid: Any = MAIN_THREAD, **args: Any
    ) -> Self:
        """Append a complete event of any category; ``args`` become its args."""
        times = {"ts": float(start), "dur": float(duration)}
        return self.event(ph="X", cat=cat, name=name, pid=pid, tid=tid, **times, args=args)

    def key(self, **keys: Any) -> Self:
        """Set top-level keys beside ``traceEvents``."""
        self.keys.update(keys)
        return self

    def thread_name(self, tid: Any, name: str, *, pid: Any = PID) -> Self:
        """Name a thread."""
        return self.event(ph="M", name="thread_name", pid=pid, tid=tid, ts=0.0, args={"name": name})

    # -- the host -----------------------------------------------------------------------------------------------

    def step(self, start: float, duration: float, number: int | None = None) -> Self:
        """A ``ProfilerStep#N`` range on the host; N counts up unless given."""
        number = self._steps if number is None else number
        self._steps = number + 1
        return self.annotation(f"ProfilerStep#{number}", start, duration)

    def annotation(self, name: str, start: float, duration: float, *, tid: Any = MAIN_THREAD) -> Self:
        """A ``user_annotation`` range."""
        return self.complete("user_annotation", name, start, duration, tid=tid)

    def dataloader(self, start: float, duration: float, *, workers: bool = False) -> Self:
        """The range that torch puts around a DataLoader fetch."""
        kind = "MultiProcessing" if workers else "SingleProcess"
        name = f"enumerate(DataLoader)#_{kind}DataLoaderIter.__next__"
        return self.annotation(name, start, duration)

    def op(self, name: str, start: float, duration: float, *, tid: Any = MAIN_THREAD, **args: Any) -> Self:
        """A ``cpu_op`` range."""
        return self.complete("cpu_op", name, start, duration, tid=tid, **args)

    def python(self, name: str, start: float, duration: float) -> Self:
        """A ``python_function`` range."""
        return self.complete("python_function", name, start, duration)

    def memory(
        self, at: float, allocated: int, reserved: int, *, device: int | None = 0, address: int = 1, size: int = 512
    ) -> Self:
        """A ``[memory]`` instant: allocator totals after an allocation or free; ``device=None`` is the host."""
        where = {"Device Type": 0, "Device Id": -1} if device is None else {"Device Type": 1, "Device Id": device}
        totals = {"Total Allocated": allocated, "Total Reserved": reserved, "Addr": address, "Bytes": size}
        where_on = {"pid": PID, "tid": MAIN_THREAD, "ts": float(at)}
        return self.event(ph="i", cat="cpu_instant_event", s="t", name="[memory]", **where_on, args={**where, **totals})

    # -- calls and the device -----------------------------------------------------------------------------------

    def call(
        self, name: str, start: float, duration: float, *, tid: Any = MAIN_THREAD, cat: str = "cuda_runtime"
    ) -> Self:
        """A runtime (or driver) call under a fresh correlation id."""
        self._correlation += 1
        return self.complete(cat, name, start, duration, tid=tid, correlation=self._correlation)

    def launch(
        self,
        start: float,
        duration: float,
        *,
        kernel: DeviceRow | None = None,
        stream: int = 7,
        device: int = 0,
        tid: Any = MAIN_THREAD,
        name: str = "cudaLaunchKernel",
    ) -> Self:
        """A launch call and its kernel; ``kernel=None`` is a launch whose kernel was not recorded."""
        self.call(name, start, duration, tid=tid)
        return self if kernel is None else self.kernel(kernel, stream=stream, device=device, paired=True)

    def graph_launch(self, start: float, duration: float, kernels: list[DeviceRow], *, stream: int = 7) -> Self:
        """One ``cudaGraphLaunch`` that runs several kernels."""
        self.call("cudaGraphLaunch", start, duration)
        for kernel in kernels:
            self.kernel(kernel, stream=stream, paired=True)
        return self

    def kernel(self, row: DeviceRow, *, stream: int = 7, device: int = 0, paired: bool = False, **args: Any) -> Self:
        """A kernel row: under the last call's correlation when ``paired``, else launched by nothing recorded."""
        shape = {"grid": [64, 2, 1], "block": [128, 1, 1], "blocks per SM": 0.97, "est. achieved occupancy %": 6}
        return self._device_row("kernel", row, stream, device, paired=paired, **{**shape, **args})

    def memcpy(
        self,
        start: float,
        duration: float,
        *,
        copy: DeviceRow,
        nbytes: int = 4,
        stream: int = 7,
        name: str = "cudaMemcpyAsync",
    ) -> Self:
        """A copy call and its device row, e.g. ``copy=("Memcpy DtoH (Device -> Pageable)", 40, 2)``."""
        self.call(name, start, duration)
        return self._device_row("gpu_memcpy", copy, stream, 0, paired=True, bytes=nbytes)

    def memset(self, start: float, duration: float, *, fill: DeviceRow, nbytes: int = 512, stream: int = 7) -> Self:
        """A ``cudaMemsetAsync`` call and its device row, e.g. ``fill=("Memset (Device)", 40, 2)``."""
        self.call("cudaMemsetAsync", start, duration)
        return self._device_row("gpu_memset", fill, stream, 0, paired=True, bytes=nbytes)

    def sync(
        self, start: float, duration: float, *, name: str = "cudaDeviceSynchronize", tid: Any = MAIN_THREAD
    ) -> Self:
        """A synchronizing call."""
        return self.call(name, start, duration, tid=tid)

    def _device_row(self, cat: str, row: DeviceRow, stream: int, device: int, *, paired: bool, **args: Any) -> Self:
        name, start, duration = row
        correlation = self._correlation if paired else 1_000_000 + len(self.events)
        ids = {"device": device, "context": 1, "stream": stream, "correlation": correlation}
        return self.complete(cat, name, start, duration, pid=device, tid=stream, **ids, **args)

    # -- the result ---------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """The trace as Python objects."""
        return {**self.keys, "traceEvents": self.events}

    def json(self, indent: int | None = None) -> str:
        """The trace as JSON text."""
        return json.dumps(self.document(), indent=indent)

    def write(self, folder: Path, name: str = "worker0.1700000000000000000.pt.trace.json") -> Path:
        """Write the trace into ``folder`` under ``name``, compressed if the name ends in ``.gz``."""
        path = folder / name
        data = self.json().encode()
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
        return path

    def trace(self) -> Trace:
        """The trace, written and read back."""
        with tempfile.TemporaryDirectory() as folder:
            return read(self.write(Path(folder)))
