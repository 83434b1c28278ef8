"""What a run is of: workload, device and versions. Counts of runs that differ in these are not comparable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stallscope.analysis.contract.check import CheckKey, Workload
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.manifest import Libraries, Manifest


def key_of(stages: Stages, manifest: Manifest | None, workload: Workload | None) -> CheckKey:
    """What must agree for exact counts to agree."""
    trace = stages.trace
    torch = None if manifest is None else manifest.machine.torch
    on_gpu = manifest is not None and trace.vendor != "cpu"
    told = manifest.machine.libraries if manifest is not None and on_gpu else None
    libraries = Libraries() if told is None else told
    gpus = [gpu.name for gpu in manifest.machine.gpus] if manifest is not None else []
    names = [device.name for device in trace.devices] or gpus
    return CheckKey(
        workload=workload,
        device="cpu" if trace.vendor == "cpu" else (names[0] if names else trace.vendor),
        torch=_minor(torch),
        cublas=libraries.cublas,
        cudnn=libraries.cudnn,
    )


def key_words(key: CheckKey) -> str:
    """A key as people read it: ``iris (batch = 120) on NVIDIA L4, torch 2.13, cublas 13.1.0``."""
    workload = "any workload" if key.workload is None else key.workload.name
    if key.workload is not None and key.workload.parameters:
        told = ", ".join(f"{name} = {value}" for name, value in sorted(key.workload.parameters.items()))
        workload += f" ({told})"
    versions = [("torch", key.torch), ("cublas", key.cublas), ("cudnn", key.cudnn)]
    with_them = "".join(f", {name} {version}" for name, version in versions if version)
    return f"{workload} on {'no GPU' if key.device == 'cpu' else key.device}{with_them}"


def machine_words(manifest: Manifest | None) -> str | None:
    """CPU and GPUs: times of another one are not comparable."""
    if manifest is None:
        return None
    machine = manifest.machine
    return ", ".join([machine.cpu, f"{machine.cores} cores", *(gpu.name for gpu in machine.gpus)])


def _minor(version: str | None) -> str | None:
    """``2.13`` of ``2.13.0+cu130``."""
    found = re.match(r"\d+\.\d+", version or "")
    return None if found is None else found[0]


def not_the_workload(workload: Workload | None, manifest: Manifest | None) -> Iterator[str]:
    """Parameters that the run's command line gives another value than the workload has."""
    if workload is None or manifest is None:
        return
    given = _arguments(manifest.command[1:])
    for name, value in workload.parameters.items():
        told = given.get(name.replace("_", "-").lower())
        if told is not None and not _same(told, value):
            yield (
                f"the run is of another workload: its command line says {name} = {told}, the budget of "
                f"{workload.name} is for {value}"
            )


def _arguments(command: Sequence[str]) -> dict[str, str]:
    """``batch`` → ``64`` of ``--batch 64`` and ``--batch=64``; a flag alone is ``True``."""
    found: dict[str, str] = {}
    for word, after in pairwise((*command, "--")):
        if not word.startswith("-") or re.fullmatch(r"-\d.*", word):
            continue
        name, sign, value = word.lstrip("-").partition("=")
        alone = after.startswith("--")
        found[name.replace("_", "-").lower()] = value if sign else ("True" if alone else after)
    return found


def _same(told: str, value: str | float | bool) -> bool:
    if isinstance(value, bool):
        return told.lower() in (("true", "1", "yes", "on") if value else ("false", "0", "no", "off"))
    try:
        return float(told) == float(value)
    except ValueError:
        return told == str(value)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the lines of a run are, as far as it tells."""

    script: str | None = None  # folder of the script, as its command line names it
    current: str | None = None  # the folder that the check runs in, in full, with slashes

    def below(self, file: str) -> str:
        """A file as the current folder would name it; in full where it lies elsewhere."""
        told = file if _is_full(file) or not self.script else f"{self.script}/{file}"
        return told.removeprefix(f"{self.current}/") if self.current else told

    def shortened(self, place: str) -> str:
        """A place, ``helper (/home/me/train.py:6)``, with the path below the current folder."""
        return place.replace(f"{self.current}/", "") if self.current else place


def _is_full(path: str) -> bool:
    return re.match(r"/|[A-Za-z]:", path) is not None


def script_folder(manifest: Manifest | None) -> str | None:
    """The folder of the script as its command line names it; None: the current one, or not known."""
    if manifest is None or not manifest.command or manifest.command[0] == "-m":
        return None
    folder = manifest.command[0].replace("\\", "/").removeprefix("./").rpartition("/")[0]
    return folder or None
