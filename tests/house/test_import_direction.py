"""Imports point one way: traces ← profiling, traces ← analysis, all ← the command line. Only profiling has torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

CONTRACT = "from stallscope.analysis.contract import summary"
MACHINE = "from stallscope.profiling.machine import machine"
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-logo', '--no-cache'])"

pytest.importorskip("importlinter", reason="import-linter is not installed: pip install -e .[lint]")


def lint_imports(folder: Path) -> tuple[int, str]:
    """Exit code and output of import-linter on a checkout."""
    result = subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, " ".join((result.stdout + result.stderr).split())


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source folders and links of this checkout, elsewhere."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for part in ("profiling", "analysis", "traces", "stallscope"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=ignored)
    return folder


def test_imports_point_one_way() -> None:
    """The contracts of pyproject.toml hold."""
    code, text = lint_imports(ROOT)
    assert code == 0, text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("profiling/machine/machine.py", CONTRACT, "stallscope.profiling.machine.machine ->"),
        ("analysis/contract/summary.py", MACHINE, "stallscope.analysis.contract.summary ->"),
        ("analysis/contract/summary.py", "import torch", "stallscope.analysis.contract.summary -> torch"),
        ("traces/model/issues.py", CONTRACT, "stallscope.traces.model.issues ->"),
        ("analysis/summary.py", "from stallscope.analysis.report import style", "stallscope.analysis.summary ->"),
        (
            "analysis/stages/idle.py",
            "from stallscope.analysis.causes import facts",
            "stallscope.analysis.stages.idle ->",
        ),
        ("traces/text/blocks.py", "from stallscope.traces.read import read", "stallscope.traces.text.blocks ->"),
        (
            "profiling/watch/steps.py",
            "from stallscope.profiling.record import plan",
            "stallscope.profiling.watch.steps ->",
        ),
    ],
)
def test_a_planted_import_is_found(copy: Path, file: str, line: str, broken: str) -> None:
    """The linter sees through the links and into profiling/, which has no __init__.py: a forbidden import fails."""
    source = (copy / file).read_text()
    (copy / file).write_text(f"{source}\n{line}\n")
    code, text = lint_imports(copy)
    (copy / file).write_text(source)
    assert code == 1
    assert broken in text
