"""A copy of a run folder that may be shown: its traces redacted, its manifests without names of people and machines.

Workers, whose names begin with the host's, become ``worker0``, ``worker1`` and so on; of the command line the name of
the script stays, of the machine what tells its speed. Files of other kinds are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.manifest import Frame, LineTime, Machine, Manifest, WholeRun
from stallscope.traces.out.redact import redact, without_folders
from stallscope.traces.runs.runs import find_runs, load_manifests

PACKED = ".gz"
SCRIPT = "script"  # what is left of a command that runs no file


@dataclass(frozen=True, slots=True)
class Copy:
    """A file of the copied folder, made piece by piece."""

    name: str
    pieces: Iterator[bytes]


def redact_run(folder: Path, *, drop_shapes: bool = False) -> Iterator[Copy]:
    """The files of the copy, traces first.

    Raises:
        BadInput: the folder holds no trace, or several runs; while iterating: a trace is damaged.

    """
    runs = find_runs(folder)
    if len(runs) > 1:
        raise BadInput(f"{folder}: holds {len(runs)} runs; name one of them, for example {runs[0].path}")
    spans = [span for worker in runs[0].workers for span in worker.spans]
    manifests, _ = load_manifests(spans[0].path.parent)
    workers = sorted({span.worker for span in spans} | set(manifests))
    names = {worker: f"worker{number}" for number, worker in enumerate(workers)}
    renamed = {
        span.path.name: names[span.worker] + span.path.name[len(span.worker) :].removesuffix(PACKED) + PACKED
        for span in spans
    }
    for span in spans:
        yield Copy(renamed[span.path.name], redact(span.path, drop_shapes=drop_shapes))
    for worker, manifest in manifests.items():
        told = _manifest(manifest, names[worker], renamed)
        rank = f".{manifest.rank}" if manifest.rank else ""
        yield Copy(f"stallscope{rank}.json", iter([msgspec.json.encode(told) + b"\n"]))


def _manifest(manifest: Manifest, worker: str, renamed: dict[str, str]) -> Manifest:
    windows = [replace(window, trace=renamed.get(window.trace or "")) for window in manifest.windows]
    whole = manifest.whole_run
    return replace(
        manifest,
        worker=worker,
        command=_command(manifest.command),
        machine=_machine(manifest.machine),
        windows=windows,
        findings=[],
        call_sites=[replace(site, frames=[_frame(frame) for frame in site.frames]) for site in manifest.call_sites],
        whole_run=None if whole is None else _whole(whole),
    )


def _command(command: list[str]) -> list[str]:
    """The script's own name, or that of the module; its arguments are the user's."""
    if command[:1] == ["-m"]:
        return ["-m", SCRIPT]
    return [Path(command[0].replace("\\", "/")).name] if command else []


def _machine(machine: Machine) -> Machine:
    return replace(machine, others_on_gpu=None, findings=[])


def _frame(frame: Frame) -> Frame:
    return replace(frame, file=_file(frame.file))


def _whole(run: WholeRun) -> WholeRun:
    def lines(found: list[LineTime]) -> list[LineTime]:
        return [replace(line, file=_file(line.file)) for line in found]

    parts = [replace(part, lines=lines(part.lines)) for part in run.parts]
    return replace(run, parts=parts, python=lines(run.python))


def _file(path: str) -> str:
    """A path as traces spell it when they are redacted."""
    return without_folders(f"{path}(1): f").removesuffix("(1): f")
