"""The run folder: names, traces and the manifest, written behind the training's back and never half-visible."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from stallscope.profiling.folder.disk import is_shut, too_little, why_not_writable
from stallscope.profiling.folder.launch import Launch
from stallscope.profiling.folder.sharing import make_run_folder, moved
from stallscope.profiling.watch.guarded import Guarded
from stallscope.profiling.watch.own_thread import no_signals
from stallscope.profiling.words.sentences import no_room, traces_mended
from stallscope.traces.damaged.mend import is_json, mended
from stallscope.traces.model.errors import StallscopeError
from stallscope.traces.model.manifest import Finding, Manifest
from stallscope.traces.runs.runs import RECORDING
from stallscope.traces.text.damage import Damage

GZIP_LEVEL = 6
PRIVATE = 0o600  # a manifest holds the command line
PACKED = ".gz"
WORK_THREAD = "stallscope-export"
QUIET_AT_MOST = 2.0  # seconds that compression waits for an unprofiled window to close
KERNEL_ROW = b'"cat": "kernel"'


def worker_name(rank: int, world_size: int) -> str:
    """``host_pid``, with ``.rankN`` among several: TensorBoard's plugin takes host and process from it."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"
    name = f"{host}_{os.getpid()}"
    return f"{name}.rank{rank}" if world_size > 1 else name


def manifest_name(rank: int) -> str:
    """The manifest's file name: plain for rank 0, with the rank for every other."""
    return "stallscope.json" if rank == 0 else f"stallscope.rank{rank}.json"


