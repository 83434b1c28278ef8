"""Functions of torch's that no function mode sees, replaced for a while by ones that mark calls of them.

Replaced are the private functions behind the public ones: whoever looks at ``torch.save``, or pickles it, finds what
was there before.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import partial, wraps
from types import FrameType
from typing import Any, NamedTuple, Protocol

from stallscope.profiling.mark.function_mode import unframed

_NO_RANGE = contextlib.nullcontext()


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

    def range_of(self, kind: str, caller: FrameType, *, waits: bool) -> Any:
        """Return a range to be entered around any call, or None. Never raises."""


def waits_without_tensors(torch: Any) -> list[Target]:
    """Return what is behind ``torch.save``, ``barrier`` and the functions called ``synchronize``."""
    targets = [
        Target(torch.serialization, "_save", "save"),
        Target(torch.serialization, "_legacy_save", "save"),
        Target(torch._C, "_cuda_synchronize", "cuda.synchronize"),  # noqa: SLF001
        Target(torch._C, "_xpu_synchronize", "xpu.synchronize"),  # noqa: SLF001
        Target(torch._C, "_mps_deviceSynchronize", "mps.synchronize"),  # noqa: SLF001
        Target(torch._C, "_accelerator_synchronizeDevice", "accelerator.synchronize"),  # noqa: SLF001
        Target(sys.modules.get("torch.distributed"), "barrier", "barrier"),
    ]
    for api in ("cuda", "xpu", "mps"):
        classes = ((name, getattr(getattr(torch, api, None), name, None)) for name in ("Event", "Stream"))
        targets += [Target(owner, "synchronize", f"{name}.synchronize") for name, owner in classes]
    return [each for each in targets if _replaceable(each)]


def _replaceable(target: Target) -> bool:
    """Whether the owner has the attribute and lets it be set."""
    owner = target.owner
    if owner is None or not callable(getattr(owner, target.name, None)):
        return False
    return not isinstance(owner, type) or bool(owner.__flags__ & HEAP_TYPE)


HEAP_TYPE = 1 << 9  # CPython's Py_TPFLAGS_HEAPTYPE: attributes of other classes cannot be set


class Patches:
    """Replaced attributes, and the way back."""

    def __init__(self, torch: Any, marker: Marker) -> None:
        self._compiler, self._marker = torch.compiler, marker
        self._undo: list[Callable[[], None]] = []

    def mark(self, targets: list[Target]) -> None:
        """Replace ``targets`` by functions that mark each call."""
        for each in targets:
            self.replace(each.owner, each.name, partial(self._marked, each))

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace one attribute by what ``make`` makes of it."""
        self._undo.append(_set(owner, name, make(getattr(owner, name))))

    def take_off(self) -> None:
        """Put all back."""
        while self._undo:
            self._undo.pop()()

    def _marked(self, target: Target, original: Any) -> Any:
        compiler, marker = self._compiler, self._marker

        @wraps(original)
        def marked(*args: Any, **kwargs: Any) -> Any:
            if compiler.is_compiling() or not marker.active:
                return original(*args, **kwargs)
            mark = marker.range_of(target.kind, sys._getframe(1), waits=target.waits)  # noqa: SLF001
            try:
                with _NO_RANGE if mark is None else mark:
                    return original(*args, **kwargs)
            except BaseException as error:
                unframed(error)
                raise

        return marked


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
