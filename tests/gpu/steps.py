"""Training steps to be measured: each ``make(device)`` sets a training up and returns the function of one step.

The statements are those of an ordinary script, in its order; what varies is one thing at a time.
"""

from __future__ import annotations

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
            torch._dynamo.reset()  # else the ninth model of the same code is silently not compiled
            train = one_step(torch.compile(model, mode="reduce-overhead"), x, y, optimizer)
        return reading(train, self.item_every)


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


@dataclass(frozen=True, slots=True)
class Copy:
    """A batch made on the host, copied to the device, used there by one small operator."""

    size: int  # bytes
    pinned: bool = False
    non_blocking: bool = False

    def __call__(self, device: str) -> Step:
        """Set up and return one step."""
        host = torch.rand(self.size // 4)
        if self.pinned:
            host = host.pin_memory()
        total = torch.zeros(1, device=device)

        def step() -> None:
            total.add_(host.to(device, non_blocking=self.non_blocking)[:1])

        return step


class Slow(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Endless images of 28 × 28, each of which takes the processor a set time to make."""

    def __init__(self, us: float) -> None:
        self.image = torch.rand(1, 28, 28)
        began = time.thread_time_ns()
        sum(range(1_000_000))  # one call, so that a trace with stacks does not grow with the work
        self.work = range(int(us * 1000 * 1_000_000 / (time.thread_time_ns() - began)))

    def __len__(self) -> int:
        return 10_000_000

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        sum(self.work)
        return self.image, index % 10


@dataclass(frozen=True, slots=True)
class Loaded:
    """A small CNN whose batches come from a DataLoader."""

    workers: int = 0
    pinned: bool = False
    prefetch: bool = False  # the next batch is copied on a stream of its own while this one is trained on
    us_per_sample: float = 50.0
    batch: int = 64
    item_every: int = 0

    def __call__(self, device: str) -> Step:
        """Set up and return one step."""
        torch.manual_seed(0)
        model = cnn().to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        criterion = nn.CrossEntropyLoss()
        loader = torch.utils.data.DataLoader(
            Slow(self.us_per_sample), batch_size=self.batch, num_workers=self.workers, pin_memory=self.pinned
        )
        batches = (prefetched if self.prefetch else moved)(iter(loader), device, self.pinned)

        def train() -> Any:
            images, labels = next(batches)
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            return loss

        return reading(train, self.item_every)


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


def moved(batches: Iterator[Any], device: str, pinned: bool) -> Iterator[Any]:
    """Each batch, copied to the device when it is asked for."""
    for images, labels in batches:
        yield images.to(device, non_blocking=pinned), labels.to(device, non_blocking=pinned)


def prefetched(batches: Iterator[Any], device: str, pinned: bool) -> Iterator[Any]:
    """Each batch; the next one is already being copied on a second stream."""
    side = torch.cuda.Stream()

    def fetch() -> Any:
        images, labels = next(batches)
        with torch.cuda.stream(side):
            return images.to(device, non_blocking=pinned), labels.to(device, non_blocking=pinned)

    coming = fetch()
    while True:
        torch.cuda.current_stream().wait_stream(side)
        here = coming
        for tensor in here:
            tensor.record_stream(torch.cuda.current_stream())
        coming = fetch()
        yield here


IRIS = Mlp()
DEEP = Mlp(sizes=(64,) * 9 + (10,), optimizer="adam", mode="for-loop", batch=256)


def wide(width: int, **changes: Any) -> Mlp:
    """Four layers of one width."""
    return replace(Mlp(sizes=(width,) * 4 + (10,), batch=256), **changes)