class RunFolder:
    """Writes into one run folder, made when there is something to put in. The slow part runs on its own thread.

    Of a ``launch`` of several ranks all write into the same folder, each its own traces and manifest.

    ``manifest()`` gives the manifest as of now, quickly; ``complete`` adds what takes time, in the background.
    ``problems`` holds a sentence for each thing that went wrong, ``kernel_rows`` whether a trace had device kernels.
    """

    def __init__(
        self,
        logdir: Path,
        name: str,
        manifest: Callable[[], Manifest],
        complete: Callable[[Manifest], Manifest],
        launch: Launch | None = None,
    ) -> None:
        self.path: Path | None = None
        self.aside = False  # a log folder that is not there is made only at the end: the script may make its own
        self.problems: list[str] = []
        self.kernel_rows = False
        self._shut = False  # said already
        self._mended = 0  # traces that were no valid JSON
        self._damage = Damage()  # what was wrong with them
        self._logdir, self._name, self._launch = logdir, name, launch
        self._manifest, self._complete = manifest, complete
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._newest: Manifest | None = None  # that was written
        self._writing = threading.Lock()  # of manifests: the newest is the last to be written
        self._may_work = threading.Event()
        self._may_work.set()

    @property
    def findings(self) -> list[Finding]:
        """What the user should know of the traces that are there."""
        if not self._mended:
            return []
        return [Finding(name="traces_mended", text=traces_mended(self._mended, self._damage.counts))]

    # --- what capture needs ----------------------------------------------------------------------

    def room_for(self, size: int) -> bool:
        """Whether a plain trace of about ``size`` bytes can be written and kept; where it cannot it is said."""
        folder = self.path or self._logdir
        reason = why_not_writable(folder)
        if reason is not None:
            self._say_no_folder(reason)
            return False
        missing = too_little(folder, size)
        if missing is not None:
            self._say(no_room(folder, *missing), shut=True)
        return missing is None

    def new_trace(self) -> Path | None:
        """An empty hidden file in the run folder for the next plain trace; None where there can be none."""
        if self._folder() is None or self.path is None:
            return None
        plain = self.path / f".{self._manifest().worker}.{time.time_ns()}.pt.trace.json.tmp"
        try:
            plain.touch()  # else it is kineto that complains, on the script's stderr
        except OSError as error:
            reason = error.strerror or error
            self._say(f"{self.path}: a trace could not be written ({reason}); is the disk full?", shut=is_shut(error))
            return None
        return plain

    def finished(self, plain: Path, error: Exception | None) -> str | None:
        """Verify a plain trace and have it compressed in the background; returns its final name, None if no good.

        From here on it is never lost: it can be seen, and read, until the compressed one is whole.
        """
        problem = str(error) if error is not None else what_is_wrong(plain)
        if problem is not None:
            self._say(f"{plain.parent}: a trace could not be written ({problem}); is the disk full?", shut=True)
            _remove(plain, plain.with_name(plain.name + ".tmp"))  # the latter is kineto's
            return None
        whole = plain.with_name(plain.name.removeprefix(".").removesuffix(".tmp"))
        final = whole.name + PACKED
        try:
            plain.replace(whole)
        except OSError as failed:
            self._say(f"{plain.parent}: a trace could not be named ({failed.strerror or failed})")
            _remove(plain)
            return None
        self._later(lambda: self._compress(whole, final))
        return final

    def discard(self, names: list[str]) -> None:
        """Delete traces."""
        folder = self.path
        if folder is not None:
            every = [folder / each for name in names for each in (name, name.removesuffix(PACKED))]
            self._later(lambda: _remove(*every))

    def window_closed(self) -> None:
        """Write the manifest now, and once more in the background, with what takes time to find out.

        Whatever ends the process from here on (SIGTERM, SIGKILL, ``os._exit``) leaves a run that can be read.
        """
        if self.path is not None:
            with self._writing:
                self._newest = self._manifest()
                self._write(self._with_findings(self._newest))
            self._later(self._write_again)

    def quiet(self, on: bool) -> None:
        """Hold background work while windows follow each other (each piece for two seconds at most)."""
        if on:
            self._may_work.clear()
        else:
            self._may_work.set()

    # --- the end ---------------------------------------------------------------------------------

    def write_manifest(self) -> None:
        """Finish everything that waits, then write the manifest; the run folder is made if there is none."""
        self.close()
        if self._folder() is not None:
            self._write(self._complete(self._with_findings(self._manifest())))

    def settle(self) -> None:
        """Put what was kept aside where it belongs; where that fails, it stays and is named."""
        here = self.path
        if here is None or here.parents[1].name != RECORDING:
            return
        try:
            self.path = moved(here, make_run_folder(self._logdir, self._name))
        except OSError as error:
            self._say(f"{self._logdir}: no run folder could be made ({error.strerror or error}); it stays in {here}")

    def close(self) -> None:
        """Wait for the background work."""
        self._may_work.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            thread.join()

    # --- inside ----------------------------------------------------------------------------------

    def _folder(self) -> Path | None:
        if self.path is None and not self.problems:
            try:
                logdir = self._logdir
                if self.aside and not logdir.exists():
                    logdir = logdir.parent / RECORDING / logdir.name
                self.path = make_run_folder(logdir, self._name, self._launch)
            except OSError as error:
                self._say_no_folder(error.strerror or str(error))
        return self.path

    def _later(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=WORK_THREAD, daemon=True)
            with no_signals():
                self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._may_work.wait(QUIET_AT_MOST)
            with Guarded(self._say_incomplete):
                job()

    def _compress(self, plain: Path, final: str) -> None:
        """Put the compressed trace in the plain one's place; where that fails, the plain one stays."""
        packed = plain.with_name(f".{final}.tmp")
        try:
            self._pack(plain, packed)
            packed.replace(plain.with_name(final))
            self._write_again()  # before the plain one goes: at each moment the manifest names a trace that is there
        except Exception as error:  # a full disk, a file size limit
            _remove(packed)
            if not plain.exists():  # the run folder was taken away
                raise
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
            said = f"{self.path}: traces could not be compressed ({reason}) and are kept as they are"
            self._say(said, shut=is_shut(error))
        else:
            _remove(plain)

    def _pack(self, plain: Path, packed: Path) -> None:
        with packed.open("wb") as raw:
            with gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as target:
                for block in self._text(plain):
                    self.kernel_rows |= KERNEL_ROW in block
                    target.write(block)
            raw.flush()
            os.fsync(raw.fileno())

    def _text(self, plain: Path) -> Iterator[bytes]:
        """Give the text of a trace in pieces, as valid JSON even where a name of the script's spoilt it."""
        pieces = self._valid(plain)
        if pieces is not None:
            yield from pieces
            self._mended += 1
            return
        with plain.open("rb") as source:
            while block := source.read(1 << 20):
                yield block

    def _valid(self, plain: Path) -> Iterator[bytes] | None:
        """Give a trace that is no valid JSON as what is; None: it is valid, or nothing can be made out in it."""
        try:
            if is_json(plain):
                return None
            pieces = mended(plain, self._damage)
            return itertools.chain((next(pieces),), pieces)
        except StallscopeError:
            return None

    def _with_findings(self, manifest: Manifest) -> Manifest:
        return replace(manifest, findings=[*manifest.findings, *self.findings])

    def _there(self, promised: str | None) -> str | None:
        if promised is None or self.path is None or (self.path / promised).exists():
            return promised
        plain = promised.removesuffix(PACKED)
        return plain if (self.path / plain).exists() else promised

    def _say_no_folder(self, reason: str) -> None:
        if self.path is not None:
            self._say(f"{self.path}: nothing more could be written ({reason}), so the recording ended early", shut=True)
            return
        self._say(
            f"{self._logdir}: no run folder could be made ({reason}), so nothing was recorded; "
            "choose another place with --logdir"
        )

    def _say(self, problem: str, *, shut: bool = False) -> None:
        """Note what went wrong, once. ``shut``: the folder takes no more, of which the first consequence is told."""
        if problem not in self.problems and not (shut and self._shut):
            self.problems.append(problem)
            self._shut |= shut

    def _say_incomplete(self, error: Exception) -> None:
        """Say it at the end: a full disk, a folder taken away."""
        said = f"{self.path}: could not be written ({error}); what is there may be incomplete"
        self._say(said, shut=is_shut(error))

    def _write_again(self) -> None:
        """Write the newest manifest with what has been found out since, unless there is a newer one by then."""
        manifest = self._newest
        if manifest is not None:
            complete = self._complete(self._with_findings(manifest))
            with self._writing:
                if manifest is self._newest:
                    self._write(complete)

    def _write(self, manifest: Manifest) -> None:
        """Write a manifest, with the names that the traces really have by now."""
        if self.path is None:
            return
        windows = [replace(each, trace=self._there(each.trace)) for each in manifest.windows]
        final = self.path / manifest_name(manifest.rank)
        hidden = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        try:
            hidden.touch(mode=PRIVATE)
            hidden.write_bytes(msgspec.json.encode(replace(manifest, windows=windows)) + b"\n")
            hidden.replace(final)
        except OSError as error:
            said = f"{final}: could not be written ({error.strerror or error}); is the disk full?"
            self._say(said, shut=is_shut(error))
        finally:
            _remove(hidden)


def what_is_wrong(plain: Path) -> str | None:
    """What is wrong with a plain trace just written: torch reports success where the disk is full."""
    try:
        with plain.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 16))
            tail = file.read().rstrip()
    except OSError as error:
        return error.strerror or str(error)
    return None if tail.endswith(b"}") else "it ends in the middle"


def _remove(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
