"""Marks of the attribution window: ranges that say which line called, and which module ran. Times are not its business.

Ranges are called ``stallscope.site#N`` and ``stallscope.module#N``; N indexes the tables ``call_sites`` and
``modules``, since names in a trace survive only as ASCII. Call sites are seen by a ``TorchFunctionMode`` (see
``function_mode``), masks in indexing included. It is off while compiled code runs: that checks
which modes are on, and would be compiled again (replaced methods of ``Tensor``, too, would make it so). What takes no
tensor (``torch.cuda.synchronize``) is replaced until the window ends (see ``patches``).

Root module calls, backward passes and optimizer steps are sites as well. All is taken away at the window's end.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from types import FrameType, ModuleType
from typing import Any

from stallscope.profiling.machine.device import find_device
from stallscope.profiling.mark import patches, synchronizing
from stallscope.profiling.mark.callsites import CallSites
from stallscope.profiling.mark.function_mode import FunctionMode, unframed
from stallscope.profiling.mark.module_ranges import ModuleRanges
from stallscope.profiling.mark.optimizer_ranges import OptimizerRanges
from stallscope.profiling.mark.patches import Patches
from stallscope.profiling.watch.compiled import Gate, anything_compiled, inside_compiled
from stallscope.profiling.watch.imports import when_imported
from stallscope.traces.model.manifest import CallSite, Finding, NamedModule

COMPILED = "the script compiles code, and this torch does not tell when that runs: functions are named instead of lines"

_all: weakref.WeakSet[Marks] = weakref.WeakSet()


class Marks:
    """Marks one window, on the thread that installs it (modules: on every thread). Used once."""

    def __init__(self, torch: ModuleType, *, module_ranges: bool = True, call_sites: bool = True) -> None:
        self.active = False
        self._torch: Any = torch
        self._call_sites = call_sites
        self._problems: list[Finding] = []
        self._devices = _devices(torch, on_gpu=find_device(torch).queues)
        self._sites = CallSites(on_gpu=self._devices.on_gpu)
        self._calls = synchronizing.calls(torch) if call_sites else {}
        self._mode: FunctionMode | None = None
        self._gated = False
        self._compiled: Any = None  # the range of the compiled function that is running
        self.by_function = False  # lines cannot be told
        self._due = False  # the mode is to be put on where no compiled code is running: after a backward pass
        self._forget_import: Callable[[], None] = lambda: None
        self._suspended = 0  # calls that are running for which the mode was taken off
        self._resumes = False
        self._owner = 0
        self._patches = Patches(torch, self)
        self._modules = ModuleRanges(torch, self, ranges=module_ranges, sites=call_sites)
        self._optimizers = OptimizerRanges(torch, self)
        self._new_range = _range_maker(torch)
        self._unwatched = torch._C.DisableTorchFunction  # noqa: SLF001

    # --- what there is to read -------------------------------------------------------------------

    @property
    def call_sites(self) -> list[CallSite]:
        """The N-th is that of ranges named ``stallscope.site#N``."""
        return self._sites.sites

    @property
    def modules(self) -> list[NamedModule]:
        """The N-th is that of ranges named ``stallscope.module#N``."""
        return self._modules.names.modules

    @property
    def notes(self) -> list[Finding]:
        """What should be said about the marks."""
        return [*self._problems, *self._modules.findings()]

    # --- in and out ------------------------------------------------------------------------------

    def install(self) -> bool:
        """Begin to mark; whether it worked. Called on the thread that trains, as the recorder runs. Does not raise."""
        try:
            self._install()
        except Exception as error:  # noqa: BLE001 - nothing of ours may reach the script
            self.fail(error)
            self.remove()
        return self.active

    def remove(self) -> None:
        """Take everything away again. Does not raise; may be called more than once."""
        self.active = False
        for step in (
            self._forget_import,
            self._leave_compiled,
            self._take_mode_off,
            self._patches.take_off,
            self._optimizers.close,
            self._modules.close,
            self._remove_hooks,
        ):
            try:
                step()
            except Exception as error:  # noqa: BLE001
                self.fail(error)

    def fail(self, error: Exception) -> None:
        """Mark nothing any more after a failure of ours."""
        self.active = False
        if not any(each.name == "marks_failed" for each in self._problems):
            text = f"call sites and modules were not marked to the end: {type(error).__name__}: {error}"
            self._problems.append(Finding(name="marks_failed", text=text))

    def _install(self) -> None:
        self._owner = threading.get_ident()
        _disable_in_children(self)
        self._modules.install()
        if self._call_sites:
            if not anything_compiled():  # compiled optimizers check for hooks, too
                self._optimizers.install()
            self._install_call_sites()
        self.active = True

    def _install_call_sites(self) -> None:
        self._patches.mark(patches.waits_without_tensors(self._torch))
        if hasattr(self._torch.autograd, "_engine_run_backward"):
            self._patches.replace(self._torch.autograd, "_engine_run_backward", self._around_backward)
        self._forget_import = when_imported("torch._dynamo.eval_frame", self._gate_off)
        if anything_compiled() and not self._gated:
            self._without_lines()
            return
        self._mode = FunctionMode(self._torch, self)
        self._due = inside_compiled()  # model.compile() in place runs our hooks, and so this, inside
        if not self._due:
            self._mode.put_on()

    def _gate_off(self, dynamo: ModuleType) -> None:
        """Keep the mode off while compiled code runs, where this torch tells when it does."""
        try:
            if hasattr(dynamo, Gate.SWITCH):
                self._patches.replace(
                    dynamo, Gate.SWITCH, Gate(self._enter_compiled, self._leave_compiled, self._owner).around
                )
                self._gated = True
            else:  # it has been imported just now: something may be compiled soon
                self._take_mode_off()
                self._without_lines()
        except Exception as error:  # noqa: BLE001
            self.fail(error)

    def _without_lines(self) -> None:
        """Name functions where lines cannot be told: those of modules, which hooks see."""
        if not self.by_function:
            self.by_function = True
            self._problems.append(Finding(name="compiled", text=COMPILED))

    def _enter_compiled(self, torchs: FrameType) -> None:
        """Compiled code tells no lines: all it does belongs to the function that was compiled."""
        self.suspend()
        if self.active:
            self._compiled = self.range_of_function(torchs.f_locals.get("fn"), torchs.f_back)
            if self._compiled is not None:
                self._compiled.__enter__()

    def _leave_compiled(self) -> None:
        compiled, self._compiled = self._compiled, None
        if compiled is not None:
            compiled.__exit__(None, None, None)
        self.resume()

    def _take_mode_off(self) -> None:
        if self._mode is not None and self._on_owner():
            self._mode.take_off_for_good()
            self._mode = None

    def _remove_hooks(self) -> None:
        self._modules.remove()
        if not anything_compiled():  # else they stay, and do nothing
            self._optimizers.remove()

    # --- what is around calls --------------------------------------------------------------------

    def range_of_call(self, function: Any, args: Any, kwargs: Any, caller: FrameType) -> Any:
        """Return the range of a call into torch that can synchronize, None for others."""
        try:
            self._modules.torch_called(caller)
            call = self._calls.get(function)
            waits = None if call is None else self._waits(call.rule, args, kwargs)
        except Exception as error:  # noqa: BLE001
            self.fail(error)
            return None
        return None if call is None or waits is None else self.range_of(call.kind, caller, waits=waits)

    def _waits(self, rule: synchronizing.Rule, args: Any, kwargs: Any) -> bool | None:
        """Ask a rule, which looks at tensors: no mode or subclass of the user's sees that."""
        try:
            with self._unwatched():
                return rule(self._devices, args, kwargs)
        except Exception:  # noqa: BLE001 - a class of the script's that does not answer as tensors do
            return None

    def range_of(self, kind: str, caller: FrameType, *, waits: bool) -> Any:
        """Return the range of a call site, None where it is nobody's."""
        try:
            number = self._sites.number(kind, caller, waits=waits)
        except Exception as error:  # noqa: BLE001
            self.fail(error)
            return None
        return None if number is None else self._new_range(f"stallscope.site#{number}")

    def range_of_function(self, function: Any, caller: FrameType | None) -> Any:
        """Return the range of all that a function calls, where lines cannot be told; None: it is not the user's."""
        try:
            number = self._sites.number_function(function, caller) if self._call_sites else None
        except Exception as error:  # noqa: BLE001
            self.fail(error)
            return None
        return None if number is None else self._new_range(f"stallscope.site#{number}")

    def range_named(self, name: str) -> Any:
        """Return a range to be entered once."""
        return self._new_range(name)

    def suspend(self) -> None:
        """Take the mode off for a module that computes in another way where it sees one."""
        if self._mode is not None and self._on_owner():
            if not self._suspended:
                self._resumes = self._mode.on  # not inside a call that is being seen
                self._mode.take_off()
            self._suspended += 1

    def resume(self) -> None:
        """Put it on again after the outermost such module."""
        if self._mode is not None and self._on_owner() and self._suspended:
            self._suspended -= 1
            if not self._suspended and self._resumes and self.active:
                self._mode.put_on()

    def _around_backward(self, original: Any) -> Any:
        @wraps(original)
        def _engine_run_backward(*args: Any, **kwargs: Any) -> Any:
            if not self.active or self._torch.compiler.is_compiling():
                return original(*args, **kwargs)
            caller = sys._getframe(1)  # noqa: SLF001
            kind = "grad" if caller.f_code.co_name == "grad" else "backward"
            mark = self.range_of(kind, caller, waits=False)
            del caller
            try:
                with self._seen_in_backward(), mark or contextlib.nullcontext():
                    return original(*args, **kwargs)
            except BaseException as error:
                unframed(error)
                raise
            finally:
                self._put_on_if_due()

        return _engine_run_backward

    def _put_on_if_due(self) -> None:
        if self._due and self.active and self._mode is not None and self._on_owner() and not inside_compiled():
            self._due = False
            self._mode.put_on()

    @contextlib.contextmanager
    def _seen_in_backward(self) -> Iterator[None]:
        """Put the mode on in a backward pass, which is being seen itself: hooks and recomputed forwards run in it."""
        mode = self._mode
        if mode is None or self._suspended or not self._on_owner() or mode.on or anything_compiled():
            yield
            return
        mode.put_on()
        try:
            yield
        finally:
            mode.take_off()

    def _on_owner(self) -> bool:
        return threading.get_ident() == self._owner


def _devices(torch: Any, *, on_gpu: bool) -> synchronizing.Devices:
    masks = frozenset({torch.bool, torch.uint8})
    return synchronizing.Devices(torch.Tensor, torch.device, masks, on_gpu)


def _range_maker(torch: Any) -> Callable[[str], Any]:
    """Return what makes a range of a name: torch's cheap one, or else its public one."""
    fast = getattr(getattr(torch._C, "_profiler", None), "_RecordFunctionFast", None)  # noqa: SLF001
    return fast if fast is not None else torch.profiler.record_function  # type: ignore[no-any-return]


def _disable_in_children(marks: Marks) -> None:
    """See to it that a forked child marks nothing."""
    if hasattr(os, "register_at_fork") and not _registered:
        _registered.append(True)
        os.register_at_fork(after_in_child=_disable_all)
    _all.add(marks)


_registered: list[bool] = []


def _disable_all() -> None:
    for each in list(_all):
        each.active = False
