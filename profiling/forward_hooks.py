"""The one pair of global forward hooks that this process hangs into torch, however many of us listen.

Compiled code checks how many hooks there were when it was compiled, and is compiled again when that changes. So the
pair is shared, and stays where something has been compiled, even with nobody listening.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stallscope.profiling.compiled import anything_compiled, leave_out

Called = Callable[[Any], None]
Left = Callable[[Any, Any], None]

_listeners: list[tuple[Called, Left]] = []
_handles: list[Any] = []


def listen(torch: Any, called: Called, left: Left) -> Callable[..., None]:
    """Call ``called(module)`` before each module call and ``left(module, output)`` after it; neither may raise.

    Returns what ends that. Given ``for_good=True`` (no more of the script's code will run) it takes the hooks out even
    where something has been compiled.
    """
    listener = (called, left)
    _listeners.append(listener)
    if not _handles:
        _hang_in(torch)

    def stop(*, for_good: bool = False) -> None:
        if listener in _listeners:
            _listeners.remove(listener)
        if not _listeners and (for_good or not anything_compiled()):
            while _handles:
                _handles.pop().remove()

    return stop


def own() -> int:
    """Return how many forward hooks in torch's tables are ours."""
    return len(_handles)


def _hang_in(torch: Any) -> None:
    """Register the pair. Under ``torch.compile`` it vanishes: the first line of each is all that dynamo sees."""

    def called(module: Any, _args: Any) -> None:
        if torch.compiler.is_compiling():
            return
        for each in _listeners:
            each[0](module)

    def left(module: Any, _args: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        for each in _listeners:
            each[1](module, output)

    leave_out(torch, called, left)
    module = torch.nn.modules.module
    _handles.append(module.register_module_forward_pre_hook(called))
    _handles.append(module.register_module_forward_hook(left, always_call=True))
