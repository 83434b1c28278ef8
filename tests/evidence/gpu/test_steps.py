"""The training steps: that fixes change how a step is done and not what it computes, and what only a GPU can run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.evidence.gpu import steps
from tests.evidence.gpu.steps import DEEP, IRIS, Copy, Loaded, Streamed


@pytest.fixture(autouse=True)
def nothing_stays_compiled() -> Iterator[None]:
    """Other tests of this process ask whether anything has been compiled."""
    yield
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def losses(make: steps.Make, monkeypatch: pytest.MonkeyPatch, count: int = 12) -> list[float]:
    """The losses of the first steps of a training."""
    found: list[float] = []

    def spy(train: Callable[[], Any], _every: int) -> steps.Step:
        return lambda: found.append(train().item())

    monkeypatch.setattr(steps, "reading", spy)
    step = make("cpu")
    for _ in range(count):
        step()
    return found


@pytest.mark.parametrize(
    "changes",
    [{"mode": "for-loop"}, {"mode": "foreach"}, {"mode": "fused"}, {"item_each_layer": True},
     {"how": "compile", "backend": "eager"}, {"how": "compile", "backend": "aot_eager"}],
    ids=str,
)  # fmt: skip
def test_a_fix_trains_the_same_network(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    """Optimizers of every form, reads after each layer and two compilers: the losses of the plain training."""
    plain = losses(IRIS, monkeypatch)
    assert plain[-1] < plain[0]
    assert losses(steps.replace(IRIS, **changes), monkeypatch) == pytest.approx(plain, rel=1e-5)


def test_adam_has_twenty_tensors_to_go_through() -> None:
    """Ten layers with a weight and a bias each."""
    assert len(list(steps.layers(DEEP.sizes).parameters())) == 20


def test_losses_kept_are_read_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 250 steps, 100 losses at a time: two reads, no .item()."""
    reads: list[int] = []
    stack = torch.stack
    monkeypatch.setattr(torch, "stack", lambda each: reads.append(len(each)) or stack(each))
    monkeypatch.setattr(torch.Tensor, "item", lambda _: pytest.fail("a loss was read by itself"))
    step = steps.replace(IRIS, item_every=100, keep=True)("cpu")
    for _ in range(250):
        step()
    assert reads == [100, 100]


def test_all_samples_of_a_process_take_the_same_work() -> None:
    """Two loaders: the work of a sample is found once, or variants would differ by more than their workers."""
    assert steps.Slow(50.0).work == steps.Slow(50.0).work
    assert len(steps.Slow(100.0).work) == pytest.approx(2 * len(steps.Slow(50.0).work), abs=2)


def test_a_loader_feeds_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same image with the labels 0 to 9 in each batch: the loss falls towards that of a guess."""
    found = losses(Loaded(batch=10, us_per_sample=1.0), monkeypatch, 30)
    assert 0 < found[-1] < found[0]


def test_a_copy_is_pinned_in_each_step_or_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps pin three times, beforehand once, or never."""
    pinned: list[int] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor.numel()) or tensor)
    found = []
    for make in (Copy(400, pin_each=True), Copy(400, pinned=True), Copy(400)):
        step = make("cpu")
        for _ in range(3):
            step()
        found.append(len(pinned))
        pinned.clear()
    assert found == [3, 1, 0]


def test_large_batches_come_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a second stream, on a CPU: two batches again and again, and the loss of each falls."""
    found = losses(Streamed(rows=8, batches=2), monkeypatch, 20)
    assert found[18] < found[0]
    assert found[19] < found[1]
    assert len({round(each, 6) for each in found[:2]}) == 2


def test_the_width_is_the_one_whose_training_takes_as_long_as_the_copy() -> None:
    """Copying takes 1.3 ms: of 0.2, 0.9, 2.4 ms the second is nearest, as a ratio."""
    assert steps.nearest(1.3, {256: 0.2, 512: 0.9, 1024: 2.4}) == 512


# --- what only a GPU runs, against a fake that writes down what it is asked for ---------------------


class Fake:
    """A ``torch.cuda`` that keeps the order of calls and does work at once, on the CPU."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.current = "main"

    def Stream(self) -> Any:  # noqa: N802 - torch's name
        """Return a second stream."""
        return SimpleNamespace(name="side", wait_stream=lambda other: self.calls.append(f"side waits for {other.name}"))

    def current_stream(self) -> Any:
        """Return the stream in use."""
        name = self.current
        return SimpleNamespace(name=name, wait_stream=lambda other: self.calls.append(f"{name} waits for {other.name}"))

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        """Use a stream."""
        self.current = stream.name
        yield
        self.current = "main"

    def CUDAGraph(self) -> Any:  # noqa: N802
        """Return a graph that is replayed by name."""
        return SimpleNamespace(replay=lambda: self.calls.append("replay"))

    @contextmanager
    def graph(self, _graph: Any) -> Iterator[None]:
        """Capture."""
        self.calls.append("capture")
        yield
        self.calls.append("captured")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """In the place of ``torch.cuda``."""
    found = Fake()
    for name in ("Stream", "current_stream", "stream", "CUDAGraph", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(found, name))
    return found


def test_a_captured_step_is_warmed_up_aside_and_then_only_replayed(fake: Fake) -> None:
    """Three times on a stream of its own, once more to be captured; from then on nothing of it runs on the host."""
    loss = object()

    def train() -> object:
        fake.calls.append(f"train on {fake.current}")
        return loss

    replay = steps.captured(train)
    assert fake.calls == [
        "side waits for main",
        *["train on side"] * 3,
        "main waits for side",
        "capture",
        "train on main",
        "captured",
    ]
    fake.calls.clear()
    assert replay() is replay() is loss
    assert fake.calls == ["replay", "replay"]


class Batch:
    """Tensors of one batch, whose copies and uses are written down."""

    def __init__(self, fake: Fake, name: str) -> None:
        self.fake, self.name = fake, name

    def to(self, device: str, *, non_blocking: bool) -> Batch:
        """Copy it, or say that the copy would be waited for."""
        self.fake.calls.append(f"{self.name} copied to {device} on {self.fake.current}, waiting: {not non_blocking}")
        return self

    def record_stream(self, stream: Any) -> None:
        """Say who uses its memory."""
        self.fake.calls.append(f"{self.name} used on {stream.name}")


def test_the_next_batch_is_copied_aside_before_this_one_is_trained_on(fake: Fake) -> None:
    """Batch 0 is waited for and kept for the main stream; batch 1 is being copied when batch 0 is handed out."""
    source = ((Batch(fake, f"x{n}"), Batch(fake, f"y{n}")) for n in range(3))
    batches = steps.prefetched(source, "cuda")
    first = next(batches)
    assert [each.name for each in first] == ["x0", "y0"]
    copied = "{} copied to cuda on side, waiting: False"
    assert fake.calls == [
        *[copied.format(name) for name in ("x0", "y0")],
        "main waits for side",
        "x0 used on main",
        "y0 used on main",
        *[copied.format(name) for name in ("x1", "y1")],
    ]
    fake.calls.clear()
    assert [each.name for each in next(batches)] == ["x1", "y1"]
    assert fake.calls[0] == "main waits for side"
