"""The experiments E1 to E7: a baseline each, and the fixes that are measured against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.gpu.steps import DEEP, IRIS, Copy, Loaded, Make, wide

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """One variant to run."""

    key: str
    make: Make
    fix: str | None = None
    rows: int = 0
    device: str | None = None  # None: the machine's GPU, or the CPU where there is none
    needs_gpu: bool = False


@dataclass(frozen=True, slots=True)
class Design:
    """An experiment to run: its first case is the baseline, which is also recorded by `stallscope profile`."""

    name: str
    title: str
    part: int
    cases: tuple[Case, ...]
    held_out: bool = False
    seconds: float = 45.0  # for all repeats of all cases
    needs_gpu: bool = False  # says nothing on a CPU, or takes it minutes

    @property
    def baseline(self) -> Case:
        """What the others are compared with."""
        return self.cases[0]


def item_cases() -> tuple[Case, ...]:
    """The loss read every 1 … 1000 steps, and never."""
    return tuple(
        Case(f"item-{k or 'never'}", replace(IRIS, item_every=k), f"item_every_{k or 'never'}" if k != 1 else None, 120)
        for k in (1, 10, 100, 1000, 0)
    )


def optimizer_cases() -> tuple[Case, ...]:
    """The default (foreach on a GPU), for-loop, fused."""
    modes = ("default", "for-loop", "foreach", "fused")
    return tuple(
        Case(mode, replace(IRIS, mode=mode), None if mode == "default" else f"optimizer_{mode}", 120) for mode in modes
    )


def graph_cases() -> tuple[Case, ...]:
    """The whole step as one CUDA graph, the loss read at different intervals."""
    graphs = tuple(
        Case(f"graph-item-{k or 'never'}", replace(IRIS, how="graph", item_every=k), "cuda_graph", 120, needs_gpu=True)
        for k in (1, 100, 0)
    )
    return (Case("item-1", IRIS, None, 120), *graphs)


def compile_cases() -> tuple[Case, ...]:
    """torch.compile, and the CPU."""
    return (
        Case("item-1", IRIS, None, 120),
        Case("compile", replace(IRIS, how="compile"), "compile_reduce_overhead", 120, needs_gpu=True),
        Case("cpu", IRIS, "cpu", 120, device="cpu"),
    )


def adam_cases() -> tuple[Case, ...]:
    """Ten layers, so that Adam has twenty tensors to go through."""
    return tuple(
        Case(mode, replace(DEEP, mode=mode), None if mode == "for-loop" else f"optimizer_{mode}", 256)
        for mode in ("for-loop", "foreach", "fused")
    )


def batch_cases() -> tuple[Case, ...]:
    """The Iris network on 120 to a million rows."""
    return tuple(
        Case(
            f"batch-{rows}", replace(IRIS, batch=rows), None if rows == 120 else "batch", rows, needs_gpu=rows > 12_000
        )
        for rows in (120, 1200, 12_000, 120_000, 1_000_000)
    )


def width_cases(width: int) -> tuple[Case, ...]:
    """One width: the loss read each step, never, with a graph, and with a value read after each layer."""
    cases = [
        Case("item-1", wide(width), None, 256),
        Case("item-never", wide(width, item_every=0), "item_every_never", 256),
        Case("graph", wide(width, how="graph"), "cuda_graph", 256, needs_gpu=True),
    ]
    if width in (1024, 4096):
        cases.append(Case("item-each-layer", wide(width, item_each_layer=True), None, 256))
    return tuple(cases)


def synced_cases(width: int) -> tuple[Case, ...]:
    """Sync-bound: a value read after every layer, and those reads taken out."""
    return (
        Case("item-each-layer", wide(width, item_each_layer=True), None, 256),
        Case("item-1", wide(width), "remove_syncs", 256),
        Case("item-never", wide(width, item_every=0), "remove_syncs_and_item", 256),
    )


def copy_cases(size: int) -> tuple[Case, ...]:
    """One size, from pageable and from pinned memory."""
    return (
        Case("pageable", Copy(size), None, size),
        Case("pinned", Copy(size, pinned=True), "pin_memory", size, needs_gpu=True),
        Case("pinned-non-blocking", Copy(size, pinned=True, non_blocking=True), "non_blocking", size, needs_gpu=True),
    )


def loader_cases() -> tuple[Case, ...]:
    """64 images a step, each about 0.05 ms of work to make, by 0 to 8 workers."""
    return tuple(Case(f"workers-{n}", Loaded(workers=n), "num_workers" if n else None, 64) for n in (0, 1, 2, 4, 8))


def stream_cases() -> tuple[Case, ...]:
    """Batches copied when they are needed, or beforehand on a second stream."""
    loaded = Loaded(workers=4, pinned=True, us_per_sample=5.0, batch=1024)
    return (
        Case("one-stream", loaded, None, 1024),
        Case("two-streams", replace(loaded, prefetch=True), "prefetch_stream", 1024, needs_gpu=True),
    )


DESIGNS: Sequence[Design] = (  # of each part, what matters most first
    Design("E1a", "Iris: how often the loss is read", 1, item_cases(), seconds=60),
    Design("E1c", "Iris: the step as a CUDA graph", 1, graph_cases(), seconds=40),
    Design("E1b", "Iris: the optimizer's way through the parameters", 1, optimizer_cases(), seconds=45),
    Design("E1d", "Iris: torch.compile, and the CPU", 1, compile_cases(), seconds=40),
    *(
        Design(
            f"E4-{width}",
            f"MLP four layers of {width}",
            2,
            width_cases(width),
            held_out=True,
            seconds=40,
            needs_gpu=width > 64,
        )
        for width in (1024, 4096, 64, 8192)
    ),
    *(
        Design(
            f"E4b-{width}",
            f"MLP of {width}, a read after each layer",
            2,
            synced_cases(width),
            held_out=True,
            seconds=25,
            needs_gpu=True,
        )
        for width in (1024, 4096)
    ),
    Design("E2", "Adam: for-loop, foreach, fused", 2, adam_cases(), held_out=True, seconds=40),
    Design("E3", "Iris: batch size", 2, batch_cases(), seconds=50),
    Design("E6", "CNN: loader workers", 3, loader_cases(), held_out=True, seconds=75),
    *(
        Design(f"E5-{size}", f"A copy of {size} bytes to the device", 3, copy_cases(size), seconds=20, needs_gpu=True)
        for size in (10_000, MB, 100 * MB)
    ),
    Design("E7", "CNN: a second stream for copies", 3, stream_cases(), held_out=True, seconds=40, needs_gpu=True),
)
WORKLOADS = {  # demos by part; each gets what time is left
    1: ("iris-mlp",),
    2: ("mnist-cnn", "matmul", "minibatch-sgd"),
    3: ("data-parallel", "dataloader", "call-path"),
}


def find(name: str, key: str) -> Case:
    """The case of an experiment."""
    (design,) = (design for design in DESIGNS if design.name == name)
    return next(case for case in design.cases if case.key == key)
