"""What the drivers' own tools say: ``nvidia-smi`` and ``rocm-smi``, asked for seconds at most, never trusted to exist.

They find a GPU beside a torch that cannot use one, and the other programs on it, without touching CUDA here.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stallscope.profiling.machine.tools import Runner, run_tool
from stallscope.traces.model.manifest import Gpu, GpuProcess


@dataclass(frozen=True, slots=True)
class SmiGpu:
    """One GPU as the driver's tool lists it; ``uuid`` is how torch and the process list name the same one."""

    index: int
    uuid: str | None
    gpu: Gpu


def told(cell: str) -> str | None:
    """A cell's text; None for what nvidia-smi writes when it does not know: ``[N/A]``, ``[Not Supported]``."""
    text = cell.strip()
    return None if not text or (text.startswith("[") and text.endswith("]")) or text == "N/A" else text


def whole(cell: str) -> int | None:
    """A cell as a whole number; None where it holds none."""
    text = told(cell)
    return int(text) if text is not None and text.isdigit() else None


def rows(text: str, width: int) -> list[list[str]]:
    """The lines of a csv answer that have ``width`` cells; warnings and blank lines are left out."""
    lines = csv.reader(text.splitlines(), skipinitialspace=True)
    return [cells for cells in lines if len(cells) == width]


# --- NVIDIA ---------------------------------------------------------------------------------------

GPU_FIELDS = ("index", "uuid", "name", "memory.total", "driver_version", "driver_model.current", "compute_cap")


