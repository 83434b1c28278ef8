"""The version of Stallscope, as it was installed."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """``"0.1.0"``; ``"unknown"`` where the code runs from a folder that was never installed."""
    try:
        return metadata.version("stallscope")
    except metadata.PackageNotFoundError:
        return "unknown"
