"""What libraries write to stderr by its descriptor while we call them: lines of theirs are left out.

Only for the moment of such a call. What else is written meanwhile (by other threads, by children) follows right after.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import IO

STDERR = 2


@contextlib.contextmanager
def without_lines(*, holding: bytes) -> Iterator[None]:
    """Leave out lines on descriptor 2 that hold ``holding``; where that cannot be done, nothing is changed."""
    try:
        kept, caught = os.dup(STDERR), tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError:  # closed, or no descriptor is left
        yield
        return
    with contextlib.closing(caught):
        inheritable = os.get_inheritable(STDERR)
        os.dup2(caught.fileno(), STDERR, inheritable=inheritable)
        try:
            yield
        finally:
            os.dup2(kept, STDERR, inheritable=inheritable)
            os.close(kept)
            _hand_on(caught, holding)


def _hand_on(caught: IO[bytes], holding: bytes) -> None:
    caught.seek(0)
    rest = b"".join(line for line in caught if holding not in line)
    with contextlib.suppress(OSError):
        while rest:
            rest = rest[os.write(STDERR, rest) :]
