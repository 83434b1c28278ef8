"""``stallscope profile``: run a script, record it, and end as it ended. Glues the stages of this folder together."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from stallscope.profiling.folder import sharing
from stallscope.profiling.folder.export import RunFolder
from stallscope.profiling.machine.device import find_device
from stallscope.profiling.mark.marks import Marks
from stallscope.profiling.record import plan
from stallscope.profiling.record.capture import Capture
from stallscope.profiling.record.pace import Pace
from stallscope.profiling.record.recorder import TorchRecorder
from stallscope.profiling.run import ending, runner
from stallscope.profiling.run.account import Account
from stallscope.profiling.run.children import ChildWatch
from stallscope.profiling.run.options import Options, run_name
from stallscope.profiling.run.progress import to_stderr
from stallscope.profiling.run.run_findings import findings_of_run, messages_of
from stallscope.profiling.watch import guard
from stallscope.profiling.watch.hooks import Hooks
from stallscope.profiling.watch.imports import when_imported
from stallscope.profiling.watch.short_ways import Take
from stallscope.profiling.watch.steps import StepTracker
from stallscope.profiling.watch.thread_end import ThreadEnds
from stallscope.traces.model.manifest import Finding, Manifest

OWN_PROBLEMS = ("recorder_failed", "script_failed")  # findings that one rank may have alone


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a profiled script ended. ``run_folder`` is None if it holds no trace to be summarized.

    ``rank``: of the process; the first of several speaks for all.
    """

    run_folder: Path | None
    messages: tuple[str, ...]
    exit_code: int
    interrupted: bool = False  # by Ctrl-C
    rank: int = 0
    world_size: int = 1

    def await_ranks(self) -> None:
        """Give the other ranks a moment to write up theirs, if the script ended well."""
        if self.world_size > 1 and self.exit_code == 0 and self.run_folder is not None:
            sharing.await_ranks(self.run_folder, self.world_size)

    def leave(self) -> NoReturn:
        """End this process as the script would have ended it."""
        if self.interrupted:
            ending.die_of_interrupt()
        sys.exit(self.exit_code)


_active: list[Session] = []


def active() -> Session | None:
    """Return the recording that this process is in; None if there is none."""
    return _active[-1] if _active else None


def profile(options: Options) -> Outcome:
    """Run a script under the profiler, to its end. Its output, files and exit code are what python gives it.

    Raises:
        BadInput: before the script has started: there is no such script, or the log folder cannot be one.
    """
    target = runner.Target(options.target, options.is_module, options.args)
    target.check()
    session = Session(options, run_name(options, target))
    session.begin()
    ended = runner.run(target)
    if os.getpid() != session.pid:
        ending.leave_child(ended, used_kineto=session.used_kineto)
    return session.end(ended)


