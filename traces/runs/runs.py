"""A path → what to analyse: runs, their workers (ranks), the spans each worker recorded.

<run>/<worker>.<ns>.pt.trace.json[.gz]   one recorded window, named as TensorBoard's PyTorch plugin wants it
<run>/stallscope.json                    the manifest of rank 0
<run>/stallscope.rank1.json              the manifest of rank 1, and so on
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.manifest import ROUNDS, SCHEMA, Manifest
from stallscope.traces.text.source import check_file

TRACE_NAME = re.compile(r"(?P<worker>.+?)(?:\.(?P<ns>\d+))?\.pt\.trace\.json(?:\.gz)?")
MANIFEST_NAME = re.compile(r"stallscope(?:\..+)?\.json")
RECORDING = ".stallscope-recording"  # beside a log folder that was not there before the run: what is being recorded
WHY_NO_TRACE = ("recorder_failed", "too_short", "not_recorded")  # findings of a run without any


@dataclass(frozen=True, slots=True)
class Span:
    """One recorded window: a trace file. ``ns`` is the number in its name (2021 files: ms); None: it has none."""

    path: Path
    ns: int | None
    worker: str


@dataclass(frozen=True, slots=True)
class Worker:
    """One process of a run, its spans oldest first, and its manifest if ``profile`` wrote one."""

    name: str
    spans: tuple[Span, ...]
    manifest: Manifest | None
    issues: tuple[TraceIssue, ...] = ()  # a manifest that could not be used


@dataclass(frozen=True, slots=True)
class Run:
    """One folder of traces, or one trace file. ``path`` is what was found, ``name`` what to call it."""

    path: Path
    name: str
    workers: tuple[Worker, ...]  # by name

    def timing_trace(self, worker: Worker) -> Span:
        """The span to take times from: the manifest's timing window (full round before short), else the newest."""
        by_name = {span.path.name: span for span in worker.spans}
        windows = worker.manifest.windows if worker.manifest else []
        for wanted in ROUNDS:
            for window in reversed(windows):
                if window.kind == "timing" and window.round == wanted and window.trace in by_name:
                    return by_name[window.trace]
        marked = {window.trace for window in windows if window.kind == "attribution"}
        timed = [span for span in worker.spans if span.path.name not in marked]
        return (timed or worker.spans)[-1]

    def attribution_trace(self, worker: Worker) -> Path | None:
        """The trace that tells lines and modules, of the timing trace's round if there is one, else of another.

        It may not exist. None: the manifest names none, or the timing trace itself is one.
        """
        timing = self.timing_trace(worker).path
        windows = worker.manifest.windows if worker.manifest else []
        marked = [window for window in windows if window.kind == "attribution" and window.trace]
        if not marked or timing.name in {window.trace for window in marked}:
            return None
        own = next((window.round for window in windows if window.trace == timing.name), None)
        rounds = [own, *ROUNDS] if own else ROUNDS
        best = min(marked, key=lambda window: rounds.index(window.round) if window.round in rounds else len(rounds))
        name = best.trace or ""
        path = timing.parent / name
        # a manifest is data: only a plain name beside the trace is followed, and only to a regular file
        return path if Path(name).name == name and (path.is_file() or not path.exists()) else None


def find_runs(path: Path, unreadable: list[str] | None = None) -> list[Run]:
    """The runs at ``path``: a trace file is one run, a folder one for each folder below it (any depth) with traces.

    Sorted by name. Hidden files and folders, ``.tmp`` leftovers and links to folders are passed over. Where a list
    ``unreadable`` is given, folders that cannot be read are named there, and the others' runs are found all the same.

    Raises:
        BadInput: nothing is there, it cannot be read, or it holds no trace.

    """
    path = or_hidden(Path(path))
    if not path.is_dir():
        check_file(path)
        return [_run_of_file(path)]
    refused: list[str] = []
    runs = [_run(folder, _run_name(folder, path), spans) for folder, spans in _folders(path, refused)]
    if refused and (unreadable is None or not runs):
        raise BadInput(refused[0])
    if not runs:
        raise BadInput(f"{path}: {_why_none(path)}")
    if unreadable is not None:
        unreadable += refused
    return sorted(runs, key=lambda run: run.name)


def or_hidden(path: Path) -> Path:
    """Return ``path``; where it is missing, the place in which a run that goes on, or was killed, is kept for it."""
    whole = path.absolute()
    for logdir in () if path.exists() else (whole, *whole.parents[:2]):
        hidden = logdir.parent / RECORDING / whole.relative_to(logdir.parent)
        if hidden.exists():
            return hidden
    return path


