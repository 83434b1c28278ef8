"""``stallscope profile``: run a script, record it, and end as it ended. Glues the stages of this folder together."""

# ruff: noqa: SLF001 - the interpreter's own end of a thread and of a process

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

import msgspec

from stallscope import __version__
from stallscope.profiling import ending, guard, machine, plan, runner
from stallscope.profiling.capture import Capture
from stallscope.profiling.device import find_device
from stallscope.profiling.export import RunFolder, worker_name
from stallscope.profiling.hooks import Hooks
from stallscope.profiling.imports import when_imported
from stallscope.profiling.progress import to_stderr
from stallscope.profiling.recorder import TorchRecorder, memory_peaks, rank_and_world
from stallscope.profiling.sentences import NO_OPTIMIZER, SHORT_ROUND, USER_PROFILER, no_steps
from stallscope.profiling.steps import StepTracker
from stallscope.traces.errors import BadInput
from stallscope.traces.manifest import Finding, Machine, Manifest, Steps

SIGTERM_WAIT = 5.0  # seconds given to traces that are still being compressed


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run and how to record it."""

    target: str  # path of a script, folder or zip; or a module's name
    is_module: bool
    args: tuple[str, ...]
    logdir: Path = Path("runs")
    name: str | None = None  # of the run folder; None: the script's
    steps: int = 20  # of the full timing window
    warmup: int = 3
    skip: int = 5
    cpu_only: bool = False
    progress: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a profiled script ended. ``run_folder`` is None if it holds no trace to be summarized."""

    run_folder: Path | None
    messages: tuple[str, ...]
    exit_code: int
    interrupted: bool = False  # by Ctrl-C

    def leave(self) -> NoReturn:
        """End this process as the script would have ended it."""
        if self.interrupted:
            ending.die_of_interrupt()
        sys.exit(self.exit_code)


def profile(options: Options) -> Outcome:
    """Run a script under the profiler, to its end. Its output, files and exit code are what python gives it.

    Raises:
        BadInput: before the script has started: there is no such script, or the log folder cannot be one.
    """
    target = runner.Target(options.target, options.is_module, options.args)
    target.check()
    session = _Session(options, _run_name(options, target))
    session.begin()
    ended = runner.run(target)
    if os.getpid() != session.pid:
        ending.leave_child(ended, used_kineto=session.used_kineto)
    return session.end(ended)


def _run_name(options: Options, target: runner.Target) -> str:
    name = options.name if options.name is not None else target.stem
    if not name or name in (".", "..") or Path(name).name != name or "\0" in name:
        raise BadInput(f"--name {name!r}: must be a plain folder name, without separators")
    if options.logdir.exists() and not options.logdir.is_dir():
        raise BadInput(f"--logdir {options.logdir}: is a file; name a folder")
    return name


