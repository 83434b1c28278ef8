"""Functions of torch's that are replaced for a while by ones that mark calls of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any, NamedTuple, Protocol

METHODS = (  # of Tensor: what is marked where code is compiled, so that no function mode may be on
    *("item", "tolist", "cpu", "cuda", "to", "nonzero", "numpy"),
    *("__bool__", "__float__", "__int__", "__index__", "__complex__", "__format__", "__repr__", "__contains__"),
)
CACHES = ("get_ignored_functions", "get_testing_overrides", "_get_overridable_functions", "get_tensor_methods")


class Target(NamedTuple):
    """One attribute to replace. ``waits``: calling it makes the host wait for a GPU."""

    owner: Any
    name: str
    kind: str
    waits: bool = True


class Marker(Protocol):
    """Who decides which calls are marked."""

    @property
    def active(self) -> bool:
        """Whether anything is to be marked still."""

    def range_of_call(self, function: Any, args: Any, kwargs: Any, caller: FrameType) -> Any:
        """Return a range to be entered around a call of a function that a mode would see, or None. Never raises."""

    def range_of(self, kind: str, caller: FrameType, *, waits: bool) -> Any:
        """Return a range to be entered around any call, or None. Never raises."""


def waits_without_tensors(torch: Any) -> list[Target]:
    """Return the functions that no function mode sees."""
    targets = [Target(torch, "save", "save")]
    for api in ("cuda", "xpu", "mps", "accelerator"):
        module = getattr(torch, api, None)
        targets.append(Target(module, "synchronize", f"{api}.synchronize"))
        classes = ((name, getattr(module, name, None)) for name in ("Event", "Stream"))
        targets += [Target(owner, "synchronize", f"{name}.synchronize") for name, owner in classes]
    targets.append(Target(sys.modules.get("torch.distributed"), "barrier", "barrier"))
    return [each for each in targets if _replaceable(each)]


def tensor_methods(torch: Any) -> list[Target]:
    """Return the methods to be replaced where no function mode may be on. Never ``__getitem__``: see ``faults``."""
    return [each for each in (Target(torch.Tensor, name, name) for name in METHODS) if _replaceable(each)]


def _replaceable(target: Target) -> bool:
    """Whether the owner has the attribute itself, or is the class of tensors, and lets it be set."""
    owner = target.owner
    if owner is None or not callable(getattr(owner, target.name, None)):
        return False
    return not isinstance(owner, type) or bool(owner.__flags__ & HEAP_TYPE)


HEAP_TYPE = 1 << 9  # CPython's Py_TPFLAGS_HEAPTYPE: attributes of other classes cannot be set


class Patches:
    """Replaced attributes, and the way back."""

    def __init__(self, torch: Any, marker: Marker) -> None:
        self._torch = torch
        self._marker = marker
        self._undo: list[Callable[[], None]] = []
        self._filled = _filled_caches(torch.overrides)

    def put_on(self, targets: list[Target], *, by_rule: bool) -> None:
        """Replace ``targets``. ``by_rule``: a rule of ``synchronizing`` says whether a call waits."""
        for each in targets:
            original = getattr(each.owner, each.name)
            wrapper = self._by_rule(original) if by_rule else self._always(original, each)
            self._undo.append(_set(each.owner, each.name, wrapper))

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace one attribute by what ``make`` makes of it."""
        self._undo.append(_set(owner, name, make(getattr(owner, name))))

    def take_off(self) -> None:
        """Put all back; nothing that torch has found out about its functions meanwhile is kept."""
        while self._undo:
            self._undo.pop()()
        for name in _filled_caches(self._torch.overrides) - self._filled:
            getattr(self._torch.overrides, name).cache_clear()

    def _by_rule(self, original: Any) -> Any:
        compiler, marker = self._torch.compiler, self._marker

        @wraps(original)
        def marked(*args: Any, **kwargs: Any) -> Any:
            if compiler.is_compiling() or not marker.active:
                return original(*args, **kwargs)
            mark = marker.range_of_call(original, args, kwargs, sys._getframe(1))  # noqa: SLF001
            return _call(original, args, kwargs, mark)

        return marked

    def _always(self, original: Any, target: Target) -> Any:
        compiler, marker = self._torch.compiler, self._marker

        @wraps(original)
        def marked(*args: Any, **kwargs: Any) -> Any:
            if compiler.is_compiling() or not marker.active:
                return original(*args, **kwargs)
            mark = marker.range_of(target.kind, sys._getframe(1), waits=target.waits)  # noqa: SLF001
            return _call(original, args, kwargs, mark)

        return marked


def _call(original: Any, args: Any, kwargs: Any, mark: Any) -> Any:
    try:
        if mark is None:
            return original(*args, **kwargs)
        with mark:
            return original(*args, **kwargs)
    except BaseException as error:
        for _ in range(2):  # this function and its caller leave no frame in a traceback
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next
        raise


def _set(owner: Any, name: str, wrapper: Any) -> Callable[[], None]:
    """Set an attribute; returns what puts back what was there, unless somebody has set it anew since."""
    own = vars(owner).get(name)

    def undo() -> None:
        if vars(owner).get(name) is not wrapper:
            return
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)

    setattr(owner, name, wrapper)
    return undo


def _filled_caches(overrides: Any) -> set[str]:
    found = ((name, getattr(getattr(overrides, name, None), "cache_info", None)) for name in CACHES)
    return {name for name, info in found if info is not None and info().currsize}
