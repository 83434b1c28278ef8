"""Evidence from this machine: what reading the loss costs the Iris training, on the GPU and on the CPU.

    python -m tests.gpu.evidence OUT [--quick]

Run it in a checkout; torch and msgspec are all it needs. It writes

    OUT/evidence.json      times of every repeat, launches counted per step, the machine (`stallscope.evidence/1`)
    OUT/iris_traces.tar    the trace of each variant, as TensorBoard and stallscope open it

First part, "iris": the loss is read every 1, 10, 100, 1000 epochs and never. Each variant is timed without a profiler,
the device synchronized at both ends, five times, in an order that rotates from repeat to repeat, so that a drift of
the machine meets all of them alike; then 20 steps of each are traced.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import io
import json
import statistics
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from stallscope.profiling.machine import collect
from stallscope.traces.manifest import Machine

SCHEMA = "stallscope.evidence/1"
READ_EVERY = (1, 10, 100, 1000, 0)  # 0: never
REPEATS = 5
EPOCHS = 20_000  # as in the case this is about
BUDGET_S = 400.0  # for all timing; what does not fit is shortened and says so
WARMUP, TRACED = 30, 20
HOST, DEVICE = ("cpu_op", "cuda_runtime", "cuda_driver"), ("kernel", "gpu_memcpy", "gpu_memset")
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "hipLaunchKernel", "hipExtLaunchKernel", "hipModuleLaunchKernel")


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure."""

    epochs: int
    budget_s: float

    @classmethod
    def of(cls, *, quick: bool) -> Plan:
        """The full plan, or one of a few seconds that only shows that everything works."""
        return cls(epochs=300, budget_s=8.0) if quick else cls(epochs=EPOCHS, budget_s=BUDGET_S)


class PerStep(msgspec.Struct, frozen=True, kw_only=True):
    """Counted in the trace over the traced steps, then divided by their number."""

    kernel_launches: float
    kernels: float
    memcpys: float
    memsets: float
    sync_calls: float
    cpu_ops: float
    items: float  # aten::item


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One training on one device, the loss read every ``read_every`` epochs (0: never)."""

    device: str
    read_every: int
    epochs: int  # of each repeat
    us_per_step: list[float]  # (last synchronize - first) / epochs, one a repeat, in the order they ran
    host_us_per_step: list[float]  # until the loop ended, before the last synchronize: the host may run ahead
    median_us_per_step: float
    per_step: PerStep
    profiled_us_per_step: float  # in the trace: slower, for the profiler takes its share
    traced_steps: int
    trace: str  # member of iris_traces.tar


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in ``evidence.json``."""

    schema: str = SCHEMA
    created: str
    quick: bool
    cut_short: bool  # the time budget did not allow the full number of epochs or repeats
    machine: Machine
    data: str  # "iris", or random numbers of the same shape where scikit-learn is missing
    iris: list[Variant]
    wall_s: float


# --- the training: profiling/workloads/iris_mlp.py, as functions ------------------------------------

Tensors = tuple[torch.Tensor, torch.Tensor]


def flowers() -> tuple[str, Tensors]:
    """120 flowers scaled to 0..1, or random numbers of the same shapes: the values do not change the work."""
    try:
        from sklearn.datasets import load_iris
    except ImportError:
        generator = torch.Generator().manual_seed(0)
        measures = torch.rand(120, 4, generator=generator)
        return "random, same shapes", (measures, torch.randint(0, 3, (120,), generator=generator))
    data, species = load_iris(return_X_y=True)
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:120]
    measures = torch.tensor(data, dtype=torch.float32)[chosen]
    low, high = measures.amin(0), measures.amax(0)
    return "iris", ((measures - low) / (high - low), torch.tensor(species, dtype=torch.long)[chosen])