class Session:
    """One profiled run of one process."""

    def __init__(self, options: Options, name: str) -> None:
        self._options = options
        self._capture: Capture | None = None
        self._recorder: TorchRecorder | None = None
        self._hooks = Hooks(self, self._failed)
        self._account = Account(options, self._hooks)
        self._progress = to_stderr(wanted=options.progress)
        self._plan = plan.make(
            options.plan,
            skip=options.skip,
            warmup=options.warmup,
            steps=options.steps,
            attribution=options.attribution,
        )
        self._threads = ThreadEnds(self._thread_ends)
        self._forget_import: Callable[[], None] = lambda: None
        self._unguard: Callable[[], None] = lambda: None
        self._folder = RunFolder(
            options.logdir.absolute(), name, self._account.manifest, self._with_machine, self._account.launch
        )

    @property
    def pid(self) -> int:
        """The process that records; a child made by ``os.fork`` does not."""
        return self._account.pid

    @property
    def used_kineto(self) -> bool:
        """Whether torch's profiler has been started in this process."""
        return self._recorder is not None and self._recorder.used

    # --- beginning -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Arrange to be called when the script imports torch; at once if it has been imported."""
        _active.append(self)
        self._forget_import = when_imported("torch", self._begin_recording)

    def _begin_recording(self, torch: ModuleType) -> None:
        if os.getpid() != self.pid:
            return
        try:
            self._account.torch = torch
            self._recorder = recorder = TorchRecorder(
                torch, cpu_only=self._options.cpu_only, launch=self._account.launch
            )
            self._capture = self._account.capture = Capture(
                self._plan,
                recorder=recorder,
                device=lambda: find_device(torch),
                sight=self,
                output=self._folder,
                pace=self._pace(),
                new_marks=lambda: Marks(torch),
                report=self._progress.report,
            )
            self._capture.on_adopt(self._threads.watch)
            self._account.children = ChildWatch()
            self._account.children.install()
            self._hooks.install(torch)
            self._unguard = guard.install(
                lambda: recorder.own, self._capture, lambda: self._hooks.enabled, self._hooks.fail
            )
        except Exception as error:  # noqa: BLE001 - the script runs all the same
            self._hooks.disable()
            self._failed(error)

    def _pace(self) -> Pace:
        launch = self._account.launch
        return Pace() if launch is None else Pace(lambda: self._folder.path, leads=launch.rank == 0)

    def _thread_ends(self) -> None:
        try:
            if self._hooks.enabled and self._capture is not None:
                self._hooks.settle()
                self._capture.thread_ends()
        except Exception as error:  # noqa: BLE001 - the thread ends all the same
            self._hooks.fail(error)

    def handed_over(self) -> None:
        """Pass on that the program itself says from now on where steps end."""
        if self._capture is not None:
            self._capture.let_go()

    # --- what hooks and capture ask --------------------------------------------------------------

    def boundary(self, tracker: StepTracker) -> None:
        """Pass a step boundary on."""
        if self._capture is not None:
            self._capture.boundary(tracker)

    def sight_lost(self, tracker: StepTracker) -> None:
        """Pass on that forwards are needed again."""
        if self._capture is not None:
            self._capture.sight_lost(tracker)

    def counted(self, tracker: StepTracker, marks: list[int]) -> None:
        """Pass on steps that were only counted."""
        if self._capture is not None:
            self._capture.counted(tracker, marks)

    def count(self, tracker: StepTracker, until: tuple[int, int] | None) -> None:
        """Only count steps from now on."""
        self._hooks.count(tracker, until)

    def long_way(self) -> None:
        """Only count steps no longer."""
        self._hooks.long_way()

    def hide(self, tracker: StepTracker) -> bool:
        """Take the forward hooks out."""
        hidden = self._hooks.hide(tracker)
        self._account.hidden_once |= hidden
        return hidden

    def glance(self, tracker: StepTracker) -> bool:
        """See only the forwards that begin a step."""
        seen_less = self._hooks.glance(tracker)
        self._account.hidden_once |= seen_less
        return seen_less

    def stride(self, tracker: StepTracker, steps: int, take: Take) -> None:
        """Tell ``take`` alone where steps end."""
        self._hooks.stride(tracker, steps, take)

    def show(self) -> None:
        """Put the forward hooks in."""
        self._hooks.show()

    def _failed(self, error: Exception) -> None:
        text = (
            f"recording stopped after a failure of ours ({type(error).__name__}: {error}); the script was not affected"
        )
        self._account.findings.append(Finding(name="recorder_failed", text=text))
        if self._capture is not None:
            with contextlib.suppress(Exception):
                self._capture.abort()

    # --- the end ---------------------------------------------------------------------------------

    def step(self) -> None:
        """Note that the program says: here a step ends. Never raises."""
        self._hooks.mark()

    def end(self, ended: runner.Ending) -> Outcome:
        """Close what is open, write the manifest, and say what happened. The script's end stands, Ctrl-C or not."""
        try:
            return self.close(ended.exit_code, interrupted=ended.interrupted)
        except KeyboardInterrupt:
            self._hooks.disable()
            text = "interrupted while the run was written up: what is in its folder may be incomplete"
            return Outcome(None, (text,), ended.exit_code, ended.interrupted, *self._account.rank_and_world())

    def close(self, exit_code: int | None, *, interrupted: bool = False, found: tuple[Finding, ...] = ()) -> Outcome:
        """Do the same; ``exit_code`` None: the process goes on. ``found``: what else is to be told of the run."""
        self._account.findings.extend(found)
        with contextlib.suppress(ValueError):
            _active.remove(self)
        self._progress.clear()
        self._forget_import()
        with contextlib.suppress(Exception):
            self._finish_capture(for_good=exit_code is not None)
        self._account.exit_code, self._account.complete = exit_code, True
        self._account.interrupted = interrupted
        messages: list[str] = []
        try:
            self._account.machine = None
            messages = self._conclude()
        except Exception as error:  # noqa: BLE001 - the script's exit code stands
            messages.append(f"the run could not be written up ({type(error).__name__}: {error})")
        has_trace = bool(self._capture and any(window.trace for window in self._capture.windows))
        folder = self._folder.path if has_trace else None
        return Outcome(_shown(folder), tuple(messages), exit_code or 0, interrupted, *self._account.rank_and_world())

    def _finish_capture(self, *, for_good: bool) -> None:
        try:
            if self._capture is not None and self._hooks.enabled:
                self._hooks.settle()
                self._capture.finish()
        except Exception as error:  # noqa: BLE001
            self._hooks.fail(error)
        finally:
            self._hooks.remove(for_good=for_good)
            self._unguard()
            if self._account.children is not None:
                self._account.children.remove()

    def _conclude(self) -> list[str]:
        steps = self._account.steps()
        self._account.findings.extend(findings_of_run(self._account, steps, unwritable=bool(self._folder.problems)))
        if steps.count:
            self._folder.write_manifest()
        rank, world = self._account.rank_and_world()
        if rank != 0:
            return [f"rank {rank}: {text}" for text in self._own_problems()]
        where = []
        if self._folder.path is not None:
            recorded = self._capture is not None and self._capture.windows
            what = f"{steps.count} steps; recorded in" if recorded else "no trace; what is known of the run is in"
            ranks = f" (this is rank 0 of {world})" if world > 1 else ""
            where.append(f"{what} {_shown(self._folder.path)}{ranks}")
        interrupted = self._account.interrupted and steps.count > 0
        found = [*self._account.findings, *self._folder.findings]
        return messages_of(found, self._folder.problems, where, interrupted=interrupted)

    def _own_problems(self) -> list[str]:
        """Return what another rank than the first has to say: only what the first does not say of all."""
        own = [finding.text for finding in self._account.findings if finding.name in OWN_PROBLEMS]
        return own + self._folder.problems

    def _with_machine(self, manifest: Manifest) -> Manifest:
        return self._account.with_machine(manifest, kernel_rows=self._folder.kernel_rows)


def _shown(folder: Path | None) -> Path | None:
    """Return the folder relative to the current one where that is shorter."""
    if folder is not None:
        with contextlib.suppress(ValueError, OSError):
            return folder.relative_to(Path.cwd())
    return folder
