"""Run scripts under ``stallscope profile`` and under plain python, and read what was recorded."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stallscope.traces.model.manifest import Manifest, Window
from tests import ROOT

TIMEOUT = 180
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


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


def profiled(*argv: str | Path, cwd: Path, stdin: str = "", options: tuple[str, ...] = ()) -> Ended:
    """Run ``stallscope profile`` on a script, from ``cwd``; its run folder is ``cwd/runs/…``."""
    return python(*PROFILE, *options, *argv, cwd=cwd, stdin=stdin)


def run_many(*scripts: Path, cwd: Path, flags: tuple[str, ...] = ()) -> Ended:
    """Profile several scripts one after the other in one process, which imports torch once."""
    out, logdir = cwd / "out.json", cwd / "runs"
    root = ROOT
    return python(*flags, "-m", "tests.profiling.many", out, logdir, *scripts, cwd=root)


def many(*scripts: Path, cwd: Path) -> dict[str, dict]:
    """The outcomes of ``run_many`` by the scripts' names."""
    done = run_many(*scripts, cwd=cwd)
    assert done.code == 0, done.err
    return json.loads((cwd / "out.json").read_text(encoding="utf-8"))


def manifest(folder: Path) -> Manifest:
    """The manifest in a run folder."""
    return msgspec.json.decode((folder / "stallscope.json").read_bytes(), type=Manifest)


def events(path: Path) -> list[dict]:
    """The events of a trace, compressed by now or not."""
    text = path.read_bytes()
    return json.loads(gzip.decompress(text) if path.suffix == ".gz" else text)["traceEvents"]


def window(found: Manifest, kind: str, round_name: str) -> Window | None:
    """The window of a kind and round; None if it was not recorded."""
    return next((each for each in found.windows if (each.kind, each.round) == (kind, round_name)), None)


def timing_trace(folder: Path, round_name: str = "full") -> list[dict]:
    """The events of the timing trace of a round."""
    timing = window(manifest(folder), "timing", round_name)
    assert timing is not None
    assert timing.trace is not None
    return events(folder / timing.trace)


def steps_in(trace: list[dict]) -> list[dict]:
    """The ProfilerStep ranges of the host, in order."""
    found = [event for event in trace if event.get("name", "").startswith("ProfilerStep#")]
    return sorted((event for event in found if event.get("cat") == "user_annotation"), key=lambda event: event["ts"])


def inside(trace: list[dict], step: dict, name: str) -> int:
    """How many complete events of a name (or beginning with it, if it ends in #) start inside a step."""
    end = step["ts"] + step["dur"]
    return sum(
        1
        for event in trace
        if event.get("ph") == "X"
        and step["ts"] <= event["ts"] < end
        and (event["name"] == name or (name.endswith("#") and event["name"].startswith(name)))
    )


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
