"""The fixture ``stallscope_budget`` in tests of users'."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest, torch

def train(steps, read):
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(torch.ones(8, 4)).square().mean()
        loss.backward()
        optimizer.step()
        if read:
            loss.item()

def test_kept(stallscope_budget):
    with stallscope_budget(waits=0, operators=1000):
        train(60, read=False)

def test_kept_with_figures(stallscope_budget):
    with stallscope_budget(waits=0) as p:
        train(60, read=False)
    assert p.folder is not None

def test_exceeded(stallscope_budget):
    with stallscope_budget(waits=0):
        train(60, read=True)

def test_too_short(stallscope_budget):
    with stallscope_budget(waits=0):
        train(2, read=False)

def test_no_such_figure(stallscope_budget):
    with stallscope_budget(wait=0):
        train(60, read=False)

def test_the_error_of_the_block_is_the_tests(stallscope_budget):
    with pytest.raises(ZeroDivisionError):
        with stallscope_budget(waits=0):
            train(60, read=True)
            1 / 0
"""


@pytest.mark.slow
def test_the_fixture(tmp_path: Path) -> None:
    """Kept: the test passes. Exceeded, too short, no such figure: it fails in a sentence; an error is its own."""
    (tmp_path / "test_steps.py").write_text(TESTS)
    (tmp_path / "stallscope.toml").write_text('[per_step]\nreads = "+2 %"\n[time]\nstep = "5 %"\n')
    command = [sys.executable, "-m", "pytest", "-p", "stallscope.pytest_plugin", "-rA", "test_steps.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False)
    shown = ended.stdout
    assert ended.returncode == 1
    assert "3 failed, 3 passed" in shown, shown
    for name in ("test_kept", "test_kept_with_figures", "test_the_error_of_the_block_is_the_tests"):
        assert f"PASSED test_steps.py::{name}" in shown
    assert "test_steps.py:13 .item(), 1 a step" in shown
    assert "nothing was recorded" in shown
    assert "there is no figure 'wait'; choose of: launches, waits" in shown


def test_loading_it_loads_nothing_else() -> None:
    """In a session that does not use it neither torch nor the analysis is imported."""
    source = (
        "import sys, stallscope.pytest_plugin; print(sorted(m for m in sys.modules if m.startswith('stallscope.')))"
    )
    shown = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "['stallscope.pytest_plugin']"
