"""The versions of the libraries that choose a training's kernels: counts agree only where these agree."""

from __future__ import annotations

from importlib import metadata
from typing import Any, Final

NAMES: Final = ("cublas", "cudnn")
SUFFIXES: Final = ("", "-cu13", "-cu12", "-cu11")  # of NVIDIA's packages, which torch's wheels depend on
V9: Final = 90000  # cuDNN's number since 9.0: 10000 × major; before: 1000 ×


def libraries(torch: Any | None) -> dict[str, str]:
    """CuBLAS and cuDNN of a CUDA build of torch by name; what cannot be told is left out."""
    if torch is None or getattr(torch.version, "cuda", None) is None:
        return {}
    found = {name: version for name in NAMES if (version := _packaged(name)) is not None}
    if "cudnn" not in found and (told := _cudnn(torch)) is not None:
        found["cudnn"] = told
    return found


def _packaged(name: str) -> str | None:
    for suffix in SUFFIXES:
        try:
            return ".".join(metadata.version(f"nvidia-{name}{suffix}").split(".")[:3])
        except metadata.PackageNotFoundError:
            continue
    return None


def _cudnn(torch: Any) -> str | None:
    """What the library says of itself, where it is part of the build."""
    try:
        number = int(torch.backends.cudnn.version() or 0)
    except Exception:  # noqa: BLE001 - a broken library must not end a training
        return None
    if not number:
        return None
    scale = 10000 if number >= V9 else 1000
    return f"{number // scale}.{number % scale // 100}.{number % 100}"
