"""Functions of torch's that no function mode sees, replaced for a while by ones that mark calls of them.

Replaced are the private functions behind the public ones: whoever looks at ``torch.save``, or pickles it, finds what
was there before.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from stallscope.profiling.mark.ranges import Ranges
from stallscope.profiling.watch.patching import replace, unframed

_NO_RANGE = contextlib.nullcontext()


class Target(NamedTuple):
    """One attribute to replace. ``waits``: calling it makes the host wait for a GPU."""

    owner: Any
    name: str
    kind: str
    waits: bool = True


def waits_without_tensors(torch: Any) -> list[Target]:
    """What is behind ``torch.save``, ``barrier`` and the functions called ``synchronize``."""
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


def marked(torch: Any, ranges: Ranges, target: Target) -> Callable[[], None]:
    """Replace a target by a function that marks each call; returns what puts back what was there."""
    compiler = torch.compiler

    def make(original: Any) -> Any:
        @wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if compiler.is_compiling() or not ranges.active:
                return original(*args, **kwargs)
            mark = ranges.of_line(target.kind, sys._getframe(1), waits=target.waits)  # noqa: SLF001
            try:
                with _NO_RANGE if mark is None else mark:
                    return original(*args, **kwargs)
            except BaseException as error:
                unframed(error)
                raise

        return wrapper

    return replace(target.owner, target.name, make)
