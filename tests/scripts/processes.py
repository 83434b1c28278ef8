"""Run scripts under plain python and under ``stallscope profile``, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

TIMEOUT = 180
ENVIRONMENT = {  # threads that spin while they wait would take the cores from the other tests
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Ended:
    """What a process left behind."""

    code: int
    out: str
    err: str


def write(folder: Path, text: str, name: str = "train.py") -> Path:
    """Write a script; its text may be indented."""
    path = folder / name
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return path


def python(*argv: str | Path, cwd: Path, stdin: str = "") -> Ended:
    """Run plain python."""
    done = subprocess.run(
        [sys.executable, *map(str, argv)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=ENVIRONMENT,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


PROFILE = ("-m", "stallscope", "profile", "--no-summary")


def profiled(*argv: str | Path, cwd: Path, stdin: str = "", options: tuple[str, ...] = (), start=python) -> Ended:
    """Run ``stallscope profile`` on a script, from ``cwd``; its run folder is ``cwd/runs/…``."""
    return start(*PROFILE, *options, *argv, cwd=cwd, stdin=stdin)


def run_many(*scripts: Path, cwd: Path, flags: tuple[str, ...] = (), start=python) -> Ended:
    """Profile several scripts one after the other in one process, which imports torch once."""
    return start(*flags, "-m", "tests.scripts.many", cwd / "out.json", cwd / "runs", *scripts, cwd=ROOT)


def run_many_plain(*scripts: Path, flags: tuple[str, ...] = (), start=python) -> Ended:
    """Run several scripts one after the other in one process, without us."""
    return start(*flags, "-m", "tests.scripts.plain", *scripts, cwd=ROOT)


def many(*scripts: Path, cwd: Path, start=python) -> dict[str, dict]:
    """The outcomes of ``run_many`` by the scripts' names."""
    done = run_many(*scripts, cwd=cwd, start=start)
    assert done.code == 0, done.err
    return json.loads((cwd / "out.json").read_text(encoding="utf-8"))


TRAINING = """
    import sys, time, torch
    from torch import nn
    model = nn.Linear(4, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(8, 4)
    for step in range(1_000_000):
        opt.zero_grad()
        model(x).sum().backward()
        opt.step()
        time.sleep(0.001)
        if step == 400:
            print("ready", flush=True)
"""


def signalled(tmp_path, number, text=TRAINING):
    """Start a profiled training, send it a signal once it says so, and return (exit code, stdout, stderr)."""
    write(tmp_path, text)
    process = subprocess.Popen(
        [sys.executable, *PROFILE, "train.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    first = ""
    while not first.endswith("ready\n") and (line := process.stdout.readline()):
        first += line
    time.sleep(0.05)
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    return process.returncode, first + out, err
