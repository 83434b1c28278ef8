"""Third-party modules of ours, kept out of the script's sight: it imports its own, and a file beside it comes first.

What was loaded before anything of ours is noted at the entry point; what we have loaded since is taken out of
``sys.modules`` before the script starts, and is there again while its summary is made.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

OURS = "stallscope"
_before: set[str] = set()  # empty: we are a guest in a process whose modules are not ours to judge


def note() -> None:
    """Note what is loaded now. Called by the entry point, before anything of ours needs others."""
    _before.update(sys.modules)


class Aside:
    """What was loaded for us and is neither ours nor of the standard library. Made before the script starts."""

    def __init__(self) -> None:
        self._path = list(sys.path)
        self._kept = {name: module for name, module in sys.modules.items() if _before and _is_foreign(name)}

    def take_out(self) -> None:
        """Leave ``sys.modules`` as if they had never been loaded."""
        for name in self._kept:
            sys.modules.pop(name, None)

    @contextlib.contextmanager
    def back(self) -> Iterator[None]:
        """Have them again for a while, and none of the script's folder in their place."""
        if not self._kept:
            yield
            return
        path, theirs = list(sys.path), self._in_the_way()
        for name in theirs:
            sys.modules.pop(name)
        sys.modules.update(self._kept)
        sys.path[:] = [each for each in self._path if each != path[0]] if path else self._path
        try:
            yield
        finally:
            self.take_out()
            sys.modules.update(theirs)
            sys.path[:] = path

    def _in_the_way(self) -> dict[str, ModuleType]:
        """Modules of the script's under names that we load: those that we had, and those that lie in its folder."""
        folder = Path(sys.path[0]).absolute() if sys.path else None
        return {
            name: module
            for name, module in list(sys.modules.items())
            if name in self._kept or (_is_foreign(name) and folder is not None and folder in _file(module).parents)
        }


def _is_foreign(name: str) -> bool:
    top = name.partition(".")[0]
    own = top == OURS or top in sys.stdlib_module_names or top in ("__main__", "__mp_main__")
    return name not in _before and not own and not top.startswith("_sysconfigdata")


def _file(module: ModuleType) -> Path:
    with contextlib.suppress(Exception):
        return Path(str(module.__file__)).absolute()
    return Path()