def beside(path: Path) -> list[tuple[str, int, int]]:
    """What the figures of a trace may be made of, as (name, time of change in ns, bytes), sorted.

    These are the trace, the other spans of its worker and the manifests in its folder; nothing of them is read.

    Raises:
        OSError: the folder cannot be listed.

    """
    own = TRACE_NAME.fullmatch(path.name)
    told = []
    with os.scandir(path.parent) as entries:
        for entry in entries:
            named = TRACE_NAME.fullmatch(entry.name)
            is_span = named and own and named["worker"] == own["worker"]
            if entry.name == path.name or is_span or MANIFEST_NAME.fullmatch(entry.name):
                with contextlib.suppress(OSError):  # a link to nowhere, or removed meanwhile
                    found = entry.stat()
                    told.append((entry.name, found.st_mtime_ns, found.st_size))
    return sorted(told)


def load_manifests(folder: Path) -> tuple[dict[str, Manifest], tuple[TraceIssue, ...]]:
    """The manifests in ``folder`` by worker name, and a notice for each that cannot be used (never an error)."""
    manifests: dict[str, Manifest] = {}
    broken: list[TraceIssue] = []
    try:
        found = sorted(folder.iterdir())
    except OSError as error:  # it may be read but not listed, or it has just been removed
        return {}, (_unusable(folder / "stallscope.json", (error.strerror or str(error)).lower()),)
    for path in found:
        if MANIFEST_NAME.fullmatch(path.name) and path.is_file():
            loaded = _load(path)
            if isinstance(loaded, Manifest):
                manifests[loaded.worker] = loaded
            else:
                broken.append(loaded)
    return manifests, tuple(broken)


def _load(path: Path) -> Manifest | TraceIssue:
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        return _unusable(path, str(error))
    return manifest if manifest.schema == SCHEMA else _unusable(path, f"its schema is {manifest.schema!r}")


def _unusable(path: Path, why: str) -> TraceIssue:
    advice = f"{path.name} was not used ({why}); unprofiled times and the machine are unknown for this run."
    return TraceIssue("unusable_manifest", Severity.NOTICE, 1, advice)


def _run_of_file(path: Path) -> Run:
    named = TRACE_NAME.fullmatch(path.name)
    span = _span(path, named) if named else Span(path, None, re.sub(r"\.json(\.gz)?$", "", path.name))
    return _run(path, path.name, [span])


def _run(path: Path, name: str, spans: list[Span]) -> Run:
    manifests, issues = load_manifests(path if path.is_dir() else path.parent)
    workers: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.ns or 0, span.path.name)):
        workers.setdefault(span.worker, []).append(span)
    return Run(
        path,
        name,
        tuple(
            Worker(worker, tuple(found), manifests.get(worker), () if worker in manifests else issues)
            for worker, found in sorted(workers.items())
        ),
    )


def _span(path: Path, named: re.Match[str]) -> Span:
    return Span(path, int(named["ns"]) if named["ns"] else None, named["worker"])


def _run_name(folder: Path, root: Path) -> str:
    """The name of a run: its path below the folder that was asked for, as TensorBoard calls it."""
    return folder.resolve().name if folder == root else folder.relative_to(root).as_posix()


def _folders(root: Path, refused: list[str]) -> Iterator[tuple[Path, list[Span]]]:
    """Every folder at or below ``root`` with traces, and them; ``refused`` gets a sentence on each unreadable one."""

    def refuse(error: OSError) -> None:
        refused.append(f"{error.filename}: {(error.strerror or str(error)).lower()}; check that it can be read")

    for name, folders, files in os.walk(root, onerror=refuse):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        folder = Path(name)
        named = ((folder / file, TRACE_NAME.fullmatch(file)) for file in files if not file.startswith("."))
        spans = [_span(path, match) for path, match in named if match]
        if spans:
            yield folder, spans


def _why_none(folder: Path) -> str:
    """What was looked for, and what to type instead."""
    manifests, _ = load_manifests(folder)
    for manifest in manifests.values():
        said = [finding.text for finding in manifest.findings if finding.name in WHY_NO_TRACE]
        why = said[0] if said else "no window was complete when it ended"
        return f"this run of {manifest.steps.count} steps recorded no trace ({why})"
    listed: list[Path] = []
    with contextlib.suppress(OSError):
        listed = sorted(folder.iterdir())
    others = [p.name for p in listed if re.search(r"\.json(\.gz)?$", p.name) and _shown(p.name)]
    looked = "no traces here or below (looked for <worker>.<ns>.pt.trace.json or .json.gz)"
    if others:
        return f"{looked}, but {len(others)} other .json files: name one itself, e.g. {folder / others[0]}"
    return f"{looked}; record some with: stallscope profile --logdir {folder} train.py"


def _shown(name: str) -> bool:
    return not name.startswith(".") and not MANIFEST_NAME.fullmatch(name)
