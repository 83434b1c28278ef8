"""A range around each call of a module, through global forward hooks: nothing of the script's is touched.

Forward hooks run on the ``Module.__call__`` path only. Backward passes need nothing here: each of their nodes bears the
sequence number of the operator that it belongs to. Backward hooks would break in-place modules.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, NamedTuple, Protocol

from stallscope.profiling.mark.callsites import printable
from stallscope.profiling.mark.function_mode import with_fast_paths
from stallscope.profiling.mark.module_names import SHOWN, ModuleNames
from stallscope.profiling.mark.usercode import UserCode, inside
from stallscope.profiling.watch import forward_hooks
from stallscope.traces.model.manifest import Finding

RUNS_LATER = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR  # than it is called
LAZY = (GeneratorType, CoroutineType, AsyncGeneratorType)
MAX_LOOK_UP = 40  # frames above a call that are searched for a ``forward`` that was called directly


class Marker(Protocol):
    """Who makes ranges, and is told of what the hooks see."""

    @property
    def active(self) -> bool:
        """Whether anything is to be marked still."""

    def range_named(self, name: str) -> Any:
        """Return a range to be entered."""

    def range_of(self, kind: str, caller: FrameType, *, waits: bool) -> Any:
        """Return the range of a call site, or None."""

    @property
    def by_function(self) -> bool:
        """Whether functions are named because lines cannot be told."""

    def range_of_function(self, function: Any, caller: FrameType | None) -> Any:
        """Return the range of all that a function calls, or None."""

    def suspend(self) -> None:
        """Let torch compute as if nobody watched."""

    def resume(self) -> None:
        """Watch again."""

    def fail(self, error: Exception) -> None:
        """Switch off after a failure of ours."""


class _Entry(NamedTuple):
    """A module call that is running. ``ranges``: to be left in this order."""

    module: Any
    frame: FrameType  # that runs the call; torch's
    ranges: tuple[Any, ...]
    suspends: bool


class _Thread(threading.local):
    def __init__(self) -> None:
        self.stack: list[_Entry] = []


class ModuleRanges:
    """The hooks, what they have open, and what they have learnt."""

    def __init__(self, torch: Any, marker: Marker, *, ranges: bool, sites: bool) -> None:
        self.names = ModuleNames()
        self._torch = torch
        self._marker = marker
        self._ranges, self._sites = ranges, sites
        self._thread = _Thread()
        self._direct: dict[str, str] = {}  # class of a module whose ``forward`` was called → where
        self._user = UserCode()
        self._judged: set[tuple[int, int, int]] = set()  # calls of a ``forward`` that were looked at
        self._lazy: set[int] = set()  # numbers of modules whose calls return before their bodies run
        self._fast = with_fast_paths(torch)
        self._stop: Callable[..., None] = lambda: None

    def install(self) -> None:
        """Hang the hooks in."""
        self._stop = forward_hooks.listen(self._torch, *_listeners(self, self._marker))

    def remove(self) -> None:
        """Listen no more."""
        self._stop()

    def close(self) -> None:
        """Leave what is open on this thread."""
        while self._thread.stack:
            self._leave(self._thread.stack.pop())

    def findings(self) -> list[Finding]:
        """Return what should be said about the modules."""
        found = []
        for kind, where in self._direct.items():
            text = (
                f"{kind}.forward(…) is called directly at {where}: call the module itself, model(x) instead of "
                f"model.forward(x); only __call__ runs hooks, so this call is not seen as a step or a module"
            )
            found.append(Finding(name="direct_forward", text=printable(text)))
        if self.names.shared:
            shown = "; ".join(f"{other} is {first}" for first, other in self.names.shared[:SHOWN])
            more = len(self.names.shared) - SHOWN
            text = f"modules in several places are listed under their first name: {shown}"
            found.append(Finding(name="shared_modules", text=printable(text + (f"; {more} more" if more > 0 else ""))))
        if self._lazy:
            shown = ", ".join(_shown(self.names.modules[each]) for each in sorted(self._lazy)[:SHOWN])
            text = f"forward is a generator or a coroutine, whose body runs after the call: {shown} cannot be timed"
            found.append(Finding(name="lazy_forward", text=text))
        return found

    # --- events ----------------------------------------------------------------------------------

    def called(self, module: Any, frame: FrameType) -> None:
        """Note a call; ``frame`` is torch's that runs it."""
        stack = self._thread.stack
        while stack and not inside(frame, stack[-1].frame):  # an interrupt has ended that call; no hook told of it
            self._leave(stack.pop())
        root = stack[0].module if stack else None
        site = None
        if root is None:
            root = self._called_directly(frame)
            site = self._marker.range_of("forward", frame, waits=False) if self._sites else None
        ranges = []
        if site is not None:
            ranges.append(site)
        if self._ranges:
            number = self.names.number(module, root)
            if number not in self._lazy:
                ranges.append(self._marker.range_named(f"stallscope.module#{number}"))
        if self._sites and self._marker.by_function:
            function = self._marker.range_of_function(module, frame)
            ranges += [] if function is None else [function]
        suspends = not module.training and isinstance(module, self._fast)
        if suspends:
            self._marker.suspend()
        for each in ranges:
            each.__enter__()
        stack.append(_Entry(module, frame, tuple(reversed(ranges)), suspends))

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
            self._note_direct(module, outer)

    def left(self, module: Any, output: Any) -> None:
        """Note the end of a call, and of the calls in it whose ends an interrupt kept from us."""
        stack = self._thread.stack
        if not any(each.module is module for each in reversed(stack)):
            return
        while stack:
            entry = stack.pop()
            self._leave(entry)
            if entry.module is module:
                break
        if isinstance(output, LAZY) and self._ranges:
            self._lazy.add(self.names.number(module, None))

    def _leave(self, entry: _Entry) -> None:
        for each in entry.ranges:
            each.__exit__(None, None, None)
        if entry.suspends:
            self._marker.resume()

    def _called_directly(self, frame: FrameType) -> Any | None:
        """Return the outermost module whose ``forward`` is running without its ``__call__``; note it."""
        found, caller = None, None
        each: FrameType | None = frame.f_back
        for _ in range(MAX_LOOK_UP):
            if each is None:
                break
            if each.f_code.co_name == "forward":
                module = _itself(each)
                if isinstance(module, self._torch.nn.Module):
                    found, caller = module, each.f_back
            each = each.f_back
        if found is not None and caller is not None:
            self._note_direct(found, caller)
        return found

    def _note_direct(self, module: Any, caller: FrameType) -> None:
        if self._torch._C._current_graph_task_id() == -1:  # noqa: SLF001 - else checkpointing computes anew
            self._direct.setdefault(type(module).__name__, f"{caller.f_code.co_filename}:{caller.f_lineno}")


def _itself(frame: FrameType) -> Any:
    """Return the first argument of a function that is running."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _shown(module: Any) -> str:
    return f"{module.name} ({module.type})" if module.name else module.type


def _listeners(ranges: ModuleRanges, marker: Marker) -> tuple[Callable[[Any], None], Callable[[Any, Any], None]]:
    """Return what listens to the forward hooks."""

    def called(module: Any) -> None:
        if marker.active:
            try:
                ranges.called(module, sys._getframe(2))  # noqa: SLF001 - who runs the hook that calls this
            except Exception as error:  # noqa: BLE001 - nothing of ours may reach the script
                marker.fail(error)

    def left(module: Any, output: Any) -> None:
        if marker.active:
            try:
                ranges.left(module, output)
            except Exception as error:  # noqa: BLE001
                marker.fail(error)

    return called, left
