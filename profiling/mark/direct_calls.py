"""Modules whose ``forward`` is called directly: no hook runs then, so the call is neither a step nor a module's."""

from __future__ import annotations

import inspect
from types import FrameType
from typing import Any

from stallscope.profiling.mark.callsites import printable
from stallscope.profiling.mark.usercode import UserCode
from stallscope.traces.model.manifest import Finding

RUNS_LATER = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR  # than it is called
MAX_LOOK_UP = 40  # frames above a call that are searched for a ``forward`` that was called directly


class DirectCalls:
    """Finds them on the stack of other calls."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._user = UserCode()
        self._lines: dict[str, str] = {}  # of the first such call, by the module's class
        self._judged: set[tuple[int, int, int]] = set()  # calls of a ``forward`` that were looked at

    def findings(self) -> list[Finding]:
        """A finding for each class of module."""
        findings = []
        for kind, where in self._lines.items():
            text = (
                f"{kind}.forward(…) is called directly at {where}: call the module itself, model(x) instead of "
                f"model.forward(x); only __call__ runs hooks, so this call is not seen as a step or a module"
            )
            findings.append(Finding(name="direct_forward", text=printable(text)))
        return findings

    def torch_called(self, caller: FrameType) -> None:
        """Note that ``caller`` calls a function of torch's: the ``forward`` of a module that calls no other, say."""
        outer = caller.f_back
        if caller.f_code.co_name != "forward" or outer is None or caller.f_code.co_flags & RUNS_LATER:
            return
        key = (id(caller.f_code), id(outer.f_code), outer.f_lasti)
        if key in self._judged:
            return
        self._judged.add(key)
        module = _itself(caller)
        if not isinstance(module, self._torch.nn.Module):
            return
        while outer.f_code.co_name == "forward" and outer.f_back is not None and _itself(outer) is module:
            outer = outer.f_back  # super().forward(x)
        if self._user.owns(outer):
            self._note(module, outer)

    def outermost(self, frame: FrameType) -> Any | None:
        """The outermost module whose ``forward`` is running above ``frame`` without its ``__call__``; notes it."""
        module, caller = None, None
        above = frame.f_back
        for _ in range(MAX_LOOK_UP):
            if above is None:
                break
            if above.f_code.co_name == "forward" and isinstance(itself := _itself(above), self._torch.nn.Module):
                module, caller = itself, above.f_back
            above = above.f_back
        if module is not None and caller is not None:
            self._note(module, caller)
        return module

    def _note(self, module: Any, caller: FrameType) -> None:
        if self._torch._C._current_graph_task_id() == -1:  # noqa: SLF001 - else checkpointing computes anew
            self._lines.setdefault(type(module).__name__, f"{caller.f_code.co_filename}:{caller.f_lineno}")


def _itself(frame: FrameType) -> Any:
    """The first argument of a function that is running."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
