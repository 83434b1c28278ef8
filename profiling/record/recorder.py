"""Drives ``torch.profiler`` by hand: prepare, start, mark steps, stop, export. All on one thread."""

# ruff: noqa: SLF001 - torch tells only privately whether a profiler runs

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from stallscope.profiling.folder.launch import Launch
from stallscope.profiling.record.plan import Detail
from stallscope.profiling.watch.own_thread import no_signals
from stallscope.profiling.words.fd import without_lines
from stallscope.profiling.words.sentences import NO_STACKS, device_interface_in_use, profiler_refused
from stallscope.traces.model.manifest import Finding

KINETO_LOG = "KINETO_LOG_LEVEL"
KINETO_SILENT = "99"  # above all its levels
KINETO_THREAD = b"External init callback must run in same thread"  # said before it asks for the level, and harmless


class NoProfilerError(Exception):
    """torch's profiler does not start, not even for the host alone; ``Recorder.notes`` says why."""


class Recorder:
    """``torch.profiler`` with CPU and device activities, synchronization events, and the details asked for.

    ``own`` is True while torch's profiler functions are called from here, on the thread that asks, so that the guard
    against the user's own profilers lets them pass.
    """

    def __init__(self, torch: ModuleType, *, cpu_only: bool, launch: Launch | None = None) -> None:
        self._torch: Any = torch
        self._cpu_only, self._launch = cpu_only, launch
        self._profile: Any = None
        self._started = False
        self._lost = False
        self._ending = threading.Lock()
        self._range: Any = None
        self._options: dict[str, Any] = {}  # of the profiler
        self._enter, self._leave = _ranges(torch)
        self._notes: dict[str, Finding] = {}  # by name
        self._calling = 0  # the thread on which torch's profiler functions are called from here
        self.used = False  # kineto has been started in this process

    @property
    def own(self) -> bool:
        """Whether this thread is just being sent into torch's profiler by us."""
        return self._calling == threading.get_ident()

    def available(self) -> bool:
        """Whether no profiler is running on this thread."""
        return not self._torch._C._autograd._profiler_enabled()

    def operations(self) -> int | None:
        """How many autograd nodes this thread has made."""
        asked = getattr(self._torch.autograd, "_get_sequence_nr", None)
        return int(asked()) if asked is not None else None

    def prepare(self, device: str, detail: Detail) -> tuple[list[str], list[str]]:
        """Create the profiler and warm it up."""
        profiler = self._torch.profiler
        kinds = profiler.ProfilerActivity
        wanted = [kinds.CPU]
        kind = getattr(kinds, device.upper(), None)
        if (
            kind is not None
            and not self._cpu_only
            and kind in profiler.supported_activities()
            and kind is not kinds.CPU
        ):
            wanted.append(kind)
        stacks = detail.stacks and not _traced()
        if stacks != detail.stacks:
            self._note("stack_tracer_lost", NO_STACKS)
        self._options = {"activities": wanted, "record_shapes": detail.shapes, "with_stack": stacks}
        self._started, self.used = False, True
        self._or_host_alone(self._prepare)
        return self._activities(), replace(detail, stacks=stacks).names

    def start(self) -> list[str]:
        """Begin to record."""
        self._or_host_alone(self._start)
        return self._activities()

    def begin_step(self, index: int) -> None:
        """Open the range of step ``index`` of the run; the name is TensorBoard's."""
        self._range = self._enter(f"ProfilerStep#{index}")

    def end_step(self) -> None:
        """Close the range of the open step."""
        if self._range is not None:
            self._leave(self._range)
            self._range = None

    def stop(self) -> bool:
        """Stop; False if the session was taken from us."""
        self.end_step()
        with self._ending:
            if self._lost or not self._torch._C._autograd._profiler_enabled():
                self._forget()
                return False
            self._say_rank()
            self._call(self._profile.stop_trace)
            return True

    def export(self, path: Path) -> None:
        """Write the trace, plain; the exporter verifies and compresses it."""
        try:
            self._call(lambda: self._profile.export_chrome_trace(str(path)))
        finally:
            self._forget()

    def abandon(self) -> None:
        """Stop whatever has been started and drop it."""
        if self._profile is None:
            return
        self.end_step()
        with self._ending:
            try:
                if not self._started and not self._lost:  # only warmed up: kineto can be stopped once it has started
                    self._call(self._profile.start_trace)
                if not self._lost and self._torch._C._autograd._profiler_enabled():
                    self._call(self._profile.stop_trace)
            finally:
                self._forget()

    def lose(self) -> None:
        """Never stop nor export what is being recorded; one that is just being stopped is waited for."""
        with self._ending:
            self._lost = self._profile is not None

    @property
    def notes(self) -> list[Finding]:
        """What could not be recorded."""
        return list(self._notes.values())

    # --- inside ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        options = dict(self._options)
        if len(options["activities"]) > 1:
            options["experimental_config"] = self._experimental()
        self._profile = self._torch.profiler.profile(**options)
        with _kineto_silenced(), no_signals():  # it starts threads
            self._call(self._profile.prepare_trace)

    def _start(self) -> None:
        if self._profile is None:
            self._prepare()
        with no_signals():
            self._call(self._profile.start_trace)
        self._started = True

    def _or_host_alone(self, begin: Callable[[], None]) -> None:
        """Begin; where the device's interface is not to be had, once more without it."""
        try:
            begin()
        except RuntimeError as error:
            self._forget()
            if len(self._options["activities"]) == 1:
                self._note("profiler_refused", profiler_refused(error))
                raise NoProfilerError from error
            self._note("device_interface_in_use", device_interface_in_use(error))
            self._options["activities"] = self._options["activities"][:1]
            self._or_host_alone(begin)

    def _activities(self) -> list[str]:
        return [each.name for each in self._options["activities"]]

    def _note(self, name: str, text: str) -> None:
        self._notes.setdefault(name, Finding(name=name, text=text))

    def _forget(self) -> None:
        self._erase_step_count()
        self._profile, self._started, self._lost, self._range = None, False, False, None

    def _erase_step_count(self) -> None:
        """What ``profile.__exit__`` does beside stopping."""
        tracker = getattr(self._torch.autograd.profiler, "KinetoStepTracker", None)
        if tracker is not None:
            tracker.erase_step_count("ProfilerStep")

    def _call(self, function: Any) -> None:
        self._calling = threading.get_ident()
        try:
            function()
        finally:
            self._calling = 0

    def _experimental(self) -> Any:
        """Options that record what waits for what on the device; None where this torch has none."""
        make = getattr(self._torch._C._profiler, "_ExperimentalConfig", None)
        try:
            return make(enable_cuda_sync_events=True) if make is not None else None
        except TypeError:
            return None

    def _say_rank(self) -> None:
        """Put the rank into the trace, as torch does only where the process group was there when the profiler started.

        Without a process group the launcher's word is taken.
        """
        facts = distributed_facts(self._torch, self._profile, self._launch)
        if facts is not None:
            self._profile.add_metadata_json("distributedInfo", json.dumps(facts))


