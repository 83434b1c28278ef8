"""Training steps to be measured: each ``make(device)`` sets a training up and returns the function of one step.

The statements are those of an ordinary script, in its order; what varies is one thing at a time.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

Step = Callable[[], None]
Make = Callable[[str], Step]

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
MODES: dict[str, dict[str, bool]] = {
    "default": {},
    "for-loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}


@dataclass(frozen=True, slots=True)
class Mlp:
    """A multi-layer perceptron trained on one batch that stays on the device, like the Iris training."""

    sizes: tuple[int, ...] = (4, 10, 3)
    batch: int = 120
    item_every: int = 1  # 0: never
    optimizer: str = "sgd"
    mode: str = "default"
    how: str = "eager"  # | "graph": the whole step as one CUDA graph | "compile"
    item_each_layer: bool = False
    keep: bool = False  # losses are kept on the device, and ``item_every`` of them read at once
    backend: str = "inductor"  # of the compiler

    def __call__(self, device: str) -> Step:
        """Set up and return one step."""
        torch.manual_seed(0)
        model = layers(self.sizes).to(device)
        x = torch.rand(self.batch, self.sizes[0], device=device)
        y = torch.randint(0, self.sizes[-1], (self.batch,), device=device)
        capturable = {"capturable": True} if self.how == "graph" and self.optimizer == "adam" else {}
        optimizer = OPTIMIZERS[self.optimizer](model.parameters(), lr=0.01, **MODES[self.mode], **capturable)
        train = one_step(model, x, y, optimizer, item_each_layer=self.item_each_layer)
        if self.how == "graph":
            train = captured(train)
        elif self.how == "compile":
            train = one_step(compiled(model, self.backend), x, y, optimizer)
        return keeping(train, self.item_every) if self.keep else reading(train, self.item_every)


def compiled(model: nn.Module, backend: str) -> Any:
    """The model compiled; only inductor knows modes."""
    torch._dynamo.reset()  # else the ninth model of the same code is silently not compiled
    return torch.compile(model, backend=backend, mode="reduce-overhead" if backend == "inductor" else None)


def layers(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with ReLU between."""
    found: list[nn.Module] = []
    for wide, next_wide in itertools.pairwise(sizes):
        found += [nn.Linear(wide, next_wide), nn.ReLU()]
    return nn.Sequential(*found[:-1])


def one_step(model: Any, x: Any, y: Any, optimizer: Any, *, item_each_layer: bool = False) -> Callable[[], Any]:
    """One training step that returns its loss; ``item_each_layer`` reads a value back after each layer."""
    criterion = nn.CrossEntropyLoss()

    def forward() -> Any:
        if not item_each_layer:
            return model(x)
        value = x
        for layer in model:
            value = layer(value)
            value[0, 0].item()
        return value

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(forward(), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def captured(train: Callable[[], Any]) -> Callable[[], Any]:
    """The step as one CUDA graph: warmed up on a stream of its own, captured, then only replayed."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            train()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = train()

    def replay() -> Any:
        graph.replay()
        return loss

    return replay


def reading(train: Callable[[], Any], item_every: int) -> Step:
    """The step, with the loss read back every so many times and kept."""
    losses: list[float] = []
    numbers = itertools.count(1)

    def step() -> None:
        loss = train()
        if item_every and next(numbers) % item_every == 0:
            losses.append(loss.item())

    return step


def keeping(train: Callable[[], Any], at_once: int) -> Step:
    """The step, its loss kept where it is; ``at_once`` losses are read together."""
    losses: list[Any] = []
    read: list[float] = []

    def step() -> None:
        losses.append(train().detach())
        if len(losses) == at_once:
            read.extend(torch.stack(losses).tolist())
            losses.clear()

    return step


@dataclass(frozen=True, slots=True)
class Copy:
    """A batch made on the host, copied to the device, used there by one small operator."""

    size: int  # bytes
    pinned: bool = False  # beforehand, once
    pin_each: bool = False  # in each step, as a DataLoader without workers does
    non_blocking: bool = False

    def __call__(self, device: str) -> Step:
        """Set up and return one step."""
        host = torch.rand(self.size // 4)
        if self.pinned:
            host = host.pin_memory()
        total = torch.zeros(1, device=device)

        def step() -> None:
            batch = host.pin_memory() if self.pin_each else host
            total.add_(batch.to(device, non_blocking=self.non_blocking)[:1])

        return step


class Slow(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Endless images of 28 × 28, each of which takes the processor a set time to make."""

    def __init__(self, us: float) -> None:
        self.image = torch.rand(1, 28, 28)
        self.work = range(int(us * additions_per_us()))  # one call: a trace with stacks does not grow with the work

    def __len__(self) -> int:
        return 10_000_000

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        sum(self.work)
        return self.image, index % 10


@functools.cache
def additions_per_us() -> float:
    """How fast this processor adds, found once: the samples of all variants must take the same work."""

    def ns() -> int:
        began = time.thread_time_ns()
        sum(range(1_000_000))
        return time.thread_time_ns() - began

    return 1e9 / min(ns() for _ in range(3))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A small CNN whose batches come from a DataLoader."""

    workers: int = 0
    us_per_sample: float = 50.0
    batch: int = 64
    item_every: int = 0

    def __call__(self, device: str) -> Step:
        """Set up and return one step."""
        torch.manual_seed(0)
        model = cnn().to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        criterion = nn.CrossEntropyLoss()
        loader = torch.utils.data.DataLoader(Slow(self.us_per_sample), batch_size=self.batch, num_workers=self.workers)
        return reading(batchwise(model, criterion, optimizer, moved(iter(loader), device)), self.item_every)


def batchwise(model: Any, criterion: Any, optimizer: Any, batches: Iterator[Any]) -> Callable[[], Any]:
    """One training step on the next batch; returns its loss."""

    def train() -> Any:
        inputs, targets = next(batches)
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    return train


def cnn() -> nn.Sequential:
    """Two convolutions and a linear layer, for images of 28 × 28."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )


def moved(batches: Iterator[Any], device: str, *, non_blocking: bool = False) -> Iterator[Any]:
    """Each batch, copied to the device when it is asked for."""
    for inputs, targets in batches:
        yield inputs.to(device, non_blocking=non_blocking), targets.to(device, non_blocking=non_blocking)


def prefetched(batches: Iterator[Any], device: str) -> Iterator[Any]:
    """Each batch, from pinned memory; the next one is already being copied on a second stream."""
    side = torch.cuda.Stream()

    def fetch() -> Any:
        inputs, targets = next(batches)
        with torch.cuda.stream(side):
            return inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)

    coming = fetch()
    while True:
        torch.cuda.current_stream().wait_stream(side)
        here = coming
        for tensor in here:
            tensor.record_stream(torch.cuda.current_stream())
        coming = fetch()
        yield here


