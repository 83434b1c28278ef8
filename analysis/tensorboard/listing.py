"""What lies below the log folder, looked for in the background: TensorBoard waits for no file system of ours."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stallscope.analysis.report.style import safe
from stallscope.analysis.tensorboard.pages import Asked
from stallscope.traces.model.errors import StallscopeError
from stallscope.traces.model.manifest import Window
from stallscope.traces.runs.runs import Run, Worker, find_runs

FRESH_S = 5.0  # seconds for which a listing holds
FIRST_S = 0.5  # seconds that may be waited for the very first: else the tab is offered when TensorBoard asks again


@dataclass(frozen=True, slots=True)
class Listing:
    """Runs, as ``/runs`` tells them; the number of a span is its place in ``spans``."""

    runs: list[dict[str, Any]]
    spans: list[Asked]
    why_none: str = ""
    unreadable: tuple[str, ...] = ()  # a sentence on each folder that could not be looked into


class Listings:
    """The runs below a folder, looked for again after some seconds; a span keeps its number."""

    def __init__(self, logdir: Path | None) -> None:
        self._logdir = logdir
        self._listing = Listing([], [])
        self._looked = float("-inf")
        self._is_first = threading.Event()
        self._numbers: dict[Path, int] = {}
        self._labels: dict[int, str] = {}
        self._lock = threading.Lock()  # one look at a time

    def fresh(self) -> Listing:
        """The runs as they are; waits for the look."""
        with self._lock:
            if self._is_stale():
                self._listing = self._look()
                self._looked = time.monotonic()
                self._is_first.set()
            return self._listing

    def look(self) -> None:
        """Have the runs looked for again, in the background, if they were not lately."""
        if self._is_stale() and not self._lock.locked():
            threading.Thread(target=self.fresh, daemon=True).start()

    def last(self) -> Listing:
        """The runs as they were when last looked for; waits for the first look only, and for a moment only."""
        self.look()
        self._is_first.wait(FIRST_S)
        return self._listing

    def _is_stale(self) -> bool:
        return time.monotonic() - self._looked > FRESH_S

    def _look(self) -> Listing:
        if self._logdir is None or not self._logdir.is_dir():
            return Listing([], [], safe(f"{self._logdir or 'the log folder'}: no such folder on this machine"))
        unreadable: list[str] = []
        try:
            runs = find_runs(self._logdir, unreadable)
        except StallscopeError as error:
            return Listing([], [], safe(str(error).partition("; record some with:")[0]))  # the tab says how itself
        rows = [{"name": safe(run.name), "workers": self._workers(run)} for run in runs]
        spans = [Asked(path, self._labels[number]) for path, number in self._numbers.items()]
        return Listing(rows, spans, unreadable=tuple(safe(each) for each in unreadable))

    def _workers(self, run: Run) -> list[dict[str, Any]]:
        found = sorted(run.workers, key=_rank)
        return [{"name": safe(_called(each)), "spans": self._spans(run, each)} for each in found]

    def _spans(self, run: Run, worker: Worker) -> list[dict[str, Any]]:
        """The spans of a worker, the one to look at first marked."""
        first = run.timing_trace(worker).path
        kinds = {window.trace: f"{window.kind}, {window.round} round" for window in _windows(worker)}
        told = []
        for span in worker.spans:
            number = self._numbers.setdefault(span.path, len(self._numbers))
            name, kind = span.path.name.removeprefix(f"{worker.name}."), kinds.get(span.path.name)
            known = [run.name, _called(worker) if len(run.workers) > 1 else None]
            known.append(None if span.path == first else kind or name)
            label = self._labels[number] = safe(", ".join(part for part in known if part))
            shown = safe(f"{name} ({kind})" if kind else name)
            told.append({"id": number, "name": shown, "label": label, "first": span.path == first})
        return told


def _rank(worker: Worker) -> tuple[int, str]:
    """Ranks in order where a manifest tells them."""
    return (worker.manifest.rank or 0) if worker.manifest else 0, worker.name


def _called(worker: Worker) -> str:
    """``rank 1 of 4 (gpu-node-1)``; without a manifest the name that the files carry."""
    manifest = worker.manifest
    if manifest is None or manifest.world_size < 2:  # noqa: PLR2004 - one process is no rank of anything
        return worker.name
    return f"rank {manifest.rank} of {manifest.world_size} ({worker.name})"


def _windows(worker: Worker) -> list[Window]:
    return worker.manifest.windows if worker.manifest else []
