"""The experiments E1 to E7: a baseline each, and the fixes that are measured against it; and the demos to run.

``fix`` and ``number`` are those of ``stallscope whatif --fix NAME=NUMBER``; None where no forecast speaks of the
change. Never reading a value is reading it every millionth step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.evidence.gpu.steps import DEEP, IRIS, Copy, Loaded, Make, Streamed, wide

MB = 1_000_000
NEVER = 1e6  # steps
AT_ONCE = 100  # losses read together: the number that the forecast of that has


@dataclass(frozen=True, slots=True)
class Case:
    """One variant to run."""

    key: str
    make: Make
    rows: int = 0  # of data, a step
    change: str | None = None  # against the baseline, in words; None: it is none, or only there to be compared with
    fix: str | None = None  # a name of stallscope.analysis.fixes.names.TITLES
    number: float | None = None  # of the fix: every so many steps, so many workers, so many times the batch
    against: str | None = None  # the case it changes; None: the baseline
    device: str | None = None  # None: the machine's GPU, or the CPU where there is none
    needs_gpu: bool = False


@dataclass(frozen=True, slots=True)
class Design:
    """An experiment to run: its first case is the baseline."""

    name: str
    title: str
    part: int
    cases: tuple[Case, ...]
    held_out: bool = False  # no constant of a forecast is fitted on it
    seconds: float = 45.0  # at most, for all of it: repeats, traces, the recorded run
    needs_gpu: bool = False  # says nothing on a CPU, or takes it minutes
    recorded: bool = True  # the baseline also by `stallscope profile`, which takes 15 s

    @property
    def baseline(self) -> Case:
        """What the others are compared with, unless they say otherwise."""
        return self.cases[0]


@dataclass(frozen=True, slots=True)
class Demo:
    """A built-in training, run in its variants for this device by `stallscope demo`."""

    name: str
    part: int
    seconds: float  # at most; rounds that are done by then are kept
    repeats: int  # rounds of all variants


def item_cases() -> tuple[Case, ...]:
    """The loss read every 1 … 1000 steps, and never; and kept, to be read many at once."""
    cases = [Case("item-1", IRIS, 120)]
    for k in (10, 100, 1000, 0):
        every = f"the loss read every {k} steps" if k else "the loss never read"
        cases.append(Case(f"item-{k or 'never'}", replace(IRIS, item_every=k), 120, every, "record_every", k or NEVER))
    kept = replace(IRIS, item_every=AT_ONCE, keep=True)
    return (*cases, Case("deferred", kept, 120, f"losses kept, {AT_ONCE} read at once", "deferred_read"))


def optimizer_cases() -> tuple[Case, ...]:
    """The default (foreach on a GPU), for-loop, foreach, fused."""
    loop, foreach, fused = (replace(IRIS, mode=mode) for mode in ("for-loop", "foreach", "fused"))
    return (
        Case("default", IRIS, 120),
        Case("for-loop", loop, 120, "foreach=False"),
        Case("foreach", foreach, 120, "foreach=True", "foreach_optimizer", against="for-loop"),
        Case("fused", fused, 120, "fused=True", "fused_optimizer"),
    )


def graph_cases() -> tuple[Case, ...]:
    """The whole step as one CUDA graph: with the loss read, which waits for the device, and with the host alone."""
    found = []
    for k in (1, 0):
        made, key = replace(IRIS, item_every=k), f"item-{k or 'never'}"
        graph = replace(made, how="graph")
        found.append(Case(key, made, 120))
        found.append(
            Case(f"graph-{key}", graph, 120, "one CUDA graph", "cuda_graph", against=key, needs_gpu=True),
        )
    return tuple(found)


def compile_cases() -> tuple[Case, ...]:
    """torch.compile, and the CPU."""
    compiled = replace(IRIS, how="compile")
    reduce = "torch.compile, mode reduce-overhead"
    return (
        Case("item-1", IRIS, 120),
        Case("compile", compiled, 120, reduce, "compile_reduce_overhead", needs_gpu=True),
        Case("cpu", IRIS, 120, "on the CPU", "cpu", device="cpu"),
    )


def adam_cases() -> tuple[Case, ...]:
    """Ten layers, so that Adam has twenty tensors to go through; and all of it as one graph of many kernels."""
    foreach, fused, graph = (replace(DEEP, mode="foreach"), replace(DEEP, mode="fused"), replace(DEEP, how="graph"))
    return (
        Case("for-loop", DEEP, 256),
        Case("foreach", foreach, 256, "foreach=True", "foreach_optimizer"),
        Case("fused", fused, 256, "fused=True", "fused_optimizer"),
        Case("graph", graph, 256, "one CUDA graph", "cuda_graph", needs_gpu=True),
    )


def batch_cases() -> tuple[Case, ...]:
    """The Iris network on 120 to a million rows."""
    cases = [Case("batch-120", IRIS, 120)]
    for rows in (1200, 12_000, 120_000, 1_000_000):
        made, times = replace(IRIS, batch=rows), rows / IRIS.batch
        cases.append(Case(f"batch-{rows}", made, rows, f"{rows} rows", "larger_batch", times, needs_gpu=rows > 12_000))
    return tuple(cases)


def width_cases(width: int) -> tuple[Case, ...]:
    """One width: the loss read each step, never; the step as a graph; the optimizer fused."""
    never, graph, fused = (wide(width, item_every=0), wide(width, how="graph"), wide(width, mode="fused"))
    return (
        Case("item-1", wide(width), 256),
        Case("item-never", never, 256, "the loss never read", "record_every", NEVER),
        Case("graph", graph, 256, "one CUDA graph", "cuda_graph", needs_gpu=True),
        Case("fused", fused, 256, "fused=True", "fused_optimizer"),
    )


def synced_cases(width: int) -> tuple[Case, ...]:
    """Sync-bound: a value read after every layer, those reads taken out, and no read at all."""
    return (
        Case("item-each-layer", wide(width, item_each_layer=True), 256),
        Case("item-1", wide(width), 256, "no reads but the loss"),
        Case("item-never", wide(width, item_every=0), 256, "nothing is read", "record_every", NEVER),
    )


def copy_cases(size: int) -> tuple[Case, ...]:
    """One size, from pageable memory; pinned in each step; and pinned already, which shows what the bus can do."""
    once, free = Copy(size, pinned=True), Copy(size, pinned=True, non_blocking=True)
    each = Copy(size, pin_each=True, non_blocking=True)
    return (
        Case("pageable", Copy(size), size),
        Case("pinned-each", each, size, "pinned in each step, non_blocking", "pinned_memory", needs_gpu=True),
        Case("pinned", once, size, "pinned beforehand", needs_gpu=True),
        Case("pinned-non-blocking", free, size, "pinned beforehand, non_blocking", needs_gpu=True),
    )


def loader_cases() -> tuple[Case, ...]:
    """64 images a step, each about 0.05 ms of work to make, by 0 to 8 workers."""
    workers = (1, 2, 4, 8)
    fixed = (Case(f"workers-{n}", Loaded(workers=n), 64, f"{n} workers", "dataloader_workers", n) for n in workers)
    return (Case("workers-0", Loaded(), 64), *fixed)


def stream_cases() -> tuple[Case, ...]:
    """Batches copied when they are needed, or beforehand on a second stream."""
    plain = Streamed()
    ahead = replace(plain, prefetch=True)
    return (
        Case("one-stream", plain, plain.rows),
        Case("two-streams", ahead, plain.rows, "the next batch copied on a second stream", needs_gpu=True),
    )


def width_design(width: int) -> Design:
    """E4 at one width; the small one runs on a CPU too."""
    title, recorded = f"MLP, four layers of {width}", width == 1024
    seconds = 45 if recorded else 30
    return Design(
        f"E4-{width}", title, 2, width_cases(width),
        held_out=True, seconds=seconds, needs_gpu=width > 64, recorded=recorded,
    )  # fmt: skip


def synced_design(width: int) -> Design:
    """E4b at one width."""
    title, recorded = f"MLP of {width}, a read after each layer", width == 1024
    seconds = 40 if recorded else 25
    return Design(
        f"E4b-{width}", title, 2, synced_cases(width),
        held_out=True, seconds=seconds, needs_gpu=True, recorded=recorded,
    )  # fmt: skip


def copy_design(size: int) -> Design:
    """E5 at one size; nothing is trained, so there is nothing for `stallscope profile` to find."""
    title, cases = f"A copy of {size} bytes to the device", copy_cases(size)
    return Design(f"E5-{size}", title, 3, cases, held_out=True, seconds=20, needs_gpu=True, recorded=False)


DESIGNS: Sequence[Design] = (  # of each part, what matters most first
    Design("E1a", "Iris: how often the loss is read", 1, item_cases(), seconds=60),
    Design("E1c", "Iris: the step as a CUDA graph", 1, graph_cases(), seconds=40),
    Design("E1b", "Iris: the optimizer's way through the parameters", 1, optimizer_cases(), seconds=40),
    Design("E1d", "Iris: torch.compile, and the CPU", 1, compile_cases(), seconds=90),
    *(width_design(width) for width in (1024, 4096)),
    synced_design(1024),
    width_design(64),
    Design("E2", "Adam: for-loop, foreach, fused, graph", 2, adam_cases(), seconds=45),
    Design("E3", "Iris: batch size", 2, batch_cases(), seconds=40),
    width_design(8192),
    synced_design(4096),
    Design("E6", "CNN: loader workers", 3, loader_cases(), held_out=True, seconds=75),
    *(copy_design(size) for size in (MB, 100 * MB, 10_000)),
    Design(
        "E7", "A second stream for copies", 3, stream_cases(), held_out=True, seconds=35, needs_gpu=True, recorded=False
    ),
)
DEMOS: Sequence[Demo] = (  # after the experiments of their part, the short ones first
    Demo("call-path", 1, 75, 3),
    Demo("matmul", 1, 60, 2),
    Demo("iris-mlp", 1, 180, 1),
    Demo("minibatch-sgd", 2, 90, 1),
    Demo("mnist-cnn", 2, 240, 1),
    Demo("dataloader", 3, 120, 1),
    Demo("data-parallel", 3, 180, 1),
)
PARTS = (1, 2, 3)

Item = Design | Demo


def of_part(part: int) -> list[Item]:
    """Everything of a part, in its order."""
    return [*(each for each in DESIGNS if each.part == part), *(each for each in DEMOS if each.part == part)]


def chosen(names: Sequence[str]) -> list[Item]:
    """The experiments and demos of these names, in this order; ``E4`` is E4 at every width.

    Raises:
        ValueError: there is none of that name; the sentence lists what there is.
    """
    found: list[Item] = []
    for name in names:
        matching = list(_matching(name))
        if not matching:
            known = ", ".join(each.name for each in (*DESIGNS, *DEMOS))
            raise ValueError(f"{name}: no experiment and no demo of that name; there are {known}")
        found += [each for each in matching if each not in found]
    return found


def _matching(name: str) -> Iterator[Item]:
    for each in (*DESIGNS, *DEMOS):
        family = isinstance(each, Design) and each.name.startswith(f"{name}-")
        if each.name == name or family:
            yield each


def find(name: str, key: str) -> Case:
    """The case of an experiment."""
    (design,) = (design for design in DESIGNS if design.name == name)
    return next(case for case in design.cases if case.key == key)
