"""L-BFGS makes few steps of many closures: they are recorded all the same."""

import json
from pathlib import Path

import pytest

from stallscope.profiling.watch.steps import StepTracker
from tests.scripts.forked import profiled
from tests.scripts.processes import write

SCRIPT = """
    import torch
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    x = torch.randn(64, 8)
    y = x.sin().sum(1, keepdim=True)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.8)
    for i in range(15):
        def closure():
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            return loss
        optimizer.step(closure)
"""


@pytest.mark.parametrize(("closures", "expected"), [(1, False), (2, False), (20, True)])
def test_steps_of_several_closures_are_long(closures: int, expected: bool) -> None:
    """One closure is any optimizer's; 20 are those of L-BFGS."""
    tracker = StepTracker()
    assert not tracker.is_long
    for _ in range(5):
        tracker.optimizer_start(1)
        for _ in range(closures):
            tracker.forward(grad=True)
        tracker.optimizer_end(1)
    assert tracker.is_long == expected


@pytest.mark.slow
def test_fifteen_steps_are_recorded(tmp_path: Path) -> None:
    """Fewer than other trainings need: only the first are left alone, and windows are shorter; lines are told too."""
    write(tmp_path, SCRIPT)
    assert profiled("train.py", cwd=tmp_path).code == 0
    (path,) = (tmp_path / "runs").glob("*/*stallscope*.json")
    told = json.loads(path.read_bytes())
    assert told["steps"]["count"] == 15
    assert [window["kind"] for window in told["windows"]] == ["unprofiled", "timing", "attribution"]
