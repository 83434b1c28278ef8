"""The libraries that choose the kernels."""

from __future__ import annotations

from importlib import metadata
from types import SimpleNamespace

import pytest

from stallscope.profiling.machine.libraries import libraries


def _torch(cuda: str | None, cudnn: int | None) -> SimpleNamespace:
    backend = SimpleNamespace(version=lambda: cudnn)
    return SimpleNamespace(version=SimpleNamespace(cuda=cuda), backends=SimpleNamespace(cudnn=backend))


def _no_package(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(("number", "version"), [(91002, "9.10.2"), (8902, "8.9.2"), (None, None)])
def test_cudnn_by_its_own_number(monkeypatch: pytest.MonkeyPatch, number: int | None, version: str | None) -> None:
    """Where no package tells, the library's number does: 10000 × major since 9.0, 1000 × before."""
    monkeypatch.setattr(metadata, "version", _no_package)
    assert libraries(_torch("13.0", number)) == ({} if version is None else {"cudnn": version})


def test_packages_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's packages tell both, with three numbers of the version."""
    there = {"nvidia-cublas": "13.1.0.3", "nvidia-cudnn-cu13": "9.13.0.50"}
    monkeypatch.setattr(metadata, "version", lambda name: there.get(name) or _no_package(name))
    assert libraries(_torch("13.0", 91002)) == {"cublas": "13.1.0", "cudnn": "9.13.0"}


def test_a_build_without_cuda_has_none() -> None:
    """Nor is anything asked where torch is missing."""
    assert libraries(_torch(None, 91002)) == libraries(None) == {}
