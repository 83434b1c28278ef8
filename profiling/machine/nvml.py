"""A GPU's clocks, power and temperature at one moment, from NVIDIA's driver library: no tool is started, nothing waits.

Asked only for a GPU that the script has initialised, and outside of what is timed. Whatever is missing is None.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import time
from collections.abc import Callable
from typing import Any

from stallscope.traces.model.manifest import GpuState

LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
SM_CLOCK, MEMORY_CLOCK, GPU_SENSOR = 1, 2, 0  # of NVML's enumerations
MILLIWATTS = 1000
SLOWED_BY = (  # bits of nvmlClocksThrottleReasons; the others (idle, settings of a user) are no trouble
    ("power", 0x4 | 0x80),  # the software's power cap, the power brake
    ("heat", 0x20 | 0x40),
    ("hardware", 0x8),
)
AT_MOST_NS = 50_000_000  # a driver that takes longer to answer is not asked again


class Nvml:
    """The driver library, opened. ``library`` has its functions, each of which returns 0 where it succeeds.

    Raises:
        OSError: it is not installed, or does not start.
        AttributeError: it lacks a function.
    """

    def __init__(self, library: Any) -> None:
        number, wide = ctypes.POINTER(ctypes.c_uint), ctypes.POINTER(ctypes.c_ulonglong)
        handle, kind = ctypes.c_void_p, ctypes.c_int
        start = _declared(library.nvmlInit_v2)
        self._find = _declared(library.nvmlDeviceGetHandleByUUID, ctypes.c_char_p, ctypes.POINTER(handle))
        self._clock = _declared(library.nvmlDeviceGetClockInfo, handle, kind, number)
        self._power = _declared(library.nvmlDeviceGetPowerUsage, handle, number)
        self._temperature = _declared(library.nvmlDeviceGetTemperature, handle, kind, number)
        self._reasons = _declared(library.nvmlDeviceGetCurrentClocksThrottleReasons, handle, wide)
        if start() != 0:
            raise OSError("NVML does not start")

    def state(self, uuid: str) -> GpuState | None:
        """The state of the GPU ``GPU-…``; None: the driver does not know it."""
        handle = ctypes.c_void_p()
        if self._find(uuid.encode("ascii", "replace"), ctypes.byref(handle)) != 0:
            return None
        power = self._number(self._power, handle)
        reasons = ctypes.c_ulonglong()
        knows_reasons = self._reasons(handle, ctypes.byref(reasons)) == 0
        return GpuState(
            sm_mhz=self._number(self._clock, handle, SM_CLOCK),
            memory_mhz=self._number(self._clock, handle, MEMORY_CLOCK),
            power_w=None if power is None else power / MILLIWATTS,
            temperature_c=self._number(self._temperature, handle, GPU_SENSOR),
            slowed_by=[name for name, bits in SLOWED_BY if knows_reasons and reasons.value & bits],
        )

    @staticmethod
    def _number(function: Callable[..., int], *arguments: Any) -> int | None:
        answer = ctypes.c_uint()
        return int(answer.value) if function(*arguments, ctypes.byref(answer)) == 0 else None


def _declared(function: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = ctypes.c_int, list(arguments)
    return function


@functools.cache
def _opened() -> Nvml | None:
    try:
        return Nvml(ctypes.CDLL(LIBRARY))
    except (OSError, AttributeError):
        return None


class Asking:
    """Asks the driver until it is too slow. ``opened`` gives the library; None: there is none."""

    def __init__(
        self, opened: Callable[[], Nvml | None] = _opened, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._opened, self._clock = opened, clock
        self._too_slow = False

    def state(self, cuda: Any) -> GpuState | None:
        """The state of the current device of ``torch.cuda``."""
        nvml = None if self._too_slow else self._opened()
        if nvml is None:
            return None
        uuid = getattr(cuda.get_device_properties(cuda.current_device()), "uuid", None)
        if uuid is None:  # torch does not tell which of the driver's GPUs it is
            return None
        started = self._clock()
        found = nvml.state(f"GPU-{str(uuid).removeprefix('GPU-')}")
        self._too_slow = self._clock() - started > AT_MOST_NS
        return found


gpu_state = Asking().state
