"""``--also-cpu``: how long a step of the same script takes on the CPU, measured and not modelled.

After the run, a second process runs the same command with every GPU hidden, in a *copy* of the current folder, its
output thrown away, and is ended as soon as its steps have been timed without the profiler, or after ``SECONDS``.

What that leaves open, and what is said to the user: a script that asks for a GPU by name ends with an error, and
nothing is known then; files that it names by an absolute path (or beside a script outside the current folder) are the
user's own, and it reads and writes them a second time. Hence the option: nobody gets this without asking for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from stallscope.profiling.run.options import Options
from stallscope.profiling.run.session import Outcome
from stallscope.profiling.words.sentences import INTERRUPTED
from stallscope.traces.model.errors import StallscopeError
from stallscope.traces.model.manifest import CpuRun, Manifest, Window
from stallscope.traces.runs.runs import load_manifests

SECONDS: Final = 60.0
POLL: Final = 0.2
GRACE: Final = 5.0  # seconds between asking the process to end and ending it
LARGEST: Final = 256_000_000  # bytes of the current folder that are copied
SKIPPED: Final = (".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".pytest_cache")
HIDDEN: Final = {
    "CUDA_VISIBLE_DEVICES": "",
    "HIP_VISIBLE_DEVICES": "-1",
    "ROCR_VISIBLE_DEVICES": "-1",
    "WANDB_MODE": "disabled",  # a measurement is no training run to be logged
}


@dataclass(frozen=True, slots=True)
class Start:
    """How the script was started: it may change folder and environment while it runs."""

    command: tuple[str, ...]  # script and arguments, or ``-m``, module and arguments
    folder: Path
    environment: Mapping[str, str]
    logdir: Path  # holds recordings: not copied

    @classmethod
    def now(cls, options: Options) -> Start:
        """What is so now, before the script runs."""
        command = (*(["-m"] if options.is_module else []), options.target, *options.args)
        return cls(command, Path.cwd(), dict(os.environ), options.logdir.absolute())


def after_run(start: Start, outcome: Outcome) -> Iterator[str]:
    """Time the script of a finished run on the CPU, keep that in the run's manifest, and yield what there is to say."""
    manifest = _manifest_in(outcome.run_folder)
    why_not = "the run has no recording" if manifest is None else _why_not(manifest, outcome)
    if outcome.run_folder is None or why_not:
        yield f"--also-cpu: nothing was timed on the CPU, for {why_not}"
        return
    yield f"--also-cpu: timing the same steps on the CPU, in a copy of the current folder, for {SECONDS:.0f} s at most"
    cpu = measure(start)
    add_to_manifest(outcome.run_folder, cpu)
    if cpu.steps:
        mean = cpu.duration_ns / (1e6 * cpu.steps)
        yield f"--also-cpu: {cpu.steps} steps on the CPU took {mean:.3g} ms each, without the profiler"
    else:
        yield f"--also-cpu: not to be measured: {cpu.why}"


def _why_not(manifest: Manifest, outcome: Outcome) -> str:
    if outcome.interrupted:
        return INTERRUPTED
    if outcome.exit_code:
        return f"the script ended with exit code {outcome.exit_code}"
    if manifest.world_size > 1:
        return "it ran on several ranks"
    machine = manifest.machine
    if (
        machine.torch_gpu is None
        or machine.gpu_usable is False
        or any(each.name == "script_chose_cpu" for each in manifest.findings)
    ):
        return "the run itself was on the CPU"
    return ""


def measure(start: Start, seconds: float = SECONDS) -> CpuRun:
    """Time the steps of a script on the CPU; the current folder stays as it is."""
    size = _size(start.folder, start.logdir)
    if size > LARGEST:
        return CpuRun(
            why=f"the current folder holds more than {LARGEST // 10**6} MB, too much to copy for a second run; start "
            "from a smaller folder, or profile once more with CUDA_VISIBLE_DEVICES= set and compare the two runs"
        )
    with tempfile.TemporaryDirectory(prefix="stallscope-cpu-", ignore_cleanup_errors=True) as folder:
        try:
            copy = Path(folder) / "copy"
            shutil.copytree(start.folder, copy, symlinks=True, ignore=_ignored(start.logdir))
        except (OSError, shutil.Error) as error:
            return CpuRun(why=f"the current folder could not be copied ({type(error).__name__})")
        return _run(start, copy, Path(folder) / "runs", seconds)


