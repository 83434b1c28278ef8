"""The one pair of global forward hooks that this process hangs into torch, however many of us listen.

Compiled code checks how many hooks there were when it was compiled, and is compiled again when that changes. So the
pair is shared, and stays where something has been compiled, even with nobody listening.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stallscope.profiling.watch.compiled import anything_compiled, leave_out

Called = Callable[[Any], None]
Left = Callable[[Any, Any], None]

_listeners: list[tuple[Called, Left]] = []
_handles: list[Any] = []
_tables: list[tuple[dict[int, Any], int, Any]] = []  # where the pair is: table, key and value; more than one for each
_lifted: list[bool] = []  # not empty: the pair is out for a moment


def listen(torch: Any, called: Called, left: Left) -> Callable[..., None]:
    """Call ``called(module)`` before each module call and ``left(module, output)`` after it; neither may raise.

    Returns what ends that. Given ``for_good=True`` (no more of the script's code will run) it takes the hooks out even
    where something has been compiled.
    """
    listener = (called, left)
    lower()
    _listeners.append(listener)
    if not _handles:
        _hang_in(torch)

    def stop(*, for_good: bool = False) -> None:
        if listener in _listeners:
            _listeners.remove(listener)
        if not _listeners and (for_good or not anything_compiled()):
            _tables.clear()
            _lifted.clear()
            while _handles:
                _handles.pop().remove()

    return stop


def lift() -> bool:
    """Take the pair out for a moment: cheap enough for each step. False: it must stay, something may be compiled.

    Code that is compiled meanwhile finds no hooks, and does not mind when they come back.
    """
    if anything_compiled() or len(_listeners) != 1:
        return False
    if not _lifted:
        _lifted.append(True)
        for table, key, _ in _tables:
            table.pop(key, None)
    return True


def lower() -> None:
    """Put it back, if there is one."""
    _lifted.clear()
    for table, key, value in _tables:
        table[key] = value


def own() -> int:
    """How many forward hooks in torch's tables are ours."""
    return 0 if _lifted else len(_handles)


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
    for handle in _handles:
        refs = (handle.hooks_dict_ref, *handle.extra_dict_ref)
        holding = [table for table in (ref() for ref in refs) if table is not None and handle.id in table]
        _tables.extend((table, handle.id, table[handle.id]) for table in holding)
