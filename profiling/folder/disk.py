"""Whether a trace will fit where it is to go: asked before it is recorded, since recording it holds up the training."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

BESIDE = 1.2  # times what a trace takes: its compressed form is written while the plain one is still there
AT_LEAST = 1_000_000  # bytes: the manifest, and a trace of which nothing is known
SHUT = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM")


def why_not_writable(folder: Path) -> str | None:
    """Why nothing can be written into ``folder``, or into the one that it would be made in; None: it can."""
    try:
        with tempfile.TemporaryFile(dir=_there(folder)):
            return None
    except OSError as error:
        return error.strerror or str(error)


def too_little(folder: Path, size: int) -> tuple[int, int] | None:
    """The bytes that are free and those that a trace of ``size`` bytes needs, if it does not fit."""
    needed = int(size * BESIDE) + AT_LEAST
    try:
        free = shutil.disk_usage(_there(folder)).free
    except OSError:
        return None
    return (free, needed) if free < needed else None


def is_shut(error: BaseException | None) -> bool:
    """Whether an error says that the folder takes nothing more: full, over a quota or a limit, or read-only."""
    return isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in SHUT


def _there(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
