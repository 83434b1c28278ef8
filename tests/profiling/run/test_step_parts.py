"""What one training step is made of: optimizers by the names that they have in the script."""

import json
from pathlib import Path

import pytest

from stallscope.profiling.run.step_parts import made_of
from stallscope.profiling.watch.steps import StepTracker
from stallscope.traces.model.manifest import StepPart
from tests.scripts.forked import profiled, python
from tests.scripts.processes import write

GAN = """
    import torch
    D, G = torch.nn.Linear(8, 1), torch.nn.Linear(4, 8)
    oD = torch.optim.SGD(D.parameters(), lr=1e-3)
    oG = torch.optim.SGD(G.parameters(), lr=1e-3)
    for i in range(120):
        oD.zero_grad()
        D(torch.randn(16, 8)).mean().backward()
        oD.step()
        if i % 5 == 4:
            oG.zero_grad()
            D(G(torch.randn(16, 4))).mean().backward()
            oG.step()
"""


def test_a_period_of_two_optimizers() -> None:
    """Five steps of one, then one of the other: counted once the rhythm is known, and not before."""
    tracker = StepTracker()
    assert tracker.composition == {}
    for step in range(40):
        for key in (1, 2) if step % 5 == 4 else (1,):
            tracker.forward(grad=True)
            tracker.optimizer_start(key)
            tracker.optimizer_end(key)
    tracker.forward(grad=True)
    assert tracker.composition == {1: 5, 2: 1}


@pytest.mark.parametrize(
    ("composition", "expected"),
    [
        ({}, []),
        ({7: 1}, []),
        ({7: 4}, [StepPart(name="optimizer", count=4)]),
        ({7: 1, 8: 2}, [StepPart(name="optimizer 2", count=2), StepPart(name="optimizer 1", count=1)]),
    ],
)
def test_one_of_one_needs_no_word(composition: dict[int, int], expected: list[StepPart]) -> None:
    """Several do, by number where their line does not tell a name."""
    assert made_of(composition, {}) == expected


@pytest.mark.slow
def test_the_header_says_what_a_step_is(tmp_path: Path) -> None:
    """By the names of the script, in the manifest and in the first lines."""
    write(tmp_path, GAN)
    assert profiled("train.py", cwd=tmp_path).code == 0
    (path,) = (tmp_path / "runs").glob("*/*stallscope*.json")
    parts = json.loads(path.read_bytes())["steps"]["made_of"]
    assert parts == [{"name": "oD", "count": 5}, {"name": "oG", "count": 1}]
    shown = python("-m", "stallscope", "summary", "runs/train", cwd=tmp_path).out
    assert "(one step = 5 of oD, 1 of oG)" in " ".join(shown.split())


def test_steps_that_were_only_counted_are_counted_anew() -> None:
    """Four steps of one optimizer look like a period of one, and two are only counted: then a second one comes in."""
    tracker = StepTracker()

    def step(key: int) -> None:
        tracker.forward(grad=True)
        tracker.optimizer_start(key)
        tracker.optimizer_end(key)

    for key in (1, 2, 1, 1, 1, 1):
        step(key)
    tracker.forward(grad=True)
    if tracker.sole_optimizer is not None:  # as where nothing but the number of steps is looked at
        tracker.advance(2)
    else:
        step(1)
        step(1)
    for _ in range(40):
        for key in (2, 1, 1, 1, 1, 1):
            step(key)
    assert tracker.total() in (41, 42)


def test_a_long_run_of_one_optimizer_keeps_its_number() -> None:
    """A million steps that were only counted are a million, whatever is kept of them."""
    tracker = StepTracker()
    for _ in range(6):
        tracker.forward(grad=True)
        tracker.optimizer_start(1)
        tracker.optimizer_end(1)
    tracker.forward(grad=True)
    before = tracker.completed
    tracker.advance(1_000_000)
    assert tracker.completed == before + 1_000_000
    assert tracker.total() >= before + 1_000_000