class Training:
    """A fresh model on ``device``; ``losses`` holds what was read back."""

    def __init__(self, device: str, data: Tensors) -> None:
        torch.manual_seed(0)
        self.x, self.y = (tensor.to(device) for tensor in data)
        self.model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3)).to(device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.losses: list[float] = []

    def run(self, epochs: int, read_every: int, after_step: Callable[[], None] | None = None) -> None:
        """Train; the same statements in the same order as the script's."""
        for epoch in range(1, epochs + 1):
            self.optimizer.zero_grad()
            output = self.model(self.x)
            loss = self.criterion(output, self.y)
            loss.backward()
            self.optimizer.step()
            if read_every and epoch % read_every == 0:
                self.losses.append(loss.item())
            if after_step is not None:
                after_step()


def synchronize(device: str) -> None:
    """Wait until the device has done everything asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()


# --- timing -----------------------------------------------------------------------------------------


def timed(device: str, data: Tensors, epochs: int, read_every: int) -> tuple[float, float]:
    """(synchronized, host) µs per step of one unprofiled run."""
    training = Training(device, data)
    training.run(WARMUP, read_every=1)
    synchronize(device)
    began = time.perf_counter_ns()
    training.run(epochs, read_every)
    looped = time.perf_counter_ns()
    synchronize(device)
    return (time.perf_counter_ns() - began) / epochs / 1000, (looped - began) / epochs / 1000


def affordable(device: str, data: Tensors, plan: Plan, seconds: float) -> int:
    """Epochs per run so that all runs of a device fit into ``seconds``: whole thousands, at most what is planned."""
    trial = max(timed(device, data, 200, read_every=1)[0] for _ in range(2))
    fitting = int(seconds * 1e6 / (len(READ_EVERY) * REPEATS * trial))
    return min(plan.epochs, max(1000, fitting // 1000 * 1000))


def rotated(repeat: int) -> Sequence[int]:
    """The variants, another one first in each repeat."""
    start = repeat % len(READ_EVERY)
    return READ_EVERY[start:] + READ_EVERY[:start]


def time_all(device: str, data: Tensors, epochs: int, seconds: float) -> dict[int, list[tuple[float, float]]]:
    """Every variant's repeats; stops between repeats once ``seconds`` have passed."""
    times: dict[int, list[tuple[float, float]]] = {read_every: [] for read_every in READ_EVERY}
    began = time.monotonic()
    for repeat in range(REPEATS):
        if time.monotonic() - began > seconds:
            break
        for read_every in rotated(repeat):
            times[read_every].append(timed(device, data, epochs, read_every))
    return times


# --- tracing ----------------------------------------------------------------------------------------


def traced(device: str, data: Tensors, read_every: int, path: Path) -> None:
    """Record ``TRACED`` steps with torch's own profiler and write the trace, gzipped."""
    from torch.profiler import ProfilerActivity, _ExperimentalConfig, profile, schedule

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    training = Training(device, data)
    training.run(WARMUP, read_every=1)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "trace.json"
        with profile(
            activities=activities,
            schedule=schedule(wait=2, warmup=5, active=TRACED, repeat=1),
            on_trace_ready=lambda done: done.export_chrome_trace(str(plain)),
            experimental_config=_ExperimentalConfig(enable_cuda_sync_events=True),
        ) as profiler:
            training.run(7 + TRACED, read_every, profiler.step)
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))