def add_to_manifest(run_folder: Path, cpu: CpuRun) -> None:
    """Write what was measured into the manifest of the run's first rank.

    Raises:
        OSError: it cannot be written.
    """
    path = run_folder / "stallscope.json"
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    hidden.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, cpu_run=cpu)) + b"\n")
    hidden.replace(path)


def _size(folder: Path, logdir: Path) -> int:
    """Bytes that a copy would take; counting ends beyond ``LARGEST``."""
    total, ignored = 0, _ignored(logdir)
    for name, folders, files in os.walk(folder):
        left_out = ignored(name, [*folders, *files])
        folders[:] = [each for each in folders if each not in left_out]
        for file in files:
            with contextlib.suppress(OSError):
                total += 0 if file in left_out else os.lstat(Path(name) / file).st_size
        if total > LARGEST:
            return total
    return total


def _ignored(logdir: Path) -> Any:
    """What is not copied: tools' own folders, earlier recordings, and what is no plain file, folder or link."""

    def ignore(folder: str | os.PathLike[str], names: list[str]) -> set[str]:
        return {name for name in names if name in SKIPPED or _strange(Path(folder) / name, logdir)}

    return ignore


def _strange(path: Path, recordings: Path) -> bool:
    return path.absolute() == recordings or not (path.is_symlink() or path.is_file() or path.is_dir())


def _run(start: Start, folder: Path, logdir: Path, seconds: float) -> CpuRun:
    """Run the command in ``folder`` until its steps are timed, it ends, or time is up."""
    line = [sys.executable, "-m", "stallscope", "profile", "--logdir", str(logdir), "--no-summary", *start.command]
    own_group: dict[str, Any] = {} if sys.platform == "win32" else {"start_new_session": True}
    process = subprocess.Popen(  # noqa: S603 - the user's own command, a second time
        line,
        cwd=folder,
        env={**start.environment, **HIDDEN},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **own_group,
    )
    until = time.monotonic() + seconds
    try:
        while process.poll() is None and time.monotonic() < until and not _timed(logdir, "full"):
            time.sleep(POLL)
    except KeyboardInterrupt:
        return CpuRun(why="interrupted")
    finally:
        _end(process)
    return _found(logdir, process.returncode, seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, then end it and what it started."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # its own group: data loader workers, nothing of the user's
    if process.poll() is None:
        process.kill()
    process.wait()


def _found(logdir: Path, code: int | None, seconds: float) -> CpuRun:
    manifest, window = _best(logdir)
    if window is None or manifest is None:
        if code is not None and code > 0:
            return CpuRun(
                why=f"without a GPU the script ended with exit code {code}; it may ask for one by name "
                '(device = "cuda"). Let it choose: "cuda" if torch.cuda.is_available() else "cpu"'
            )
        return CpuRun(why=f"too few steps ran on the CPU within {seconds:.0f} s to be timed")
    if manifest.machine.gpu_usable:
        return CpuRun(why="the GPU could not be hidden from the second run")
    left_out = set(window.evaluation_steps)
    samples = [ns for position, ns in enumerate(window.samples_ns) if position not in left_out]
    spent = sum(ns for position, ns in enumerate(window.samples_ns) if position in left_out)
    return CpuRun(steps=window.steps - len(left_out), duration_ns=window.duration_ns - spent, samples_ns=samples)


def _best(logdir: Path) -> tuple[Manifest | None, Window | None]:
    """The manifest, and its unprofiled window of the last complete round."""
    manifest = _manifest(logdir)
    for wanted in ("full", "short"):
        for window in manifest.windows if manifest else []:
            if window.kind == "unprofiled" and window.round == wanted and window.steps > len(window.evaluation_steps):
                return manifest, window
    return manifest, None


def _timed(logdir: Path, wanted: str) -> bool:
    _, window = _best(logdir)
    return window is not None and window.round == wanted


def _manifest_in(folder: Path | None) -> Manifest | None:
    if folder is None:
        return None
    manifests, _ = load_manifests(folder)
    return next((each for each in manifests.values() if each.rank == 0), None)


def _manifest(logdir: Path) -> Manifest | None:
    with contextlib.suppress(OSError, StallscopeError):
        for folder in sorted(logdir.iterdir()):
            return _manifest_in(folder)
    return None
