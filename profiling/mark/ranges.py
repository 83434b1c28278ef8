"""Ranges of one attribution window: what marks a call, and the table that says what the ranges' names mean.

Ranges are called ``stallscope.site#N`` and ``stallscope.module#N``; N indexes the tables ``call_sites`` and
``modules``, since names in a trace survive only as ASCII.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from stallscope.profiling.machine.device import find_device
from stallscope.profiling.mark import synchronizing
from stallscope.profiling.mark.callsites import CallSites
from stallscope.profiling.mark.direct_calls import DirectCalls
from stallscope.profiling.mark.host_born import HostBorn
from stallscope.profiling.watch.guarded import Guarded
from stallscope.traces.model.manifest import Finding

COMPILED = "the script compiles code, and this torch does not tell when that runs: functions are named instead of lines"


class Ranges:
    """Makes ranges while ``active``. ``call_sites``: whether lines are marked at all. A failure of ours ends it."""

    def __init__(self, torch: ModuleType, *, call_sites: bool) -> None:
        self.active = False
        self.by_function = False  # lines cannot be told
        self.problems: list[Finding] = []
        self.guarded = Guarded(self.fail)
        on_gpu = find_device(torch).queues
        self.call_sites = CallSites(on_gpu=on_gpu)
        self.direct = DirectCalls(torch)
        self._lines = call_sites
        self._devices = _devices(torch, on_gpu=on_gpu)
        self._calls = synchronizing.calls(torch) if call_sites else {}
        self._host_born = None if on_gpu or not call_sites else HostBorn(torch)
        self._new = _range_maker(torch)
        self._unwatched = torch._C.DisableTorchFunction  # noqa: SLF001

    def fail(self, error: Exception) -> None:
        """Mark nothing any more after a failure of ours."""
        self.active = False
        if not any(each.name == "marks_failed" for each in self.problems):
            text = f"call sites and modules were not marked to the end: {type(error).__name__}: {error}"
            self.problems.append(Finding(name="marks_failed", text=text))

    def without_lines(self) -> None:
        """Name functions where lines cannot be told: those of modules, which hooks see."""
        if not self.by_function:
            self.by_function = True
            self.problems.append(Finding(name="compiled", text=COMPILED))

    def of_torch_call(self, function: Any, args: Any, kwargs: Any, caller: FrameType) -> Any:
        """The range of a call into torch that can synchronize, None for others. Never raises."""
        with self.guarded:
            self.direct.torch_called(caller)
            call = self._calls.get(function)
            told = None if call is None else self._told(call, args, kwargs)
            if told is not None:
                kind, waits = told
                return self.of_line(kind, caller, waits=waits)
        return None

    def torch_returned(self, function: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Note what a call into torch has made. Never raises."""
        if self._host_born is not None:
            with self.guarded, contextlib.suppress(Exception), self._unwatched():
                self._host_born.called(function, args, kwargs, result)

    def of_line(self, kind: str, caller: FrameType, *, waits: bool) -> Any:
        """The range of a call of ``kind`` by the line that ``caller`` runs, None where it is nobody's. Never raises."""
        with self.guarded:
            return self._of(self.call_sites.index_of_line(kind, caller, waits=waits))
        return None

    def of_function(self, function: Any, caller: FrameType | None) -> Any:
        """The range of all that a function calls, where lines cannot be told; None: not the user's. Never raises."""
        with self.guarded:
            return self._of(self.call_sites.index_of_function(function, caller)) if self._lines else None
        return None

    def of_module(self, index: int) -> Any:
        """The range of a module's call; ``index``: of the table of modules."""
        return self._new(f"stallscope.module#{index}")

    def _of(self, index: int | None) -> Any:
        return None if index is None else self._new(f"stallscope.site#{index}")

    def _told(self, call: synchronizing.Call, args: Any, kwargs: Any) -> tuple[str, bool] | None:
        """What a call is called, and whether it waits, by its rule; None: it is of no interest.

        The rule looks at tensors: no mode or subclass of the user's sees that.
        """
        with contextlib.suppress(Exception), self._unwatched():  # a class of the script's may not answer as tensors do
            waits = call.rule(self._devices, args, kwargs)
            if waits is None or (
                self._host_born is not None and self._host_born.holds(call.reads_number(self._devices, args))
            ):
                return None
            return call.kind_of(self._devices, args), waits
        return None


def _devices(torch: Any, *, on_gpu: bool) -> synchronizing.Devices:
    masks = frozenset({torch.bool, torch.uint8})
    return synchronizing.Devices(torch.Tensor, torch.device, masks, on_gpu)


def _range_maker(torch: Any) -> Callable[[str], Any]:
    """What makes a range of a name, to be entered once: torch's cheap one, or else its public one."""
    fast = getattr(getattr(torch._C, "_profiler", None), "_RecordFunctionFast", None)  # noqa: SLF001
    return fast if fast is not None else torch.profiler.record_function  # type: ignore[no-any-return]
