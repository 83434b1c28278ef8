"""``stallscope profile``: run a script, record it, and end as it ended. Glues the stages of this folder together."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from stallscope.profiling.folder import sharing
from stallscope.profiling.folder.export import RunFolder
from stallscope.profiling.machine.device import find_device
from stallscope.profiling.mark.marks import Marks
from stallscope.profiling.record.capture import Capture
from stallscope.profiling.record.other_profilers import give_way
from stallscope.profiling.record.pace import Pace
from stallscope.profiling.record.recorder import Recorder
from stallscope.profiling.run import ending, runner
from stallscope.profiling.run.account import Account
from stallscope.profiling.run.children import ChildWatch
from stallscope.profiling.run.options import DEFAULT_LOGDIR, Options, run_name
from stallscope.profiling.run.progress import to_stderr
from stallscope.profiling.run.run_findings import findings_of_run, messages_of
from stallscope.profiling.run.sampling import Sampler
from stallscope.profiling.run.sudden_end import before_exit
from stallscope.profiling.watch.events import Events
from stallscope.profiling.watch.guarded import Guarded
from stallscope.profiling.watch.hooks import Hooks
from stallscope.profiling.watch.imports import when_imported
from stallscope.profiling.watch.thread_end import ThreadEnds
from stallscope.profiling.words import voice
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
    """The recording that this process is in; None if there is none."""
    return _active[-1] if _active else None


def profile(options: Options) -> Outcome:
    """Run a script under the profiler, to its end. Its output, files and exit code are what python gives it.

    Raises:
        BadInput: before the script has started: there is no such script, or the log folder cannot be one.
    """
    target = runner.Target(options.target, options.is_module, options.args)
    target.check()
    session = Session(options, run_name(options, target))
    session.begin(whole=True)
    ended = runner.run(target)
    if os.getpid() != session.pid:
        ending.leave_child(ended, used_kineto=session.used_kineto)
    return session.end(ended)


class Session:
    """One profiled run of one process: puts the parts together, and takes them apart at the end."""

    def __init__(self, options: Options, name: str) -> None:
        self._options = options
        self._capture: Capture | None = None
        self._recorder: Recorder | None = None
        self._events = Events(self._failed)
        self._hooks = Hooks(self._events)
        self._account = Account(options, self._events)
        self._progress = to_stderr(wanted=options.progress)
        self._threads = ThreadEnds(self._thread_ends)
        self._sampler: Sampler | None = None
        self._out = contextlib.ExitStack()  # what takes out whatever is not in the hooks
        self._forget_import: Callable[[], None] = lambda: None
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

    def begin(self, *, whole: bool = False) -> None:
        """Arrange to be called when the script imports torch; at once if it has been imported.

        ``whole``: the run is the process, so it is also looked at where its time goes.
        """
        _active.append(self)
        if whole:
            self._sampler = Sampler(self._begun)
            self._sampler.start()
            self._folder.aside = self._options.logdir == DEFAULT_LOGDIR and self._account.launch is None
            self._out.callback(before_exit(partial(self._exits, voice.of_process())))
        self._forget_import = when_imported("torch", self._begin_recording)

    def _exits(self, ours: voice.Voice) -> None:
        """Say where the run is, in the last moment."""
        self._folder.settle()
        if self._folder.path is not None:
            count, where = self._account.steps().count, _shown(self._folder.path)
            ours.say(f"the script ended by os._exit: {count} steps; recorded in {where}")

    def _begun(self) -> bool:
        return any(each.optimizer_steps or each.root_forwards for each in self._events.trackers)

    def _begin_recording(self, torch: ModuleType) -> None:
        if os.getpid() == self.pid:
            with Guarded(self._give_up):
                self._record(torch)

    def _record(self, torch: ModuleType) -> None:
        self._account.torch = torch
        self._recorder = Recorder(torch, cpu_only=self._options.cpu_only, launch=self._account.launch)
        self._capture = self._account.capture = Capture(
            self._options.stages(),
            recorder=self._recorder,
            device=lambda: find_device(torch),
            sight=self._events.sight,
            output=self._folder,
            pace=self._pace(),
            new_marks=lambda: Marks(torch),
            report=self._progress.report,
        )
        self._capture.on_adopt(self._threads.watch)
        self._account.children = ChildWatch()
        self._out.callback(self._account.children.remove)
        self._account.children.install()
        self._hooks.install(torch, self._capture)
        self._out.callback(give_way(self._capture, self._recorder, self._events))

    def _pace(self) -> Pace:
        launch = self._account.launch
        return Pace() if launch is None else Pace(lambda: self._folder.path, leads=launch.rank == 0)

    def _thread_ends(self) -> None:
        if self._events.enabled and self._capture is not None:
            with self._events.guarded:
                self._events.sight.settle()
                self._capture.thread_ends()

    def _give_up(self, error: Exception) -> None:
        """Take a failure of ours before the hooks are in: the script runs all the same."""
        self._events.disable()
        self._failed(error)

    def _failed(self, error: Exception) -> None:
        text = f"recording stopped after a failure of ours ({_named(error)}); the script was not affected"
        self._account.findings.append(Finding(name="recorder_failed", text=text))
        if self._capture is not None:
            with contextlib.suppress(Exception):
                self._capture.abort()

    # --- the end ---------------------------------------------------------------------------------

    def step(self) -> None:
        """Note that the program says: here a step ends. Never raises."""
        self._events.mark()

    def end(self, ended: runner.Ending) -> Outcome:
        """Close what is open, write the manifest, and say what happened. The script's end stands, Ctrl-C or not."""
        try:
            return self.close(ended.exit_code, interrupted=ended.interrupted)
        except KeyboardInterrupt:
            self._events.disable()
            text = "interrupted while the run was written up: what is in its folder may be incomplete"
            return Outcome(None, (text,), ended.exit_code, ended.interrupted, *self._account.rank_and_world())

    def close(self, exit_code: int | None, *, interrupted: bool = False, findings: tuple[Finding, ...] = ()) -> Outcome:
        """Do the same; ``exit_code`` None: the process goes on. ``findings``: what else is to be told of the run."""
        self._account.findings.extend(findings)
        if self._sampler is not None and os.getpid() == self.pid:
            self._account.seen = self._sampler.stop()
        with contextlib.suppress(ValueError):
            _active.remove(self)
        self._progress.clear()
        self._forget_import()
        with contextlib.suppress(Exception):
            self._finish_capture(for_good=exit_code is not None)
        self._account.exit_code, self._account.complete = exit_code, True
        self._account.interrupted = interrupted
        messages: list[str] = []
        with Guarded(lambda error: messages.append(f"the run could not be written up ({_named(error)})")):
            self._folder.close()  # what is found out in the background is of the machine as it was before
            self._account.machine = None
            messages += self._conclude()
        has_trace = bool(self._capture and any(window.trace for window in self._capture.windows))
        folder = self._folder.path if has_trace else None
        return Outcome(_shown(folder), tuple(messages), exit_code or 0, interrupted, *self._account.rank_and_world())

    def _finish_capture(self, *, for_good: bool) -> None:
        if self._capture is not None and self._events.enabled:
            with self._events.guarded:
                self._events.sight.settle()
                self._capture.finish()
        self._hooks.remove(for_good=for_good)
        self._out.close()

    def _conclude(self) -> list[str]:
        steps = self._account.steps()
        self._account.findings.extend(findings_of_run(self._account, steps, unwritable=bool(self._folder.problems)))
        if steps.count:
            self._folder.write_manifest()
        self._folder.settle()
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
        findings = [*self._account.findings, *self._folder.findings]
        return messages_of(findings, self._folder.problems, where, interrupted=interrupted)

    def _own_problems(self) -> list[str]:
        """What another rank than the first has to say: only what the first does not say of all."""
        own = [finding.text for finding in self._account.findings if finding.name in OWN_PROBLEMS]
        return own + self._folder.problems

    def _with_machine(self, manifest: Manifest) -> Manifest:
        return self._account.with_machine(manifest, kernel_rows=self._folder.kernel_rows)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _shown(folder: Path | None) -> Path | None:
    """The folder relative to the current one where that is shorter."""
    if folder is not None:
        with contextlib.suppress(ValueError, OSError):
            return folder.relative_to(Path.cwd())
    return folder
