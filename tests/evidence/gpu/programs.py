"""Other programs, started within a time limit, and ended with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

GRACE_S = 3.0  # to end by itself once it is asked to


def called(command: Sequence[str], timeout_s: float, cwd: Path | None = None) -> str | None:
    """Run a command; None if it went well, else what went wrong, in one line. None of its children outlives it.

    It is asked to end shortly before the limit, so that it has some time to. Its output goes to a file: a pipe that a
    child keeps open would be waited for.
    """
    with tempfile.TemporaryFile() as said:
        program = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True
        )
        try:
            code = program.wait(max(timeout_s - GRACE_S, timeout_s / 2, 0.001))
        except subprocess.TimeoutExpired:
            return f"not done within {timeout_s:.0f} s"
        finally:  # also when we are interrupted
            end(program)
        said.seek(0)
        lines = said.read().decode("utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
    return None if code == 0 else f"exit code {code}: {lines[-1]}"


def end(program: subprocess.Popen[bytes]) -> None:
    """End a program and all of its group: politely first, if it still runs, so that it can save what it has."""
    if program.poll() is None:
        signalled(program, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            program.wait(GRACE_S)
    signalled(program, getattr(signal, "SIGKILL", signal.SIGTERM))
    program.wait()


def signalled(program: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the program's group; where there are no groups, to the program."""
    with suppress(ProcessLookupError, PermissionError):  # they have ended; macOS says the latter of groups of zombies
        if hasattr(os, "killpg"):
            os.killpg(program.pid, number)
        else:
            program.send_signal(number)
