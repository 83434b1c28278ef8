"""What names of device rows tell: which way a copy goes and over which memory, what a kernel is for.

Kineto names copies of all vendors ``Memcpy HtoD (Pageable -> Device)``; on ROCm it says ``Host`` and ``?`` for kinds.
Kernels of RCCL have the names of NCCL's as often as their own.
"""

from __future__ import annotations

import re
from typing import Final

from stallscope.traces.model.fields import Direction, KernelFamily, Memory

_COPY: Final = re.compile(r"Memcpy\s+(\S+)\s*(?:\((.+?)\s*->\s*(.+?)\))?\s*$", re.IGNORECASE)
_DIRECTIONS: Final = {
    "HtoD": Direction.HtoD, "HtoA": Direction.HtoD, "HostToDevice": Direction.HtoD,
    "DtoH": Direction.DtoH, "AtoH": Direction.DtoH, "DeviceToHost": Direction.DtoH,
    "DtoD": Direction.DtoD, "AtoA": Direction.DtoD, "AtoD": Direction.DtoD, "DtoA": Direction.DtoD,
    "DeviceToDevice": Direction.DtoD, "HtoH": Direction.HtoH,
    "PtoP": Direction.PtoP, "PeerToPeer": Direction.PtoP,
}  # fmt: skip
_MEMORIES: Final = {"Pageable": Memory.pageable, "Pinned": Memory.pinned}
_LIBRARIES: Final = ("nccl", "rccl")
_COLLECTIVES: Final = tuple(f"{library}{kernel}" for library in _LIBRARIES for kernel in ("kernel", "devkernel"))
_PRODUCTS: Final = (
    "gemm", "gemv", "conv", "cutlass", "cudnn", "xmma", "wgrad", "dgrad", "winograd", "fft", "mma", "s884", "s1688",
    "s16816", "attention", "flash", "cijk", *_LIBRARIES,
)  # fmt: skip
_OF_GPUS: Final = tuple(f"{library}:" for library in (*_LIBRARIES, "xccl"))
_COLLECTIVE_RANGE: Final = re.compile(r"(nccl|gloo|mpi|ucc|hccl|xccl):\w")


def copy_of(name: str) -> tuple[Direction, Memory]:
    """Which way the copy of this name goes, and the host's memory that it reads or writes."""
    found = _COPY.match(name)
    direction = _DIRECTIONS.get(found[1], Direction.unknown) if found else Direction.unknown
    if direction in (Direction.DtoD, Direction.PtoP):
        return direction, Memory.device
    side = {Direction.HtoD: 2, Direction.DtoH: 3}.get(direction)
    return direction, _MEMORIES.get(found[side], Memory.unknown) if found and side else Memory.unknown


def kernel_family(name: str) -> KernelFamily:
    """What the kernel of this name is for."""
    name = name.lower()
    if name.startswith(_LIBRARIES) or any(part in name for part in _COLLECTIVES):
        return KernelFamily.COLLECTIVE
    return KernelFamily.PRODUCT if any(part in name for part in _PRODUCTS) else KernelFamily.OTHER


def is_collective_range(name: str) -> bool:
    """Whether PyTorch put the range of this name around a collective: ``nccl:all_reduce``, ``gloo:…``."""
    return _COLLECTIVE_RANGE.match(name) is not None


def is_gpu_collective_range(name: str) -> bool:
    """Whether the collective of this range runs on GPUs alone: ``nccl:all_reduce``, and not ``gloo:…``."""
    return name.startswith(_OF_GPUS)
