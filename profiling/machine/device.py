"""The device as capture sees it: does it run ahead of the host, and how to wait for it.

Never initialises a device: one that the script does not use stays untouched.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

from stallscope.profiling.machine.nvml import gpu_state
from stallscope.traces.model.manifest import GpuState


class Device(Protocol):
    """What the training runs on."""

    @property
    def name(self) -> str:
        """``cpu``, ``cuda``, ``xpu`` or ``mps``."""

    @property
    def queues(self) -> bool:
        """Whether work is queued, so that the host runs ahead."""

    @property
    def busy_capturing(self) -> bool:
        """Whether a graph is being captured, during which nobody may synchronize."""

    def synchronize(self) -> None:
        """Wait until all queued work is done."""

    def state(self) -> GpuState | None:
        """Its clocks, power and temperature now; None: unknown, or no GPU."""


class Host:
    """The CPU: nothing is queued."""

    name = "cpu"
    queues = False
    busy_capturing = False

    def synchronize(self) -> None:
        """Do nothing: there is no queue."""

    def state(self) -> GpuState | None:
        """None: this is no GPU."""
        return None


class Accelerator:
    """A GPU that the script has initialised."""

    queues = True

    def __init__(self, name: str, api: Any) -> None:
        self.name = name
        self._api = api
        self._synchronize = api.synchronize  # as it is now: call sites are found by replacing it for a while

    @property
    def busy_capturing(self) -> bool:
        """Whether a CUDA graph is being captured on the current stream."""
        asked = getattr(self._api, "is_current_stream_capturing", None)
        return bool(asked()) if asked is not None else False

    def synchronize(self) -> None:
        """Wait for the current device."""
        self._synchronize()

    def state(self) -> GpuState | None:
        """Ask the driver."""
        return gpu_state(self._api) if self.name == "cuda" else None


def find_device(torch: ModuleType) -> Device:
    """The accelerator that the script has initialised by now, else the host."""
    for name in ("cuda", "xpu"):
        api = getattr(torch, name, None)
        asked = getattr(api, "is_initialized", None)
        if asked is not None and asked():
            return Accelerator(name, api)
    mps = getattr(torch, "mps", None)
    if mps is not None and torch.backends.mps.is_available() and mps.current_allocated_memory() > 0:
        return Accelerator("mps", mps)
    return Host()