def nvidia_gpus(run: Runner = run_tool) -> list[SmiGpu] | None:
    """The NVIDIA GPUs of the machine; None: could not be found out (no tool, or it failed)."""
    for fields in (GPU_FIELDS, GPU_FIELDS[:-1]):  # drivers before 510 know no compute_cap and refuse the query
        text = run(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"])
        if text is not None:
            return parse_nvidia_gpus(text, len(fields))
    return None


def parse_nvidia_gpus(text: str, width: int = len(GPU_FIELDS)) -> list[SmiGpu]:
    """Read the answer to ``--query-gpu`` with the first ``width`` of ``GPU_FIELDS``. Memory comes in MiB."""
    return [
        SmiGpu(int(cells[0]), told(cells[1]), nvidia_gpu([*cells, ""]))
        for cells in rows(text, width)
        if cells[0].isdigit()
    ]


def nvidia_gpu(cells: Sequence[str]) -> Gpu:
    """One row of ``--query-gpu`` as a Gpu; nvidia-smi does not tell the number of SMs."""
    mebibytes, capability = whole(cells[3]), told(cells[6])
    return Gpu(
        name=told(cells[2]) or "NVIDIA GPU",
        architecture=f"sm_{capability.replace('.', '')}" if capability else None,
        memory_bytes=None if mebibytes is None else mebibytes * 2**20,
        driver=told(cells[4]),
        driver_model=told(cells[5]),
    )


def nvidia_processes(gpus: Sequence[SmiGpu], run: Runner = run_tool) -> list[GpuProcess] | None:
    """Every compute process on the NVIDIA GPUs, ours included; None: could not be found out."""
    fields = "gpu_uuid,pid,process_name,used_memory"
    text = run(["nvidia-smi", f"--query-compute-apps={fields}", "--format=csv,noheader,nounits"])
    return None if text is None else parse_nvidia_processes(text, {gpu.uuid: gpu.index for gpu in gpus})


def parse_nvidia_processes(text: str, index_of: dict[str | None, int]) -> list[GpuProcess]:
    """Read the answer to ``--query-compute-apps``. Under WDDM memory is ``[N/A]``; in a container names are missing."""
    processes = []
    for uuid, pid, name, memory in rows(text, 4):
        pid_number, mebibytes = whole(pid), whole(memory)
        if pid_number is not None:
            processes.append(
                GpuProcess(
                    gpu=index_of.get(uuid.strip(), 0),
                    pid=pid_number,
                    name=re.split(r"[\\/]", told(name) or "")[-1] or "unknown program",
                    memory_bytes=None if mebibytes is None else mebibytes * 2**20,
                )
            )
    return processes


# --- AMD ------------------------------------------------------------------------------------------


def rocm_gpus(run: Runner = run_tool) -> list[SmiGpu] | None:
    """The AMD GPUs of the machine; None: could not be found out."""
    text = run(["rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--json"])
    return None if text is None else parse_rocm_gpus(text)


def parse_rocm_gpus(text: str) -> list[SmiGpu] | None:
    """Read rocm-smi's JSON: one object per ``cardN``, keys spelled differently from release to release."""
    answer = json_object(text)
    if answer is None:
        return None
    driver = lowered(answer.get("system")).get("driver version")
    cards = sorted((int(key[4:]), lowered(card)) for key, card in answer.items() if re.fullmatch(r"card\d+", key))
    return [SmiGpu(index, None, rocm_gpu(card, driver)) for index, card in cards]


def rocm_gpu(card: dict[str, str], driver: str | None) -> Gpu:
    """One card's object (keys lower case) as a Gpu."""
    memory = card.get("vram total memory (b)", "")
    return Gpu(
        name=card.get("card series") or card.get("card model") or "AMD GPU",
        architecture=card.get("gfx version"),
        memory_bytes=int(memory) if memory.isdigit() else None,
        driver=driver,
    )


def rocm_processes(run: Runner = run_tool) -> list[GpuProcess] | None:
    """Every compute process on the AMD GPUs, ours included; None: could not be found out."""
    text = run(["rocm-smi", "--showpids", "--json"])
    return None if text is None else parse_rocm_processes(text)


def parse_rocm_processes(text: str) -> list[GpuProcess] | None:
    """Read ``{"system": {"PID123": "python3, 1, 1048576, 0, 0"}}``: name, number of GPUs, bytes; not which GPU."""
    answer = json_object(text)
    if answer is None:
        return None
    processes = []
    for key, value in lowered(answer.get("system")).items():
        pid, cells = re.fullmatch(r"pid\s*(\d+)", key), [cell.strip() for cell in value.split(",")]
        if pid:
            memory = cells[2] if len(cells) > 2 and cells[2].isdigit() else None  # noqa: PLR2004
            name = cells[0] or "unknown program"
            size = int(memory) if memory else None
            processes.append(GpuProcess(gpu=0, pid=int(pid[1]), name=name, memory_bytes=size))
    return processes


def json_object(text: str) -> dict[str, object] | None:
    """The JSON object in a tool's answer, warnings before it skipped; None where there is none."""
    start = text.find("{")
    try:
        answer = json.loads(text[start:]) if start >= 0 else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def lowered(value: object) -> dict[str, str]:
    """A JSON object with lower-case keys and text values; anything else becomes an empty one."""
    return {str(key).lower(): str(item) for key, item in value.items()} if isinstance(value, dict) else {}


# --- whose process is it --------------------------------------------------------------------------


def parent_of(pid: int) -> int | None:
    """The parent of ``pid`` from ``/proc``; None where it is gone, out of sight, or there is no ``/proc``."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[1])
    except (OSError, ValueError, IndexError):
        return None


def descends_from(pid: int, roots: frozenset[int], parent: Callable[[int], int | None] = parent_of) -> bool:
    """Whether ``pid`` is one of ``roots`` or a descendant of one."""
    current: int | None = pid
    for _ in range(64):  # a chain of parents is short; a cycle would be a broken /proc
        if current is None or current in roots:
            break
        current = parent(current)
    return current in roots


def out_of_sight(pid: int) -> bool:
    """Whether ``pid`` belongs to another pid namespace: a container sees its own processes only."""
    return sys.platform.startswith("linux") and not Path(f"/proc/{pid}").exists()
