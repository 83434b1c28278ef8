"""Python frames as traces spell them: whose code one runs, and how people name it."""

from __future__ import annotations

import re
import sys
from typing import Final

from stallscope.traces.model.fields import DISGUISE, INSTALLED

_FRAME: Final = re.compile(r"(?P<path>[^;]+)\((?P<line>\d{1,9})\): (?P<function>[^;]+)$")
_STANDARD: Final = re.compile(r".*/lib(?:64)?/python\d[.\d]*/(?!(?:site|dist)-packages/)")
_RECORDER: Final = re.compile(r"(?:.*/)?stallscope/profiling/(?!workloads/)")
_NOT_THE_CAUSE: Final = frozenset(
    {"torch", "numpy", "PIL", "scipy"}
)  # packages that are called, and call nobody's code


def function_name(frame: str) -> str | None:
    """``train.py(6): helper`` → ``helper (train.py:6)``; None where the frame is not the user's."""
    found = user_frame(frame)
    return None if found is None else f"{found[2]} ({found[0]}:{found[1]})"


def user_frame(name: str) -> tuple[str, int, str] | None:
    """(file, line, function) of a frame of the user's own code; None for PyTorch's, Python's and built-in ones.

    ``train.py(6): helper`` → ("train.py", 6, "helper").
    """
    found = _FRAME.match(name.strip())
    if found is None or name.startswith("<") or _STANDARD.match(found["path"]) or found["function"] == DISGUISE:
        return None
    path = found["path"].replace("\\", "/")
    installed = INSTALLED.match(path)
    path = path[installed.end() :] if installed else path
    package, _, inside = path.partition("/")
    standard = not inside and package.removesuffix(".py") in sys.stdlib_module_names
    if _RECORDER.match(path) or package in _NOT_THE_CAUSE or standard or package in sys.stdlib_module_names:
        return None
    return path, int(found["line"]), found["function"]


def user_line(stack: str) -> str | None:
    """``train.py:47``: the innermost frame of the user's in a stack whose innermost frame comes first; None without."""
    frame = next((frame for part in stack.split(";") if (frame := user_frame(part)) is not None), None)
    return None if frame is None else f"{frame[0]}:{frame[1]}"
