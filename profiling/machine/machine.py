"""The machine as it matters to a training step, and what about it the user should act on (named findings)."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing.process
import os
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stallscope.profiling.machine import cpu, smi
from stallscope.profiling.machine.libraries import libraries
from stallscope.profiling.machine.smi import SmiGpu
from stallscope.profiling.machine.tools import Runner, read_text, run_tool
from stallscope.traces.model.manifest import Finding, Gpu, GpuProcess, Libraries, Machine


def collect(*, with_torch: bool = True, touch_gpu: bool = True, run: Runner = run_tool) -> Machine:
    """What can be found out about this machine within seconds. Never raises for what is missing.

    ``with_torch=False`` does not import torch (its build is read from its version file). ``touch_gpu=False`` does
    not initialise CUDA in this process: GPUs then come from the driver's tools, unless the script has initialised it.
    """
    torch = import_torch() if with_torch else None
    build = torch_build(torch)
    listed, processes = drivers_view(run)
    holds_gpu = torch is not None and gpu_initialised(torch)  # asked before we touch it ourselves
    usable, seen = torch_gpus(torch, touch_gpu=touch_gpu)
    machine = Machine(
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpu=cpu.cpu_model(run),
        cores=cpu.usable_cores(),
        threads=None if torch is None else int(torch.get_num_threads()),
        torch=build.version,
        torch_gpu=build.gpu,
        libraries=Libraries(**libraries(torch)),
        gpu_usable=usable,
        gpus=merge(seen, listed),
        others_on_gpu=others(processes, holds_gpu=holds_gpu),
    )
    return msgspec.structs.replace(machine, findings=findings_of_machine(machine))


# --- torch ----------------------------------------------------------------------------------------


class Build(msgspec.Struct, frozen=True):
    """What torch was built for: ``("2.13.0+cu130", "cuda 13.0")``; ``(None, None)`` where it is not installed."""

    version: str | None
    gpu: str | None


def import_torch() -> Any | None:
    """The torch module; None where it is missing or broken."""
    try:
        import torch  # noqa: PLC0415  (seconds; only when asked for)
    except (ImportError, OSError):  # OSError: a shared library of it is missing
        return None
    return torch


def torch_build(torch: Any | None) -> Build:
    """Torch's version and the GPU interface it was built for; without the module, from its version file."""
    if torch is None:
        return build_from_text(version_file())
    facts = {name: getattr(torch.version, name, None) for name in ("cuda", "hip", "xpu")}
    gpu = gpu_interface(facts)
    if gpu is None and torch.backends.mps.is_built():
        gpu = "mps"
    return Build(str(torch.__version__), gpu)


def version_file() -> str:
    """The text of torch's ``version.py``, found without importing torch; empty where there is none."""
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return ""
    folders = list(spec.submodule_search_locations or []) if spec else []
    return read_text(Path(folders[0]) / "version.py") or "" if folders else ""


