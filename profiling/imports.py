"""Do something right after a module's first import, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Finding = ModuleSpec | None


class _Trigger(MetaPathFinder):
    """Stands first in ``sys.meta_path`` until the module has been imported; finds nothing itself."""

    def __init__(self, name: str, before: Callable[[], None], after: Callable[[ModuleType], None]) -> None:
        self._name, self._before, self._after = name, before, after
        self._busy = False

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Finding:
        if fullname != self._name or self._busy:
            return None
        self._busy = True
        try:
            return self._prepare(self._ask_others(fullname, path, target))
        finally:
            self._busy = False

    def _ask_others(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> Finding:
        for finder in sys.meta_path:
            found: Finding = None
            if finder is not self and hasattr(finder, "find_spec"):
                found = finder.find_spec(fullname, path, target)
            if found is not None:
                return found
        return None

    def _prepare(self, spec: Finding) -> Finding:
        """Hang the callbacks on this one loader instance; it is as before once the module is there."""
        loader: Any = spec.loader if spec is not None else None
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return spec

        def exec_module(module: ModuleType) -> None:
            self._before()
            try:
                execute(module)
            finally:
                self._before = _nothing
                vars(loader).pop("exec_module", None)
            self.remove()
            self._after(module)

        loader.exec_module = exec_module
        return spec

    def remove(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)


def when_imported(name: str, *, before: Callable[[], None], after: Callable[[ModuleType], None]) -> Callable[[], None]:
    """Call ``before()`` ahead of the import of ``name`` and ``after(module)`` behind it; at once if it is there already.

    Returns a function that calls the whole thing off. The callbacks must not raise.
    """
    if name in sys.modules:
        after(sys.modules[name])
        return _nothing
    trigger = _Trigger(name, before, after)
    sys.meta_path.insert(0, trigger)
    return trigger.remove


def _nothing() -> None:
    return None
