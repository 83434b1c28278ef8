"""Do something right after a module's first import, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Spec = ModuleSpec | None


class _Trigger(MetaPathFinder):
    """Stands first in ``sys.meta_path`` until the module has been imported; finds nothing itself."""

    def __init__(self, name: str, after: Callable[[ModuleType], None]) -> None:
        self._name, self._after = name, after
        self._busy = False

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Spec:
        if fullname != self._name or self._busy:
            return None
        self._busy = True
        try:
            return self._prepare(self._ask_others(fullname, path, target))
        finally:
            self._busy = False

    def _ask_others(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> Spec:
        for finder in sys.meta_path:
            spec: Spec = None
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return None

    def _prepare(self, spec: Spec) -> Spec:
        """Hang the callback on this one loader instance; it is as before once the module is there."""
        loader: Any = spec.loader if spec is not None else None
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return spec

        def exec_module(module: ModuleType) -> None:
            try:
                execute(module)
            finally:
                vars(loader).pop("exec_module", None)
            self.remove()
            self._after(module)

        loader.exec_module = exec_module
        return spec

    def remove(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)


def when_imported(name: str, after: Callable[[ModuleType], None]) -> Callable[[], None]:
    """Call ``after(module)`` behind the first import of ``name``; at once if it has been imported.

    Returns a function that calls the whole thing off. ``after`` must not raise.
    """
    if name in sys.modules:
        after(sys.modules[name])
        return _nothing
    trigger = _Trigger(name, after)
    sys.meta_path.insert(0, trigger)
    return trigger.remove


def _nothing() -> None:
    return None
