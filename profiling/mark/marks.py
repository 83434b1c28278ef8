"""Marks of the attribution window: ranges that say which line called, and which module ran. Times are not its business.

Call sites are seen by a ``TorchFunctionMode`` (see ``function_mode``), masks in indexing included. It is off while
compiled code runs: that checks which modes are on, and would be compiled again (replaced methods of ``Tensor``, too,
would make it so). What takes no tensor (``torch.cuda.synchronize``) is replaced until the window ends: see ``patches``.

Root module calls, backward passes and optimizer steps are call sites as well. All is taken away at the window's end.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from functools import wraps
from types import FrameType, ModuleType
from typing import Any

from stallscope.profiling.mark import patches
from stallscope.profiling.mark.function_mode import FunctionMode
from stallscope.profiling.mark.module_ranges import ModuleRanges
from stallscope.profiling.mark.optimizer_ranges import OptimizerRanges
from stallscope.profiling.mark.ranges import Ranges
from stallscope.profiling.watch.compiled import Gate, anything_compiled
from stallscope.profiling.watch.imports import when_imported
from stallscope.profiling.watch.patching import replace, unframed
from stallscope.traces.model.manifest import CallSite, Finding, NamedModule

_all: weakref.WeakSet[Ranges] = weakref.WeakSet()


class Marks:
    """Marks one window, on the thread that installs it (modules: on every thread). Used once."""

    def __init__(self, torch: ModuleType, *, module_ranges: bool = True, call_sites: bool = True) -> None:
        self._torch: Any = torch
        self._lines = call_sites
        self._ranges = Ranges(torch, call_sites=call_sites)
        self._mode = FunctionMode(torch, self._ranges)
        self._modules = ModuleRanges(torch, self._ranges, self._mode, modules=module_ranges, call_sites=call_sites)
        self._optimizers = OptimizerRanges(torch, self._ranges)
        self._patches = contextlib.ExitStack()
        self._gated = False
        self._compiled: Any = None  # the range of the compiled function that is running

    # --- what there is to read -------------------------------------------------------------------

    @property
    def call_sites(self) -> list[CallSite]:
        """The N-th is that of ranges named ``stallscope.site#N``."""
        return self._ranges.call_sites.table

    @property
    def modules(self) -> list[NamedModule]:
        """The N-th is that of ranges named ``stallscope.module#N``."""
        return self._modules.names.modules

    @property
    def notes(self) -> list[Finding]:
        """What should be said about the marks."""
        return [*self._ranges.problems, *self._modules.findings()]

    # --- in and out ------------------------------------------------------------------------------

    def install(self) -> bool:
        """Begin to mark; whether it worked. Called on the thread that trains, as the recorder runs. Does not raise."""
        with self._ranges.guarded:
            self._install()
        if not self._ranges.active:
            self.remove()
        return self._ranges.active

    def remove(self) -> None:
        """Take everything away again. Does not raise; may be called more than once."""
        self._ranges.active = False
        for part in (
            self._leave_compiled,
            self._mode.remove,
            self._patches.close,
            self._optimizers.close,
            self._modules.close,
            self._remove_hooks,
        ):
            with self._ranges.guarded:
                part()

    def _install(self) -> None:
        _disable_in_children(self._ranges)
        self._modules.install()
        if self._lines:
            if not anything_compiled():  # compiled optimizers check for hooks, too
                self._optimizers.install()
            self._install_call_sites()
        self._ranges.active = True

    def _install_call_sites(self) -> None:
        for target in patches.waits_without_tensors(self._torch):
            self._patches.callback(patches.marked(self._torch, self._ranges, target))
        self._patches.callback(replace(self._torch.autograd, "_engine_run_backward", self._around_backward))
        thread = threading.get_ident()
        self._patches.callback(
            when_imported("torch._dynamo.eval_frame", lambda dynamo: self._keep_off_compiled(dynamo, thread))
        )
        if anything_compiled() and not self._gated:
            self._ranges.without_lines()
        else:
            self._mode.install()

    def _keep_off_compiled(self, dynamo: ModuleType, thread: int) -> None:
        """Keep the mode off while compiled code runs on ``thread``, where this torch tells when it does."""
        with self._ranges.guarded:
            if hasattr(dynamo, Gate.SWITCH):
                gate = Gate(self._enter_compiled, self._leave_compiled, thread)
                self._patches.callback(replace(dynamo, Gate.SWITCH, gate.around))
                self._gated = True
            else:  # it has been imported just now: something may be compiled soon
                self._mode.remove()
                self._ranges.without_lines()

    def _enter_compiled(self, torchs: FrameType) -> None:
        """Compiled code tells no lines: all it does belongs to the function that was compiled."""
        self._mode.suspend()
        if self._ranges.active:
            self._compiled = self._ranges.of_function(torchs.f_locals.get("fn"), torchs.f_back)
            if self._compiled is not None:
                self._compiled.__enter__()

    def _leave_compiled(self) -> None:
        compiled, self._compiled = self._compiled, None
        if compiled is not None:
            compiled.__exit__(None, None, None)
        self._mode.resume()

    def _remove_hooks(self) -> None:
        self._modules.remove()
        if not anything_compiled():  # else they stay, and do nothing
            self._optimizers.remove()

    def _around_backward(self, original: Any) -> Any:
        @wraps(original)
        def _engine_run_backward(*args: Any, **kwargs: Any) -> Any:
            if not self._ranges.active or self._torch.compiler.is_compiling():
                return original(*args, **kwargs)
            caller = sys._getframe(1)  # noqa: SLF001
            kind = "grad" if caller.f_code.co_name == "grad" else "backward"
            mark = self._ranges.of_line(kind, caller, waits=False)
            del caller
            try:
                with self._mode.seen_in_backward(), mark or contextlib.nullcontext():
                    return original(*args, **kwargs)
            except BaseException as error:
                unframed(error)
                raise
            finally:
                self._mode.put_on_if_due()

        return _engine_run_backward


def _disable_in_children(ranges: Ranges) -> None:
    """See to it that a forked child marks nothing."""
    if hasattr(os, "register_at_fork") and not _registered:
        _registered.append(True)
        os.register_at_fork(after_in_child=_disable_all)
    _all.add(ranges)


_registered: list[bool] = []


def _disable_all() -> None:
    for each in list(_all):
        each.active = False
