"""Our own words: on the stderr that there was when we began, and never to the harm of the script that speaks there too.

The script may close ``sys.stderr``, set it to a file of its own, or have its reader go away: then we are not heard, and
nothing else happens. Nor are we where its descriptor leads elsewhere by now: it may be a file of the script's. Least of
all may words of ours stay behind in a buffer: python ends with exit code 120 where its last flush fails.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TextIO


class Voice:
    """Speaks on one stream until it is gone. Never raises."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream  # None: nobody hears us
        self._place = place(stream)

    def say(self, message: str) -> None:
        """Write one sentence under our name."""
        self.write(f"stallscope: {message}\n")

    def write(self, text: str) -> None:
        """Write ``text``."""
        with _no_death_by_pipe():
            if self.stream is not None and not (place(self.stream) == self._place and put(self.stream, text)):
                self.stream = None


def of_process() -> Voice:
    """A voice on this process's stderr as it is now."""
    return Voice(sys.stderr)


def place(stream: TextIO | None) -> tuple[int, int] | None:
    """Device and inode of what a stream leads to; None: it is no file of the system's, or is closed."""
    with contextlib.suppress(Exception):
        if stream is not None:
            found = os.fstat(stream.fileno())
            return found.st_dev, found.st_ino
    return None


def put(stream: TextIO, text: str) -> bool:
    """Write ``text`` and flush; whether that went well. What the stream cannot encode is escaped. Never raises."""
    with contextlib.suppress(Exception):  # closed, or an object of the script's that is no stream
        stream.flush()  # what the script has left there is not ours to lose
        encoding = stream.encoding or "ascii"
        said = text.encode(encoding, "backslashreplace").decode(encoding)
        with contextlib.suppress(Exception):  # its reader is gone, the disk is full
            stream.write(said)
            stream.flush()
            return True
        _drop_what_waits(stream)
    return False


def _drop_what_waits(stream: TextIO) -> None:
    """Empty the stream's buffers into nothing."""
    handle = stream.fileno()
    kept, nowhere = os.dup(handle), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, handle, inheritable=os.get_inheritable(handle))
        stream.flush()
    finally:
        os.dup2(kept, handle, inheritable=os.get_inheritable(handle))
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _no_death_by_pipe() -> Iterator[None]:
    """Keep SIGPIPE away where the script has a handler for it, or lets it end the process."""
    sigpipe = getattr(signal, "SIGPIPE", None)
    handler = None if sigpipe is None else signal.getsignal(sigpipe)
    if (
        sigpipe is None
        or handler in (None, signal.SIG_IGN)
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    signal.signal(sigpipe, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(sigpipe, handler)
