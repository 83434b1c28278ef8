"""The processor as it matters to a training step: its name, and how many cores this process may use."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from pathlib import Path

from stallscope.profiling.machine.tools import ReadText, Runner, read_text, run_tool


def model_from_cpuinfo(text: str) -> str | None:
    """The marketing name in Linux's ``/proc/cpuinfo``; Arm kernels give none."""
    for key in ("model name", "cpu model", "Model"):
        line = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
        if line:
            return squeeze(line[1])
    return None


def model_from_lscpu(text: str) -> str | None:
    """The name that ``lscpu`` prints; it knows Arm's part numbers."""
    found = re.search(r"^\s*Model name:\s*(.+)$", text, re.MULTILINE)
    return squeeze(found[1]) if found and found[1].strip() != "-" else None


def squeeze(name: str) -> str:
    """A vendor's name without trade marks and runs of spaces: ``Intel Xeon Processor @ 2.10GHz``."""
    return " ".join(re.sub(r"\((?:R|TM|C)\)", "", name, flags=re.IGNORECASE).split())


def cpu_model(run: Runner = run_tool, read: ReadText = read_text, system: str = sys.platform) -> str:
    """The processor's name; the last resort is what ``platform`` says, then "unknown CPU"."""
    name: str | None = None
    if system == "darwin":
        name = run(["sysctl", "-n", "machdep.cpu.brand_string"])
    elif system == "win32":
        name = model_from_registry()
    else:
        name = model_from_cpuinfo(read(Path("/proc/cpuinfo")) or "") or model_from_lscpu(run(["lscpu"]) or "")
    return squeeze(name or "") or squeeze(platform.processor()) or platform.machine() or "unknown CPU"


def model_from_registry() -> str | None:
    """The name that Windows keeps in its registry; None elsewhere."""
    if sys.platform != "win32":
        return None
    import winreg  # noqa: PLC0415  (exists on Windows only)

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0])
    except OSError:
        return None


def usable_cores(read: ReadText = read_text) -> int:
    """How many cores this process may use: affinity, and a container's quota where that is lower."""
    if sys.platform != "win32" and hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = cgroup_quota(read)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cgroup_quota(read: ReadText = read_text) -> float | None:
    """The CPU quota in cores that Linux control groups set (v2, then v1); None: no limit.

    In v2 every group on the way to the root may set its own ``cpu.max``; the lowest holds.
    """
    own = re.search(r"^0::(/.*)$", read(Path("/proc/self/cgroup")) or "", re.MULTILINE)
    root = Path("/sys/fs/cgroup")
    group = root / (own[1].strip("/") if own else "")
    limits = [
        quota_v2(read(folder / "cpu.max")) for folder in (group, *group.parents) if root in (folder, *folder.parents)
    ]
    limits.append(quota_v1(read(root / "cpu" / "cpu.cfs_quota_us"), read(root / "cpu" / "cpu.cfs_period_us")))
    quotas = [limit for limit in limits if limit is not None]
    return min(quotas) if quotas else None


def quota_v2(text: str | None) -> float | None:
    """The cores of a ``cpu.max`` line: ``150000 100000`` is 1.5, ``max 100000`` is no limit."""
    found = re.fullmatch(r"(\d+) (\d+)", (text or "").strip())
    return int(found[1]) / int(found[2]) if found and int(found[2]) else None


def quota_v1(quota: str | None, period: str | None) -> float | None:
    """The cores of ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us``; a quota of -1 is no limit."""
    return quota_v2(f"{(quota or '').strip()} {(period or '').strip()}")