def build_from_text(text: str) -> Build:
    """Read a ``torch/version.py``: lines such as ``cuda: Optional[str] = '13.0'``."""
    assignments = re.findall(r"^(__version__|cuda|hip|xpu)\s*(?::[^=\n]*)?=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    facts: dict[str, str | None] = dict(assignments)
    return Build(facts.get("__version__"), gpu_interface(facts))


def gpu_interface(facts: dict[str, str | None]) -> str | None:
    """``"cuda 13.0"``, ``"rocm 6.4"``, ``"xpu 2025"`` or None for a CPU-only build."""
    words = (("hip", "rocm"), ("cuda", "cuda"), ("xpu", "xpu"))
    return next((f"{word} {short(version)}" for key, word in words if (version := facts.get(key))), None)


def short(version: str) -> str:
    """The first two numbers of a version: ``6.4.43482-0f2d60242`` is 6.4."""
    found = re.match(r"\d+(?:\.\d+)?", version)
    return found[0] if found else version


def gpu_initialised(torch: Any) -> bool:
    """Whether this process holds a GPU already."""
    xpu = getattr(torch, "xpu", None)
    return bool(torch.cuda.is_initialized() or (xpu is not None and xpu.is_initialized()))


def torch_gpus(torch: Any | None, *, touch_gpu: bool) -> tuple[bool | None, list[tuple[str | None, Gpu]]]:
    """Whether torch can use a GPU here (None: not tried), and each it sees as (uuid, Gpu), in its own order."""
    if torch is None or not (touch_gpu or gpu_initialised(torch)):
        return None, []
    for interface in (torch.cuda, getattr(torch, "xpu", None)):
        try:
            if interface is not None and interface.is_available():
                devices = range(interface.device_count())
                return True, [described(interface.get_device_properties(index)) for index in devices]
        except (RuntimeError, AssertionError, AttributeError):  # a driver in trouble raises from any of these
            continue
    return False, []


def described(properties: Any) -> tuple[str | None, Gpu]:
    """Torch's device properties as (uuid, Gpu); CUDA, ROCm and XPU name them differently."""
    capability = (getattr(properties, "major", None), getattr(properties, "minor", None))
    architecture = getattr(properties, "gcnArchName", "").partition(":")[0]
    if not architecture and None not in capability:
        architecture = f"sm_{capability[0]}{capability[1]}"
    units = getattr(properties, "multi_processor_count", None) or getattr(properties, "max_compute_units", None)
    uuid = getattr(properties, "uuid", None)
    return (None if uuid is None else str(uuid)), Gpu(
        name=str(properties.name),
        architecture=architecture or None,
        sms=units,
        memory_bytes=int(properties.total_memory),
    )


# --- putting the two sources together -------------------------------------------------------------


def drivers_view(run: Runner) -> tuple[list[SmiGpu], list[GpuProcess] | None]:
    """The GPUs the driver's tool lists and the processes on them (None: could not be found out)."""
    listed = smi.nvidia_gpus(run)
    if listed:
        return listed, smi.nvidia_processes(listed, run)
    listed = smi.rocm_gpus(run)
    return (listed, smi.rocm_processes(run)) if listed else ([], None)


def merge(seen: Sequence[tuple[str | None, Gpu]], listed: Sequence[SmiGpu]) -> list[Gpu]:
    """Torch's GPUs with what only the driver's tool tells; where torch sees none, the tool's."""
    if not seen:
        return [entry.gpu for entry in listed]
    return [completed(uuid, gpu, listed) for uuid, gpu in seen]


def completed(uuid: str | None, gpu: Gpu, listed: Sequence[SmiGpu]) -> Gpu:
    """``gpu`` with driver and driver model of the same GPU in ``listed``: by uuid, else by name."""
    same = [entry for entry in listed if uuid is not None and plain(entry.uuid) == plain(uuid)]
    same = same or [entry for entry in listed if entry.gpu.name == gpu.name]
    if not same:
        return gpu
    return msgspec.structs.replace(gpu, driver=same[0].gpu.driver, driver_model=same[0].gpu.driver_model)


def plain(uuid: str | None) -> str:
    """A uuid without the prefix that nvidia-smi writes and torch does not."""
    return (uuid or "").removeprefix("GPU-").lower()


def others(
    processes: Sequence[GpuProcess] | None,
    *,
    holds_gpu: bool,
    parent: Callable[[int], int | None] = smi.parent_of,
    hidden: Callable[[int], bool] = smi.out_of_sight,
) -> list[GpuProcess] | None:
    """The GPU's processes that are not this one, its children or (under torchrun) its fellow ranks.

    None: could not be found out. So it is inside a container too, when we hold a GPU and the driver lists
    processes by numbers of the host: one of those is ours, and nothing says which.
    """
    if processes is None:
        return None
    roots = own_roots()
    foreign = [process for process in processes if not smi.descends_from(process.pid, roots, parent)]
    listed_ourselves = len(foreign) < len(processes)
    if holds_gpu and not listed_ourselves and any(hidden(process.pid) for process in foreign):
        return None
    return foreign


def own_roots() -> frozenset[int]:
    """The processes whose descendants count as ours."""
    children: set[int] = set()
    for child in list(
        getattr(multiprocessing.process, "_children", ())
    ):  # active_children() would reap those that ended
        with contextlib.suppress(ValueError):  # closed
            children.add(child.pid or os.getpid())
    launcher = [os.getppid()] if "TORCHELASTIC_RUN_ID" in os.environ else []
    return frozenset([os.getpid(), *children, *launcher])


# --- findings -------------------------------------------------------------------------------------


def findings_of_machine(machine: Machine) -> list[Finding]:
    """What about the machine itself the user should act on, before any script ran."""
    findings = []
    if machine.gpus and machine.torch is not None:
        name = machine.gpus[0].name
        if machine.torch_gpu is None:
            findings.append(cpu_torch_beside_gpu(name, machine.torch))
        elif machine.gpu_usable is False:
            findings.append(gpu_unusable(name, machine.torch))
    if machine.others_on_gpu:
        findings.append(gpu_shared(machine.others_on_gpu, desktop=any(g.driver_model == "WDDM" for g in machine.gpus)))
    return findings


def findings_of_run(machine: Machine, *, gpu_used: bool, kernel_rows: bool | None) -> list[Finding]:
    """What a finished run says about itself; what the machine says stands in ``machine.findings``.

    ``gpu_used``: the script put work on a GPU. ``kernel_rows``: the recorded traces hold device rows (None: not known).
    """
    findings = []
    if not gpu_used and machine.gpus and may_use_gpu(machine):
        findings.append(script_chose_cpu(machine.gpus[0].name))
    if gpu_used and kernel_rows is False:
        findings.append(no_kernel_rows(machine))
    return findings


def may_use_gpu(machine: Machine) -> bool:
    """Whether torch could use a GPU here; where it was not tried, whether it was built for one."""
    return machine.torch_gpu is not None if machine.gpu_usable is None else machine.gpu_usable


def cpu_torch_beside_gpu(gpu: str, torch: str) -> Finding:
    """Say that a GPU stands idle because torch was built without it."""
    return Finding(
        name="cpu_torch_beside_gpu",
        text=f"this machine has a GPU ({gpu}), but the installed torch {torch} is a CPU-only build and cannot use it: "
        "install the build for your GPU that https://pytorch.org/get-started/locally names",
    )


def gpu_unusable(gpu: str, torch: str) -> Finding:
    """Say that torch was built for a GPU and cannot use the one that is there."""
    cause = (
        "CUDA_VISIBLE_DEVICES is set and hides it: unset it"
        if "CUDA_VISIBLE_DEVICES" in os.environ
        else "update the driver, or install the torch build that fits it"
    )
    return Finding(name="gpu_unusable", text=f"torch {torch} cannot use the GPU of this machine ({gpu}): {cause}")


def script_chose_cpu(gpu: str) -> Finding:
    """Say that the run left a usable GPU alone; for small models that may well be right."""
    return Finding(
        name="script_chose_cpu",
        text=f"the script trained on the CPU although torch can use the {gpu}: to use it, move the model and the data "
        'there with .to("cuda"); a small model may be faster where it is, so compare the two',
    )


def no_kernel_rows(machine: Machine) -> Finding:
    """Say why a GPU run may come without a single kernel, and what to try."""
    if (machine.torch_gpu or "").startswith("rocm"):
        tool, cure = "roctracer", "check that the ROCm release fits the torch build, and end other profilers (rocprof)"
    else:
        tool = "CUPTI"
        cure = (
            "end other profilers (Nsight, DCGM), update the driver, and allow GPU counters to all users (NVIDIA "
            "Control Panel, Developer; on Linux the module option NVreg_RestrictProfilingToAdminUsers=0)"
        )
    return Finding(
        name="no_kernel_rows",
        text=f"the script used the GPU, but {tool}, which records kernels, gave none: GPU figures are withheld; {cure}",
    )


def gpu_shared(processes: Sequence[GpuProcess], *, desktop: bool = False) -> Finding:
    """Say who else is on the GPU; Windows' display driver lists the desktop's own programs too."""
    names = ", ".join(describe(process) for process in processes[:3]) + (" and more" if len(processes) > 3 else "")  # noqa: PLR2004
    note = " (Windows lists desktop programs here too; they matter only when they draw)" if desktop else ""
    return Finding(
        name="gpu_shared",
        text=f"other programs hold the GPU: {names}{note}; times will vary: end them, or choose another GPU with "
        "CUDA_VISIBLE_DEVICES",
    )


def describe(process: GpuProcess) -> str:
    """``python (pid 4711, 2.1 GB on GPU 0)``."""
    memory = "" if process.memory_bytes is None else f"{process.memory_bytes / 1e9:.1f} GB "
    return f"{process.name} (pid {process.pid}, {memory}on GPU {process.gpu})"
