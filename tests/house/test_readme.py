"""README: every command it shows works, its transcripts are what the program prints, its names exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from stallscope import cli
from tests import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)

# Commands that other tests, or the machinery that runs the tests, carry out; each with where.
ELSEWHERE = {
    "python3 -m venv .venv": "Makefile, target .created: every run of the tests begins so",
    '.venv/bin/python -m pip install -c constraints.txt -e ".[dev]"': "Makefile, target .installed-dev",
    "python3 -m pip install .": "tests/test_packaging.py installs the wheel",
    "tensorboard --logdir runs": "tests/test_tensorboard.py",
}

TRAIN = """
import argparse
import torch
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
model = torch.nn.Linear(4, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=parser.parse_args().lr)
for _ in range(600):
    optimizer.zero_grad()
    loss = model(torch.ones(8, 4)).square().mean()
    loss.backward()
    optimizer.step()
print("done")
"""


def shell_commands() -> list[str]:
    """The commands of the ``sh`` blocks, without comments."""
    lines = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
    return [command for line in lines if (command := line.split("  #")[0].strip())]


@pytest.mark.slow
def test_every_command_shown_works(tmp_path: Path) -> None:
    """In a folder with a train.py, the commands run in the order in which they are shown, each with exit code 0."""
    (tmp_path / "train.py").write_text(TRAIN)
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    ran = 0
    for command in shell_commands():
        if command in ELSEWHERE:
            continue
        program, *arguments = shlex.split(command)
        assert program == "stallscope", f"{command}: no test runs this"
        if command.startswith("stallscope compare"):  # the second run that it names
            _stallscope(["profile", "train.py", "--lr", "0.1"], tmp_path, environment)
        _stallscope(arguments, tmp_path, environment)
        ran += 1
    assert ran == 9
    assert (tmp_path / "train.json").is_file()


def _stallscope(arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "stallscope", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, (arguments, result.stderr)


def test_the_sample_transcript_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The summary shown is the program's own output on the sample in the repository, to the letter."""
    (shown,) = [text for language, text in BLOCKS if language == "console" and "traces/samples" in text]
    command, _, transcript = shown.partition("\n")
    arguments = shlex.split(command)[2:]
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        assert cli._execute(arguments) == 0
    finally:
        os.chdir(here)
    printed = capsys.readouterr().out
    assert len(transcript.splitlines()) > 30
    assert transcript.strip() in printed


@pytest.mark.slow
def test_the_example_around_a_loop_runs(tmp_path: Path) -> None:
    """It trains, and prints where it was recorded and the verdict."""
    example, _ = [text for language, text in BLOCKS if language == "python"]
    ended = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(f"{Path('runs', 'linear')} This run used no GPU."), ended.stderr


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of Python works on a folder runs/train and a file trace.json.gz."""
    _, example = [text for language, text in BLOCKS if language == "python"]
    (tmp_path / "runs" / "train").mkdir(parents=True)
    (sample,) = (ROOT / "traces" / "samples").glob("iris_mlp_simulated*.gz")
    shutil.copy(sample, tmp_path / "runs" / "train" / "host_1.1775082150000000000.pt.trace.json.gz")
    shutil.copy(sample, tmp_path / "trace.json.gz")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own example


def test_the_options_in_the_table_exist() -> None:
    """Each option of the `profile` table is one of `stallscope profile`, with the default shown."""
    known = {
        name: parameter.default
        for parameter in get_command(cli.app).commands["profile"].params  # type: ignore[attr-defined]
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    table = README.split("| option | |")[1].split("\n\n")[0]
    shown = re.findall(r"`(--[\w-]+)(?: (\w+))?`", table)
    assert len(shown) >= 7
    for option, default in shown:
        assert option in known, option
        if default and not default.isupper():
            assert str(known[option]) == default, option


def test_make_runs_what_the_table_says() -> None:
    """`make demo` and `make test` are the commands beside them."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    for target, command in (("demo", "stallscope demo iris-mlp --quick"), ("test", "python -m pytest")):
        assert f"| `make {target}` | `.venv/bin/{command}`" in README
        shown = subprocess.run([make, "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert f".venv/bin/{command}" in shown


def test_no_placeholder_is_left() -> None:
    """Nothing of the form @WORD@ waits to be filled in."""
    assert re.findall(r"@[A-Z]+@", README) == []


def test_no_machine_paths_in_tracked_files() -> None:
    """Nothing in the repository names a folder of the machine it was written on."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    pattern = "(^|[^A-Za-z])/" + "(work|farm)/"
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
