"""`--also-cpu`: steps timed on the CPU in a copy of the folder; the user's files, output and exit code stay theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from stallscope.profiling.run import also_cpu
from stallscope.profiling.run.also_cpu import Start, after_run, measure
from stallscope.profiling.run.session import Outcome
from stallscope.traces.model.manifest import Manifest
from tests.analysis.forecast.test_whatif import a_manifest

TRAIN = """
import sys
import torch
open("seen.txt", "a").write(str(torch.cuda.is_available()))
model = torch.nn.Linear(4, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(int(sys.argv[1])):
    optimizer.zero_grad()
    model(torch.ones(8, 4)).square().mean().backward()
    optimizer.step()
    print("a line")
open("done.txt", "w").write("done")
"""


def start(folder: Path, *command: str) -> Start:
    """A script in ``folder``, with the environment of this process."""
    return Start(command, folder, dict(os.environ), folder / "runs")


@pytest.mark.slow
def test_steps_are_timed_and_nothing_of_the_users_is_touched(tmp_path: Path) -> None:
    """A training that would run for minutes ends once its steps are timed; the folder holds what it held."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "done.txt").write_text("from the run before")
    found = measure(start(tmp_path, "train.py", "100000000"))
    assert found.why == ""
    assert found.steps >= 20
    assert len(found.samples_ns) == found.steps
    assert 0 < sum(found.samples_ns) <= found.duration_ns
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done.txt", "train.py"]
    assert (tmp_path / "done.txt").read_text() == "from the run before"


@pytest.mark.slow
def test_a_script_that_needs_a_gpu_says_so(tmp_path: Path) -> None:
    """It ends with an error of its own: nothing is known, and the advice is to let it choose."""
    (tmp_path / "train.py").write_text("raise SystemExit(3)")
    found = measure(start(tmp_path, "train.py"))
    assert found.steps == 0
    assert "exit code 3" in found.why
    assert "torch.cuda.is_available()" in found.why


@pytest.mark.slow
def test_time_is_bounded(tmp_path: Path) -> None:
    """A script without steps is ended when the time is up."""
    (tmp_path / "train.py").write_text("import time\nwhile True: time.sleep(0.1)")
    found = measure(start(tmp_path, "train.py"), seconds=1.0)
    assert found.why == "too few steps ran on the CPU within 1 s to be timed"


def test_a_folder_too_large_to_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier recordings and tools' folders do not count; what is left beyond the limit is not copied."""
    monkeypatch.setattr(also_cpu, "LARGEST", 1000)
    for name in ("runs", ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "large").write_bytes(b"x" * 5000)
    assert also_cpu._size(tmp_path, tmp_path / "runs") == 0
    (tmp_path / "data").write_bytes(b"x" * 1001)
    assert "too much to copy" in measure(start(tmp_path, "train.py")).why


def test_what_was_measured_stands_in_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's manifest gains the CPU's steps and loses nothing."""
    (tmp_path / "stallscope.json").write_bytes(msgspec.json.encode(a_manifest(380.0)))
    times = also_cpu.CpuRun(steps=2, duration_ns=300_000, samples_ns=[150_000, 150_000])
    monkeypatch.setattr(also_cpu, "measure", lambda _: times)
    said = list(after_run(start(tmp_path, "train.py"), Outcome(tmp_path, (), 0)))
    kept = msgspec.json.decode((tmp_path / "stallscope.json").read_bytes(), type=Manifest)
    assert kept == msgspec.structs.replace(a_manifest(380.0), cpu_run=times)
    assert said[-1] == "--also-cpu: 2 steps on the CPU took 0.15 ms each, without the profiler"


def test_a_failed_run_is_not_repeated(tmp_path: Path) -> None:
    """A script that ended with an error, or left no recording: said, and nothing is run."""
    (tmp_path / "stallscope.json").write_bytes(msgspec.json.encode(a_manifest(380.0)))
    failed = list(after_run(start(tmp_path, "train.py"), Outcome(tmp_path, (), 7)))
    assert failed == ["--also-cpu: nothing was timed on the CPU, for the script ended with exit code 7"]
    nothing = list(after_run(start(tmp_path, "train.py"), Outcome(None, (), 0)))
    assert nothing == ["--also-cpu: nothing was timed on the CPU, for the run has no recording"]


@pytest.mark.slow
def test_on_a_machine_without_a_gpu_there_is_nothing_to_add(tmp_path: Path) -> None:
    """The run itself was on the CPU: that is said on stderr; stdout and exit code are the script's."""
    (tmp_path / "train.py").write_text(TRAIN)
    environment = {**os.environ, **also_cpu.HIDDEN}
    done = subprocess.run(
        [sys.executable, "-m", "stallscope", "profile", "--also-cpu", "--no-summary", "train.py", "60"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "a line\n" * 60)
    assert "nothing was timed on the CPU, for the run itself was on the CPU" in done.stderr
    assert (tmp_path / "seen.txt").read_text() == "False"
