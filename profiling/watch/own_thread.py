"""Threads of ours take no signal: one that the script has blocked must find no thread that would take it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def no_signals() -> Iterator[None]:
    """Block all signals of this thread, so that one started meanwhile is born with all of them blocked.

    Those that come in the meantime are delivered afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