def counted(path: Path) -> tuple[int, float, PerStep]:
    """(steps, µs per step, counts per step) of a trace: calls that start in its steps, and the work they started."""
    rows = [row for row in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"] if row.get("ph") == "X"]
    steps = [row for row in rows if row["name"].startswith("ProfilerStep#") and row["cat"] == "user_annotation"]
    if not steps:
        raise SystemExit(f"{path.name}: no steps were recorded")
    first, last = min(row["ts"] for row in steps), max(row["ts"] + row["dur"] for row in steps)
    host = [row for row in rows if first <= row["ts"] < last and row.get("cat") in HOST]
    calls = {row["args"]["correlation"]: row["name"] for row in host if row["cat"] != "cpu_op"}
    work = Counter(row["cat"] for row in rows if row.get("cat") in DEVICE and row["args"]["correlation"] in calls)

    def per_step(number: int) -> float:
        return number / len(steps)

    return (
        len(steps),
        (last - first) / len(steps),
        PerStep(
            kernel_launches=per_step(sum(name.startswith(LAUNCHES) for name in calls.values())),
            kernels=per_step(work["kernel"]),
            memcpys=per_step(work["gpu_memcpy"]),
            memsets=per_step(work["gpu_memset"]),
            sync_calls=per_step(sum(name.endswith("Synchronize") for name in calls.values())),
            cpu_ops=per_step(sum(row["cat"] == "cpu_op" for row in host)),
            items=per_step(sum(row["name"] == "aten::item" for row in host)),
        ),
    )


# --- everything -------------------------------------------------------------------------------------


def measure(device: str, data: Tensors, plan: Plan, seconds: float, traces: Path) -> list[Variant]:
    """Time and trace every variant on ``device``."""
    epochs = affordable(device, data, plan, seconds)
    say(f"{device}: {len(READ_EVERY)} variants, {REPEATS} repeats of {epochs} epochs")
    times = time_all(device, data, epochs, seconds)
    variants = []
    for read_every in READ_EVERY:
        name = f"iris_mlp_{device}_every_{read_every or 'never'}.{time.time_ns()}.pt.trace.json.gz"
        traced(device, data, read_every, traces / name)
        steps, profiled_us, per_step = counted(traces / name)
        synchronized = [round(us, 3) for us, _ in times[read_every]]
        variants.append(
            Variant(
                device=device,
                read_every=read_every,
                epochs=epochs,
                us_per_step=synchronized,
                host_us_per_step=[round(us, 3) for _, us in times[read_every]],
                median_us_per_step=round(statistics.median(synchronized), 3),
                per_step=per_step,
                profiled_us_per_step=round(profiled_us, 3),
                traced_steps=steps,
                trace=name,
            )
        )
        say(f"    every {read_every or 'never':>5}: {variants[-1].median_us_per_step:8.1f} us/step, {per_step}")
    return variants


def gather(*, quick: bool, traces: Path) -> Evidence:
    """All evidence; the traces are left in ``traces``."""
    began, plan = time.monotonic(), Plan.of(quick=quick)
    machine = collect(touch_gpu=False)  # before we hold the GPU, so that who else does is known
    devices = (["cuda"] if torch.cuda.is_available() else []) + ["cpu"]
    machine = msgspec.structs.replace(collect(), others_on_gpu=machine.others_on_gpu)
    name, data = flowers()
    share = plan.budget_s / len(devices)
    variants = [variant for device in devices for variant in measure(device, data, plan, share, traces)]
    return Evidence(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        quick=quick,
        cut_short=any(v.epochs < plan.epochs or len(v.us_per_step) < REPEATS for v in variants),
        machine=machine,
        data=name,
        iris=variants,
        wall_s=round(time.monotonic() - began, 1),
    )


def say(line: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def pack(folder: Path, target: Path) -> None:
    """Put the traces into one tar file."""
    with tarfile.open(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            member, content = tarfile.TarInfo(path.name), path.read_bytes()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def main(arguments: Sequence[str] | None = None) -> int:
    """Gather the evidence into a folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.evidence", description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for evidence.json and the traces")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: shows that it works")
    options: Any = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as traces:
        evidence = gather(quick=options.quick, traces=Path(traces))
        pack(Path(traces), options.out / "iris_traces.tar")
    text = msgspec.json.format(msgspec.json.encode(evidence), indent=2)
    (options.out / "evidence.json").write_bytes(text + b"\n")
    say(f"written: {options.out / 'evidence.json'} ({evidence.wall_s} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
