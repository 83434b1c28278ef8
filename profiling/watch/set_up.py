"""How DataLoaders and optimizers were made, read off those that are used. Nothing of the user's is kept."""

from __future__ import annotations

from typing import Any

from stallscope.traces.model.manifest import LoaderSettings, OptimizerSettings


def loader_settings(iterator: Any) -> LoaderSettings:
    """How the DataLoader of this iterator was made."""
    prefetch = getattr(iterator, "_prefetch_factor", None)
    return LoaderSettings(
        workers=int(getattr(iterator, "_num_workers", 0)),
        pinned=bool(getattr(iterator, "_pin_memory", False)),
        persistent=bool(getattr(iterator, "_persistent_workers", False)),
        prefetch=prefetch if isinstance(prefetch, int) else None,
    )


def optimizer_settings(optimizer: Any) -> OptimizerSettings:
    """What an optimizer was told to do, as far as it keeps it."""
    told = getattr(optimizer, "defaults", None)
    told = told if isinstance(told, dict) else {}
    flags = {
        name: told[name] if isinstance(told.get(name), bool) else None for name in ("foreach", "fused", "capturable")
    }
    return OptimizerSettings(name=type(optimizer).__name__, **flags)
