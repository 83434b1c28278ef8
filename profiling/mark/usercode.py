"""Frames: whose code they run (the user's own, torch's, a framework's, a library's, Python's), and in which calls."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import PurePath
from types import CodeType, FrameType

LIBRARY_FOLDERS = ("site-packages", "dist-packages")
FRAMEWORKS = frozenset(  # also where they are installed as editable checkouts, or sit in the script's own folder
    {
        "accelerate",
        "colossalai",
        "composer",
        "deepspeed",
        "fastai",
        "ignite",
        "lightning",
        "lightning_fabric",
        "megatron",
        "numpy",
        "pytorch_lightning",
        "stallscope",
        "torch",
        "torchtune",
        "torchvision",
        "transformers",
        "trl",
    }
)
GENERATED = ("<frozen ", "<eval_with_key>", "<__array_function__", "<attrs generated")


class UserCode:
    """Tells the user's frames from all others. What it finds out of a code object it keeps while it lives.

    The user's is what lies in the script's folder (but not in a library folder below it), and whatever else belongs
    neither to Python, nor to a library folder, nor to a training framework: notebook cells, ``exec``, other checkouts.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[CodeType, bool]] = {}  # the code object is held so that its id stays its own
        self._script_folder = _script_folder()
        paths = sysconfig.get_paths()
        self._python = tuple({_folder(paths[each]) for each in ("stdlib", "platstdlib") if each in paths})

    def owns(self, frame: FrameType) -> bool:
        """Whether the user wrote what ``frame`` runs."""
        return self.owns_code(frame.f_code, module_of(frame))

    def owns_code(self, code: CodeType, module: str) -> bool:
        """Whether the user wrote ``code``, which belongs to ``module``."""
        judged = self._known.get(id(code))
        if judged is None or judged[0] is not code:
            judged = self._known[id(code)] = (code, self._owns(code.co_filename, module))
        return judged[1]

    def _owns(self, filename: str, module: str) -> bool:
        if filename.startswith(GENERATED) or module.partition(".")[0] in FRAMEWORKS:
            return False
        if filename.startswith("<"):  # typed, piped or made by exec
            return module == "__main__" or not module
        path = os.path.normcase(os.path.abspath(filename))  # noqa: PTH100 - no link is followed, nothing is touched
        home = self._script_folder
        if home and path.startswith(home):  # a Python may be installed below it
            below = any(path.startswith(each) for each in self._python if each.startswith(home))
            return not (below or _in_library(path.removeprefix(home)))
        return not (_in_library(path) or path.startswith(self._python))


def module_of(frame: FrameType) -> str:
    """The name of the module whose code ``frame`` runs; '' where it has none."""
    name = frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def inside(frame: FrameType, outer: FrameType) -> bool:
    """Whether ``frame`` runs in a call that ``outer`` has made."""
    above = frame.f_back
    while above is not None and above is not outer:
        above = above.f_back
    return above is outer


def _in_library(path: str) -> bool:
    return any(part in LIBRARY_FOLDERS for part in PurePath(path).parts)


def _folder(path: str) -> str:
    return os.path.join(os.path.normcase(os.path.abspath(path)), "")  # noqa: PTH100, PTH118


def _script_folder() -> str:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return _folder(os.path.dirname(os.path.abspath(script))) if isinstance(script, str) else ""  # noqa: PTH100, PTH120