class _Session:
    """One profiled run of one process."""

    def __init__(self, options: Options, name: str) -> None:
        self.pid = os.getpid()
        self._options = options
        self._torch: ModuleType | None = None
        self._capture: Capture | None = None
        self._recorder: TorchRecorder | None = None
        self._hooks = Hooks(self, self._failed)
        self._progress = to_stderr(wanted=options.progress)
        self._plan = plan.standard(skip=options.skip, warmup=options.warmup, steps=options.steps)
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._findings: list[Finding] = []
        self._machine: Machine | None = None
        self._worker: str | None = None
        self._hidden_once = False
        self._exit_code: int | None = None
        self._complete = False
        self._watched: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._forget_import: Callable[[], None] = lambda: None
        self._unguard: Callable[[], None] = lambda: None
        self._folder = RunFolder(options.logdir.absolute(), name, self._manifest, self._with_machine)

    @property
    def used_kineto(self) -> bool:
        """Whether torch's profiler has been started in this process."""
        return self._recorder is not None and self._recorder.used

    # --- beginning -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Arrange to be called when the script imports torch; catch SIGTERM."""
        self._forget_import = when_imported("torch", self._begin_recording)
        self._catch_sigterm()

    def _begin_recording(self, torch: ModuleType) -> None:
        if os.getpid() != self.pid:
            return
        try:
            self._torch = torch
            self._recorder = recorder = TorchRecorder(torch, cpu_only=self._options.cpu_only)
            self._capture = Capture(
                self._plan,
                recorder=recorder,
                device=lambda: find_device(torch),
                sight=self,
                output=self._folder,
                report=self._progress.report,
            )
            self._capture.on_adopt(self._watch_thread)
            self._hooks.install(torch)
            self._unguard = guard.install(lambda: recorder.own, self._capture, lambda: self._hooks.enabled)
        except Exception as error:  # noqa: BLE001 - the script runs all the same
            self._hooks.disable()
            self._failed(error)

    def _watch_thread(self) -> bool:
        """See to it that a recording ends with the thread it runs on; torch crashes otherwise."""
        thread = threading.current_thread()
        if thread is threading.main_thread() or thread in self._watched:
            return True
        ends = getattr(thread, "_delete", None)
        if ends is None or isinstance(thread, threading._DummyThread):
            return False

        def delete() -> None:
            try:
                if self._hooks.enabled and self._capture is not None:
                    self._hooks.settle()
                    self._capture.thread_ends()
            except Exception as error:  # noqa: BLE001
                self._hooks.fail(error)
            finally:
                ends()

        thread._delete = delete  # type: ignore[attr-defined]  # the last thing a thread calls
        self._watched.add(thread)
        return True

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

    def hide(self, tracker: StepTracker) -> bool:
        """Take the forward hooks out."""
        hidden = self._hooks.hide(tracker)
        self._hidden_once |= hidden
        return hidden

    def show(self) -> None:
        """Put the forward hooks in."""
        self._hooks.show()

    def _failed(self, error: Exception) -> None:
        text = (
            f"recording stopped after a failure of ours ({type(error).__name__}: {error}); the script was not affected"
        )
        self._findings.append(Finding(name="recorder_failed", text=text))
        if self._capture is not None:
            with contextlib.suppress(Exception):
                self._capture.abort()

    # --- the end ---------------------------------------------------------------------------------

    def end(self, ended: runner.Ending) -> Outcome:
        """Close what is open, write the manifest, and say what happened."""
        self._progress.clear()
        self._forget_import()
        with contextlib.suppress(Exception):
            self._finish_capture()
        self._exit_code, self._complete = ended.exit_code, True
        messages: list[str] = []
        try:
            self._machine = None
            messages = self._conclude()
        except Exception as error:  # noqa: BLE001 - the script's exit code stands
            messages.append(f"the run could not be written up ({type(error).__name__}: {error})")
        self._release_sigterm()
        has_trace = bool(self._capture and any(window.trace for window in self._capture.windows))
        folder = self._folder.path if has_trace else None
        return Outcome(_shown(folder), tuple(messages), ended.exit_code, ended.interrupted)

    def _finish_capture(self) -> None:
        try:
            if self._capture is not None and self._hooks.enabled:
                self._hooks.settle()
                self._capture.finish()
        except Exception as error:  # noqa: BLE001
            self._hooks.fail(error)
        finally:
            self._hooks.remove()
            self._unguard()

    def _conclude(self) -> list[str]:
        steps = self._steps()
        self._findings.extend(self._findings_of_run(steps))
        if steps.count:
            self._folder.write_manifest()
        messages = [finding.text for finding in self._findings] + self._folder.problems
        if self._folder.path is not None:
            recorded = self._capture is not None and self._capture.windows
            what = f"{steps.count} steps; recorded in" if recorded else "no trace; what is known of the run is in"
            messages.append(f"{what} {_shown(self._folder.path)}")
        return messages

    def _findings_of_run(self, steps: Steps) -> list[Finding]:
        found = []
        if self._torch is None:
            found.append(Finding(name="no_torch", text="the script never imported torch; there was nothing to record"))
        elif steps.count == 0 and self._hooks.trackers is not None:
            found.append(Finding(name="no_steps", text=no_steps(self._exit_code, self._options.args)))
        if self._trained_by_hand():
            found.append(Finding(name="no_optimizer", text=NO_OPTIMIZER))
        capture = self._capture
        if steps.count and self._exit_code and capture is not None:
            found.append(Finding(name="script_failed", text=f"the script ended with exit code {self._exit_code}"))
        if capture is not None and capture.windows and all(each.round == "short" for each in capture.windows):
            found.append(
                Finding(name="short_round", text=f"{SHORT_ROUND} ({self._options.steps} steps were asked for)")
            )
        if capture is not None and steps.count:
            if capture.lost_to_others:
                found.append(Finding(name="user_profiler", text=USER_PROFILER))
            if not capture.windows and not self._folder.problems:
                found.append(self._why_nothing(steps.count))
        return found

    def _why_nothing(self, count: int) -> Finding:
        shortest = self._plan.shortest
        if count < shortest:
            text = (
                f"the script ran {count} steps, too short for a recording: that takes {shortest} steps "
                f"(the first {self._plan.skip} are left alone, see --skip); let it run longer"
            )
            return Finding(name="too_short", text=text)
        if self._capture is not None and self._capture.lost_to_others:
            text = f"no {shortest} steps in a row were left between the script's own recordings: nothing was recorded"
        else:
            text = "no window could be recorded: the steps never repeated regularly"
        return Finding(name="not_recorded", text=text)

    def _trained_by_hand(self) -> bool:
        trackers = self._hooks.trackers
        return any(each.used_gradients for each in trackers) and not any(each.optimizer_steps for each in trackers)

    # --- the manifest ----------------------------------------------------------------------------

    def _steps(self) -> Steps:
        self._hooks.settle()
        trackers = list(self._hooks.trackers)
        trained = [each for each in trackers if each.source == "optimizer"]
        counted = trained or sorted(trackers, key=lambda each: each.root_forwards)[-1:]
        totals = [each.total() if self._complete else each.completed for each in counted]
        longest = counted[totals.index(max(totals))] if counted else StepTracker()
        return Steps(
            count=sum(totals),
            source=longest.source,
            optimizer_steps=sum(each.optimizer_steps for each in trackers),
            root_forwards=None if self._hidden_once else sum(each.root_forwards for each in trackers),
            dataloader_fetches=sum(each.fetches for each in trackers),
            scaler_updates=sum(each.scaler_updates for each in trackers),
            evaluation_forwards=None if self._hidden_once else sum(each.evaluation_forwards for each in trackers),
            period=longest.period.length or 1,
        )

    def _manifest(self) -> Manifest:
        rank, world = rank_and_world(self._torch)
        if self._worker is None:
            self._worker = worker_name(rank, world)
        options = self._options
        manifest = Manifest(
            stallscope=__version__,
            created=self._created,
            command=[*(["-m"] if options.is_module else []), options.target, *options.args],
            worker=self._worker,
            rank=rank,
            world_size=world,
            pid=self.pid,
            machine=NO_MACHINE,
            steps=self._steps(),
            windows=list(self._capture.windows) if self._capture is not None else [],
            findings=list(self._findings),
            exit_code=self._exit_code,
            complete=self._complete,
        )
        return msgspec.structs.replace(manifest, **memory_peaks(self._torch))

    def _with_machine(self, manifest: Manifest) -> Manifest:
        """Add the machine, which takes its time to find out, and what can be said only with it."""
        if self._machine is None:
            self._machine = machine.collect(with_torch=self._complete and self._torch is not None, touch_gpu=False)
        found = self._machine
        if self._complete and self._capture is not None:
            recorded = any(kind != "CPU" for window in manifest.windows for kind in window.activities)
            used = self._capture.device_name != "cpu" or find_device(self._torch).queues if self._torch else False
            rows = self._folder.kernel_rows if recorded else None
            extra = machine.findings_of_run(found, gpu_used=used, kernel_rows=rows)
            manifest = msgspec.structs.replace(manifest, findings=[*manifest.findings, *extra])
        return msgspec.structs.replace(manifest, machine=found)

    # --- SIGTERM ---------------------------------------------------------------------------------

    def _catch_sigterm(self) -> None:
        """Save what is closed before SIGTERM ends us. A handler that the script installs replaces ours."""
        if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return
        signal.signal(signal.SIGTERM, self._on_sigterm)
        os.register_at_fork(after_in_child=self._release_sigterm)

    def _on_sigterm(self, number: int, _frame: FrameType | None) -> None:
        try:
            self._hooks.disable()
            self._progress.clear()
            self._folder.close(SIGTERM_WAIT)
            if self._folder.path is not None:
                self._folder.write_manifest()
                sys.stderr.write(f"stallscope: ended by SIGTERM; recorded in {_shown(self._folder.path)}\n")
                sys.stderr.flush()
        except Exception:  # noqa: BLE001, S110 - nothing may keep the process from ending
            pass
        finally:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _release_sigterm(self) -> None:
        with contextlib.suppress(ValueError):  # not on the main thread
            if sys.platform != "win32" and signal.getsignal(signal.SIGTERM) == self._on_sigterm:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)


NO_MACHINE = Machine(os=sys.platform, python=sys.version.split()[0], cpu="unknown", cores=0, threads=None, torch=None)


def _shown(folder: Path | None) -> Path | None:
    """Return the folder relative to the current one where that is shorter."""
    if folder is not None:
        with contextlib.suppress(ValueError, OSError):
            return folder.relative_to(Path.cwd())
    return folder
