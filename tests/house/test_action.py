"""action.yml: what GitHub would run, run here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.house.documents import page

ACTION = (ROOT / "action.yml").read_text(encoding="utf-8")
INPUTS = re.findall(r"^  ([a-z]+):\n    description: ", ACTION, re.MULTILINE)
RUN = ROOT / "tests" / "compat" / "data" / "before"


def _script() -> str:
    """The step that checks."""
    return re.sub(r"^ {8}", "", ACTION.split("run: |\n")[-1], flags=re.MULTILINE)


def _ended(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    names = dict(re.findall(r"^        ([A-Z]+): \$\{\{ inputs\.([a-z]+) \}\}$", ACTION, re.MULTILINE))
    environment = {name: inputs.get(of, "") for name, of in names.items()}
    page_of_job = {"GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "PYTHON": sys.executable}
    command = ["bash", "-e", "-o", "pipefail", "-c", _script()]  # as GitHub runs `shell: bash`
    everything = {**os.environ, **environment, **page_of_job}
    return subprocess.run(command, cwd=folder, env=everything, capture_output=True, encoding="utf-8", check=False)


def test_every_input_reaches_the_script() -> None:
    """Each has a variable, and each variable is used: no input is part of the script's text."""
    assert len(INPUTS) == 9
    for name in INPUTS:
        assert f"inputs.{name}" in ACTION
    assert "${{" not in _script()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="no bash")
def test_the_step_checks(tmp_path: Path) -> None:
    """It fails with the line, writes the page of the job and the files, and passes where the budget is kept."""
    files = {"sarif": "out.sarif", "markdown": "comment.md"}
    failed = _ended(tmp_path, path=str(RUN), max="waits=0\nreads=0\n", **files)
    assert failed.returncode == 1, failed.stderr
    assert failed.stdout.startswith("::error file=train.py,line=20,")
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("<!-- stallscope-check -->")
    assert (tmp_path / "comment.md").is_file()
    assert '"stallscope/wait-in-step"' in (tmp_path / "out.sarif").read_text(encoding="utf-8")
    kept = _ended(tmp_path, path=str(RUN), max="waits=1")
    assert (kept.returncode, kept.stdout.startswith("::notice")) == (0, True), kept.stderr


def test_the_docs_name_its_inputs() -> None:
    """The example in the docs uses inputs that exist."""
    example = page("docs/check.md").blocks("yaml")[0]
    with_block = example.split("uses: OWNER/stallscope@main")[1].split("- ")[0]
    used = re.findall(r"^ {10}([a-z]+):", with_block, re.MULTILINE)
    assert len(used) >= 3
    assert set(used) <= set(INPUTS)
