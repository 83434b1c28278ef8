"""What a trace may cost to read: size, inflate ratio, nesting, memory. Reaching a limit refuses the file, exit code 4.

A limit protects against files made to exhaust a machine, and against the kernel's out-of-memory killer, which says
nothing. Each refusal names the option that lifts it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stallscope.traces.model.errors import BadInput, Refused

GB = 10**9
LARGEST_LIMIT = 1e9  # of any option: beyond it a number is a slip
RATIO_FROM_BYTES = 64 * 2**20  # below, a high ratio costs nothing
LONGEST_NAME = 2**16  # characters kept of a name; the longest in real traces has 5 160
CGROUP_FILES = (
    "/sys/fs/cgroup/memory.max",  # version 2
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",  # version 1
)
SHARE_OF_MEMORY = 0.9  # of what this process may have: the rest is for what runs beside it
BYTES_PER_EVENT = 250  # still needed when the last block has been read: joining, sorting, one stage of the analysis


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one reading. The defaults let every real trace pass.

    ``watch`` is told, after each piece of about 1 MB, the path and how many bytes of the file have been read; what it
    raises ends the reading.
    """

    max_bytes: int = 64 * GB  # of text, after inflating
    max_ratio: float = 200.0  # inflated ÷ compressed bytes; real traces reach 30
    max_depth: int = 64  # nested arrays and objects; real traces reach 7
    max_memory: int | None = None  # bytes; None: what the cgroup, the address space limit and the machine leave
    watch: Callable[[str, int], None] | None = None


DEFAULT = Limits()


def limits(size_gb: float | None, ratio: float | None, depth: int | None, memory_gb: float | None) -> Limits:
    """The default limits, but for those that are given.

    Raises:
        BadInput: one is no positive number, or none that can be counted to.

    """
    for option, given in (("--max-size", size_gb), ("--max-ratio", ratio), ("--max-memory", memory_gb)):
        if given is not None and not 0 < given < LARGEST_LIMIT:
            raise BadInput(f"{option} {given:g}: must be a number above 0 and below {LARGEST_LIMIT:g}")
    return Limits(
        max_bytes=DEFAULT.max_bytes if size_gb is None else int(size_gb * GB),
        max_ratio=DEFAULT.max_ratio if ratio is None else ratio,
        max_depth=DEFAULT.max_depth if depth is None else depth,
        max_memory=None if memory_gb is None else int(memory_gb * GB),
    )


def check_size(path: str, inflated: int, compressed: int, limits: Limits) -> None:
    """Refuse text that is too long, or that inflates as no recorded trace does.

    Raises:
        Refused: a limit of ``limits`` is passed after ``inflated`` bytes of text from ``compressed`` bytes of file.

    """
    if limits.watch is not None:
        limits.watch(path, compressed)
    if inflated > limits.max_bytes:
        raise Refused(
            f"{path}: more than {limits.max_bytes / GB:g} GB of text; if the file is meant to be that large, "
            f"allow it with --max-size {_next(inflated / GB)}"
        )
    if inflated > RATIO_FROM_BYTES and inflated > limits.max_ratio * compressed:
        raise Refused(
            f"{path}: inflates more than {limits.max_ratio:g} times, as recorded traces do not; if you trust it, "
            f"allow it with --max-ratio {_next(inflated / max(1, compressed))}"
        )


def too_deep(path: str, limits: Limits) -> Refused:
    """The refusal of a document nested deeper than ``limits.max_depth``."""
    return Refused(
        f"{path}: nested deeper than {limits.max_depth} levels, as no trace is; if you trust it, allow it with "
        f"--max-depth {4 * limits.max_depth}"
    )


def out_of_memory(path: str, events: int | None = None, used: int | None = None, budget: int | None = None) -> Refused:
    """The refusal of a file that does not fit into memory."""
    share = "" if used is None or budget is None else f" ({used / GB:.2g} GB of {budget / GB:.2g} GB)"
    after = "" if events is None else f" after {events} events"
    return Refused(
        f"{path}: not enough memory{after}{share}; use a machine with more, record fewer steps, or "
        "set another budget with --max-memory"
    )


def _next(value: float) -> str:
    """The next power of two at or above ``value``."""
    return f"{1 << max(0, int(value)).bit_length():d}"


class MemoryGuard:
    """Compares what this process uses with what it may use; where neither can be found out, it lets all pass."""

    def __init__(self, path: str, limits: Limits) -> None:
        self._path = path
        self._resident = limits.max_memory or _resident_budget()
        self._virtual = _virtual_budget()

    def check(self, events: int) -> None:
        """Refuse to go on when ``events`` and what is still to be made of them would not fit.

        Raises:
            Refused: the budget is used up.

        """
        used = _memory_used()
        if used is None:
            return
        ahead = events * BYTES_PER_EVENT
        for now, budget in zip(used, (self._virtual, self._resident), strict=True):
            if budget is not None and now + ahead > budget:
                raise out_of_memory(self._path, events, now + ahead, budget)


def _memory_used() -> tuple[int, int] | None:
    """(virtual, resident) bytes of this process; None where the system does not say (no /proc)."""
    try:
        virtual, resident = Path("/proc/self/statm").read_bytes().split()[:2]
    except (OSError, ValueError):
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    return int(virtual) * page, int(resident) * page


def _resident_budget() -> int | None:
    """The smaller of the cgroup's limit and the machine's memory, less a reserve."""
    told = [limit for limit in (*map(_number_in, CGROUP_FILES), machine_memory()) if limit is not None]
    return int(min(told) * SHARE_OF_MEMORY) if told else None


def _number_in(file: str) -> int | None:
    try:
        return int(Path(file).read_text(encoding="ascii"))
    except (OSError, ValueError):  # absent, or "max"
        return None


def machine_memory() -> int | None:
    """The machine's memory, bytes; None where the system does not say (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _virtual_budget() -> int | None:
    """``ulimit -v``; None: no limit."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
