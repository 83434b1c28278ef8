"""The table of modules: which ``nn.Module`` bears which qualified name, from which root."""

# ruff: noqa: SLF001 - torch's modules are watched from inside

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from stallscope.profiling.mark.callsites import printable
from stallscope.traces.model.manifest import NamedModule

SHOWN = 3  # shared modules that are named in a note


class ModuleNames:
    """Lists modules in the order in which they are first called.

    A module's root is the one that was called from outside of any module. Of a module in several places the first name
    counts. A root that turns out to be part of another one gets its name from there; its index stays.
    """

    def __init__(self) -> None:
        self.modules: list[NamedModule] = []
        self.shared: list[tuple[str, str]] = []  # first name and another name of the same module
        self._indices: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._names: dict[int, tuple[weakref.ref[Any], str, weakref.ref[Any], str]] = {}  # root label, root, name
        self._roots: dict[str, list[weakref.ref[Any]]] = {}
        self._values: dict[NamedModule, int] = {}

    def index_of(self, module: Any, root: Any | None) -> int:
        """The index in ``modules`` of one that is called; ``root``: the outermost one known to hold it."""
        listed = self._indices.get(id(module))
        if listed is not None and listed[0]() is module:
            return listed[1]
        index = self._new(module, root if root is not None else module)
        self._indices[id(module)] = (weakref.ref(module), index)
        return index

    def _new(self, module: Any, root: Any) -> int:
        if self._name_of(module) is None:
            self._walk(root)
        named = self._name_of(module)
        if named is None:  # made while its root was running, and kept where nobody looks
            self._walk(module)
            named = self._name_of(module)
        label, name = named if named is not None else (type(module).__name__, "")
        value = NamedModule(name=printable(name), type=printable(type(module).__name__), root=printable(label))
        if value not in self._values:
            self._values[value] = len(self.modules)
            self.modules.append(value)
        return self._values[value]

    def _name_of(self, module: Any) -> tuple[str, str] | None:
        named = self._names.get(id(module))
        return (named[1], named[3]) if named is not None and named[0]() is module else None

    def _walk(self, root: Any) -> None:
        """Name ``root`` and all modules in it that have no name yet, or one from a root that lies in this one."""
        label = self._label(root)
        reference = weakref.ref(root)
        seen: dict[int, str] = {}
        walked = list(_walked(root))
        inside = {id(module) for _, module in walked}
        for name, module in walked:
            if id(module) in seen:
                self.shared.append((seen[id(module)], name))
                continue
            seen[id(module)] = name
            named = self._names.get(id(module))
            if named is not None and named[0]() is module and id(named[2]()) not in inside:
                continue
            self._names[id(module)] = (weakref.ref(module), label, reference, name)
            self._rename(module, label, name)

    def _rename(self, module: Any, label: str, name: str) -> None:
        listed = self._indices.get(id(module))
        if listed is None or listed[0]() is not module:
            return
        value = NamedModule(name=printable(name), type=printable(type(module).__name__), root=printable(label))
        self._values.pop(self.modules[listed[1]], None)
        self._values.setdefault(value, listed[1])
        self.modules[listed[1]] = value

    def _label(self, root: Any) -> str:
        """The class name of ``root``; with a number where another module of the class is a living root."""
        name = type(root).__name__
        roots = self._roots.setdefault(name, [])
        for at, reference in enumerate(roots):
            alive = reference()
            if alive is None or alive is root or getattr(root, "_is_replica", False):
                roots[at] = weakref.ref(root)
                return name if at == 0 else f"{name}#{at + 1}"
        roots.append(weakref.ref(root))
        return name if len(roots) == 1 else f"{name}#{len(roots)}"


def _walked(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield (qualified name, module) in torch's order, a module met again included but not entered again."""
    entered: set[int] = set()
    todo = [("", root)]
    while todo:
        name, module = todo.pop()
        yield name, module
        if id(module) in entered:
            continue
        entered.add(id(module))
        children = [(f"{name}.{key}" if name else key, child) for key, child in module._modules.items()]
        todo += [(key, child) for key, child in reversed(children) if child is not None]