FEATURES = 1024  # of a row of a streamed batch: 4 KB
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class Streamed:
    """A model trained on a few large batches in turn, ready in pinned memory, whose copy takes as long as the training.

    Only then does copying the next batch on a second stream show: where nothing has to be made, and neither the copy
    nor the training is all of the step.
    """

    rows: int = 16_384  # 67 MB a batch
    prefetch: bool = False
    batches: int = 4

    def __call__(self, device: str) -> Step:
        """Set up and return one step."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(FEATURES, balanced_width(self.rows, device)), nn.ReLU()).to(device)
        made = [
            (torch.rand(self.rows, FEATURES), torch.zeros(self.rows, dtype=torch.long)) for _ in range(self.batches)
        ]
        if device == "cuda":
            made = [(inputs.pin_memory(), targets.pin_memory()) for inputs, targets in made]
        turns = itertools.cycle(made)
        batches = prefetched(turns, device) if self.prefetch else moved(turns, device, non_blocking=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        return reading(batchwise(model, nn.CrossEntropyLoss(), optimizer, batches), 0)

    def _batch(self, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = torch.rand(self.rows, FEATURES), torch.zeros(self.rows, dtype=torch.long)
        return (inputs.pin_memory(), targets.pin_memory()) if device == "cuda" else (inputs, targets)


@functools.cache
def balanced_width(rows: int, device: str) -> int:
    """The width of the layer that takes as long to train on a batch as the batch takes to be copied; found once."""
    if device != "cuda":
        return WIDTHS[0]  # nothing is copied there
    host = torch.rand(rows, FEATURES).pin_memory()
    here = host.to(device)
    copy_ms = milliseconds(lambda: host.to(device, non_blocking=True))
    return nearest(copy_ms, {width: milliseconds(trained_on(here, width, device)) for width in WIDTHS})


def nearest(wanted: float, found: dict[int, float]) -> int:
    """The key whose value is nearest to what is wanted, as a ratio."""
    return min(found, key=lambda key: max(found[key] / wanted, wanted / found[key]))


def trained_on(batch: Any, width: int, device: str) -> Callable[[], None]:
    """Forward and backward of one layer on a batch."""
    model = nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU()).to(device)

    def run() -> None:
        model.zero_grad()
        model(batch).mean().backward()

    return run


def milliseconds(run: Callable[[], Any]) -> float:
    """How long the device takes for it, best of five."""

    def once() -> float:
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        run()
        after.record()
        torch.cuda.synchronize()
        return before.elapsed_time(after)

    run()
    return min(once() for _ in range(5))


IRIS = Mlp()
DEEP = Mlp(sizes=(64,) * 10 + (10,), optimizer="adam", mode="for-loop", batch=256)


def wide(width: int, **changes: Any) -> Mlp:
    """Four layers of one width."""
    return replace(Mlp(sizes=(width,) * 4 + (10,), batch=256), **changes)
