"""A training run in a process of its own, recorded: what ``check --run`` looks at."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from stallscope.traces.model.errors import BadInput


def record_all(command: str, logdir: Path, *, runs: int) -> list[Path]:
    """Record a command so many times, one after the other.

    Raises:
        BadInput: as ``record``.
    """
    return [record(command, logdir) for _ in range(runs)]


def record(command: str, logdir: Path) -> Path:
    """Run a command under the recorder; its run folder. What the script prints goes to stderr.

    Raises:
        BadInput: there is no command in it, the script failed, or no step of it was recorded.
    """
    try:
        words = shlex.split(command, posix=os.name == "posix")
    except ValueError as error:
        raise BadInput(f"--run {command}: a quotation mark is not closed") from error
    if words and Path(words[0]).stem in ("python", "python3"):
        words = words[1:]
    if not words:
        raise BadInput("--run names no script; write it as after python: --run 'train.py --lr 0.1'")
    name = f"check-{time.time_ns()}"
    options = ["--no-summary", "--logdir", str(logdir), "--name", name]
    sys.stderr.flush()
    ended = subprocess.run([sys.executable, "-m", "stallscope", "profile", *options, *words], stdout=2, check=False)  # noqa: S603 - the user's own command
    if ended.returncode:
        raise BadInput(f"the script ended with exit code {ended.returncode}, so nothing was checked: {command}")
    if not (logdir / name).is_dir():
        raise BadInput(f"no step of it was recorded, so nothing was checked: {command}")
    return logdir / name
