"""A range around each call of a module, through global forward hooks: nothing of the script's is touched.

Forward hooks run on the ``Module.__call__`` path only. Backward passes need nothing here: each of their nodes bears the
sequence number of the operator that it belongs to. Backward hooks would break in-place modules.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, NamedTuple

from stallscope.profiling.mark.callsites import printable
from stallscope.profiling.mark.function_mode import FunctionMode, with_fast_paths
from stallscope.profiling.mark.module_names import SHOWN, ModuleNames
from stallscope.profiling.mark.ranges import Ranges
from stallscope.profiling.mark.usercode import inside
from stallscope.profiling.watch import forward_hooks
from stallscope.traces.model.manifest import Finding

LAZY = (GeneratorType, CoroutineType, AsyncGeneratorType)


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

    def __init__(self, torch: Any, ranges: Ranges, mode: FunctionMode, *, modules: bool, call_sites: bool) -> None:
        self.names = ModuleNames()
        self._torch = torch
        self._ranges, self._mode = ranges, mode
        self._modules, self._call_sites = modules, call_sites
        self._thread = _Thread()
        self._lazy: set[int] = set()  # indices of modules whose calls return before their bodies run
        self._fast = with_fast_paths(torch)
        self._stop: Callable[..., None] = lambda: None

    def install(self) -> None:
        """Hang the hooks in."""
        self._stop = forward_hooks.listen(self._torch, self._called, self._left)

    def remove(self) -> None:
        """Listen no more."""
        self._stop()

    def close(self) -> None:
        """Leave what is open on this thread."""
        while self._thread.stack:
            self._leave(self._thread.stack.pop())

    def findings(self) -> list[Finding]:
        """What should be said about the modules."""
        findings = self._ranges.direct.findings()
        if self.names.shared:
            shown = "; ".join(f"{other} is {first}" for first, other in self.names.shared[:SHOWN])
            more = len(self.names.shared) - SHOWN
            shown += f"; {more} more" if more > 0 else ""
            text = f"modules in several places are listed under their first name: {shown}"
            findings.append(Finding(name="shared_modules", text=printable(text)))
        if self._lazy:
            shown = ", ".join(_shown(self.names.modules[each]) for each in sorted(self._lazy)[:SHOWN])
            text = f"forward is a generator or a coroutine, whose body runs after the call: {shown} cannot be timed"
            findings.append(Finding(name="lazy_forward", text=text))
        return findings

    # --- events ----------------------------------------------------------------------------------

    def _called(self, module: Any) -> None:
        if self._ranges.active:
            with self._ranges.guarded:
                self._enter(module, sys._getframe(2))  # noqa: SLF001 - who runs the hook that calls this

    def _enter(self, module: Any, frame: FrameType) -> None:
        """Note a call; ``frame`` is torch's that runs it."""
        stack = self._thread.stack
        while stack and not inside(frame, stack[-1].frame):  # an interrupt has ended that call; no hook told of it
            self._leave(stack.pop())
        root = stack[0].module if stack else self._ranges.direct.outermost(frame)
        ranges = [each for each in self._ranges_of(module, root, frame, outermost=not stack) if each is not None]
        suspends = not module.training and isinstance(module, self._fast)
        if suspends:
            self._mode.suspend()
        for each in ranges:
            each.__enter__()
        stack.append(_Entry(module, frame, tuple(reversed(ranges)), suspends))

    def _ranges_of(self, module: Any, root: Any, frame: FrameType, *, outermost: bool) -> Iterator[Any]:
        """Yield the ranges of a call, None where there is none: of its line, of the module, of its function."""
        if self._call_sites and outermost:
            yield self._ranges.of_line("forward", frame, waits=False)
        if self._modules:
            index = self.names.index_of(module, root)
            yield self._ranges.of_module(index) if index not in self._lazy else None
        if self._call_sites and self._ranges.by_function:
            yield self._ranges.of_function(module, frame)

    def _left(self, module: Any, output: Any) -> None:
        """Note the end of a call, and of the calls in it whose ends an interrupt kept from us."""
        stack = self._thread.stack
        if not self._ranges.active or not any(each.module is module for each in reversed(stack)):
            return
        with self._ranges.guarded:
            while stack:
                entry = stack.pop()
                self._leave(entry)
                if entry.module is module:
                    break
            if isinstance(output, LAZY) and self._modules:
                self._lazy.add(self.names.index_of(module, None))

    def _leave(self, entry: _Entry) -> None:
        for each in entry.ranges:
            each.__exit__(None, None, None)
        if entry.suspends:
            self._mode.resume()


def _shown(module: Any) -> str:
    return f"{module.name} ({module.type})" if module.name else module.type
