"""Manifests as small as a test needs."""

from __future__ import annotations

from typing import Any

from stallscope.traces.model.manifest import Machine, Manifest, Steps


def manifest(*, threads: int | None = None, cores: int = 2, steps_count: int = 3, **facts: Any) -> Manifest:
    """A run on a CPU of so many cores, with these facts."""
    machine = Machine(os="linux", python="3.12", cpu="a CPU", cores=cores, threads=threads, torch="2.13.0+cpu")
    told = {"command": ["train.py"], **facts}
    return Manifest(
        stallscope="1", created="2026-01-01T00:00:00+00:00", worker="w", pid=1, machine=machine,
        steps=Steps(count=steps_count, source="optimizer"), **told,
    )  # fmt: skip
