"""Asking the system: a small tool's output, a small file's text; None for whatever is missing, never an exception."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

TIMEOUT_S = 4.0  # a driver in trouble answers nvidia-smi after minutes, or never

Runner = Callable[[Sequence[str]], str | None]
ReadText = Callable[[Path], str | None]

WELL_KNOWN = (  # where the drivers' tools lie when PATH does not name them
    Path("/usr/lib/wsl/lib"),
    Path("/opt/rocm/bin"),
    Path("C:/Windows/System32"),
    Path("C:/Program Files/NVIDIA Corporation/NVSMI"),
)


def run_tool(command: Sequence[str], timeout_s: float = TIMEOUT_S) -> str | None:
    """What a small system tool prints; None where it is missing, fails or takes longer than ``timeout_s``."""
    path = find_tool(command[0])
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  (fixed commands of this folder, never a user's text)
            [path, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace") if done.returncode == 0 else None


def find_tool(name: str) -> str | None:
    """The path of a tool on PATH, else in one of the folders where drivers put theirs."""
    places = [shutil.which(name), *(shutil.which(name, path=str(folder)) for folder in WELL_KNOWN)]
    return next((place for place in places if place is not None), None)


def read_text(path: Path) -> str | None:
    """A small system file's text, or None where it does not exist or may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