def _ranges(torch: Any) -> tuple[Callable[[str], Any], Callable[[Any], None]]:
    """What opens a range and what closes it: torch's binding, for a third of what ``record_function`` costs.

    Both make the same row.
    """
    autograd = getattr(torch, "autograd", None)
    enter = getattr(autograd, "_record_function_with_args_enter", None)
    leave = getattr(autograd, "_record_function_with_args_exit", None)
    if enter is not None and leave is not None:
        return enter, leave

    def enter_slowly(name: str) -> Any:
        opened = torch.autograd.profiler.record_function(name)
        opened.__enter__()
        return opened

    return enter_slowly, lambda opened: opened.__exit__(None, None, None)


def _traced() -> bool:
    """Whether a debugger, a coverage tool or cProfile listens: torch would take its place, and not give it back."""
    return any(each is not None for each in (sys.getprofile(), threading.getprofile()))


@contextlib.contextmanager
def _kineto_silenced() -> Iterator[None]:
    """Keep kineto from logging each start and stop to the script's stderr; it asks once, at the first preparation."""
    if KINETO_LOG in os.environ:
        yield
        return
    other_thread = threading.current_thread() is not threading.main_thread()
    os.environ[KINETO_LOG] = KINETO_SILENT
    try:
        with without_lines(holding=KINETO_THREAD) if other_thread else contextlib.nullcontext():
            yield
    finally:
        os.environ.pop(KINETO_LOG, None)


def distributed_facts(torch: Any, profile: Any, launch: Launch | None) -> dict[str, Any] | None:
    """What belongs under ``distributedInfo`` in a trace: torch's own facts where this torch can tell them."""
    distributed = getattr(torch, "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        if launch is None:
            return None
        return {"backend": "unknown", "rank": launch.rank, "world_size": launch.world_size}
    ask = getattr(profile, "_get_distributed_info", None)
    theirs = ask() if ask is not None else None
    if theirs:
        return dict(theirs)
    return {
        "backend": distributed.get_backend(),
        "rank": distributed.get_rank(),
        "world_size": distributed.get_world_size(),
    }


def rank_and_world(torch: Any | None, launch: Launch | None) -> tuple[int, int]:
    """The rank of this process and the number of ranks: from the process group, else from what launched it."""
    distributed = getattr(torch, "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank()), int(distributed.get_world_size())
    return (launch.rank, launch.world_size) if launch is not None else (0, 1)


def memory_peaks(torch: Any | None) -> dict[str, int]:
    """The peak memory figures of all CUDA devices, if the script has used CUDA, and its allocator counts."""
    if torch is None or not torch.cuda.is_initialized():
        return {}
    stats: list[dict[str, Any]] = []
    with contextlib.suppress(Exception):  # an allocator of the script's own (CUDAPluggableAllocator) has no statistics
        stats = [torch.cuda.memory_stats(index) for index in range(torch.cuda.device_count())]
    keys = {
        "peak_allocated_bytes": "allocated_bytes.all.peak",
        "peak_reserved_bytes": "reserved_bytes.all.peak",
        "alloc_retries": "num_alloc_retries",
        "ooms": "num_ooms",
    }
    return {field: sum(int(each.get(key, 0)) for each in stats) for field, key in keys.items() if stats}
