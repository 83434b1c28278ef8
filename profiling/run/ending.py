"""End this process as the script would have: by its signal, or, in a forked child, without waiting for kineto."""

# ruff: noqa: SLF001 - the interpreter's own end of a process

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import NoReturn

from stallscope.profiling.run import runner

WINDOWS_CONTROL_C = -1073741510  # STATUS_CONTROL_C_EXIT


def _finalize() -> None:
    """Do what the interpreter does at its end, for a process that ends by another way than returning."""
    runner.join_threads()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def die_of_interrupt() -> NoReturn:
    """End as python does after an uncaught Ctrl-C: by the signal itself."""
    _finalize()
    if sys.platform == "win32":
        os._exit(WINDOWS_CONTROL_C)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    os._exit(128 + signal.SIGINT)  # pragma: no cover - the signal is blocked


def leave_child(ending: runner.Ending, *, used_kineto: bool) -> NoReturn:
    """End a child made by ``os.fork`` that has run the rest of the script.

    Where kineto has been started before the fork, its destructors wait for threads that the child does not have.
    """
    if ending.interrupted:
        die_of_interrupt()
    if used_kineto:
        _finalize()
        os._exit(ending.exit_code & 0xFF)
    sys.exit(ending.exit_code)
