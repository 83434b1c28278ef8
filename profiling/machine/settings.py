"""What script and environment have set, read without setting anything, so that no advice repeats it."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from stallscope.traces.model.manifest import LoaderSettings, OptimizerSettings, Settings

BLOCKING = ("CUDA_LAUNCH_BLOCKING", "HIP_LAUNCH_BLOCKING")
NO_CACHE = ("PYTORCH_NO_CUDA_MEMORY_CACHING", "PYTORCH_NO_HIP_MEMORY_CACHING")
OFF = ("", "0")
T = TypeVar("T")


def settings(torch: Any, loaders: Iterable[LoaderSettings], optimizers: Iterable[OptimizerSettings]) -> Settings:
    """What is set now; ``torch`` None: the script has not imported it."""
    return Settings(
        launch_blocking=_any_set(os.environ, BLOCKING),
        no_caching_allocator=_any_set(os.environ, NO_CACHE),
        anomaly=_read(lambda: bool(torch.is_anomaly_enabled())),
        deterministic=_read(lambda: bool(torch.are_deterministic_algorithms_enabled())),
        cudnn_benchmark=_read(lambda: bool(torch.backends.cudnn.benchmark)),
        matmul_precision=_read(lambda: str(torch.get_float32_matmul_precision())),
        default_dtype=_read(lambda: str(torch.get_default_dtype()).removeprefix("torch.")),
        loaders=list(dict.fromkeys(loaders)),
        optimizers=list(dict.fromkeys(optimizers)),
    )


def _any_set(environ: Mapping[str, str], names: Iterable[str]) -> bool:
    return any(environ.get(name, "") not in OFF for name in names)


def _read(ask: Callable[[], T]) -> T | None:
    """What torch answers; None where it refuses to (after the other of its two ways to set TF32 was used)."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        return ask()
    return None
