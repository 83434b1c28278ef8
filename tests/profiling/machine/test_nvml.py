"""Asking NVIDIA's driver library, with a stand-in for it: functions of the same C signatures."""

import ctypes
from types import SimpleNamespace

import pytest

from stallscope.profiling.machine.nvml import Asking, Nvml
from stallscope.traces.model.manifest import GpuState

NUMBER, WIDE, HANDLE = ctypes.POINTER(ctypes.c_uint), ctypes.POINTER(ctypes.c_ulonglong), ctypes.c_void_p
NOT_SUPPORTED = 3


def library(*, reasons=0x4 | 0x20, power=612_500, start=0):
    """A driver of one GPU, ``GPU-aa-bb``; ``power`` None: it does not tell."""

    def find(uuid, handle):
        if uuid != b"GPU-aa-bb":
            return NOT_SUPPORTED
        handle[0] = 7
        return 0

    def clock(handle, kind, answer):
        answer[0] = {1: 1980, 2: 3201}[kind]
        return 0 if handle == 7 else NOT_SUPPORTED

    def watts(_handle, answer):
        answer[0] = power or 0
        return NOT_SUPPORTED if power is None else 0

    def degrees(_handle, _sensor, answer):
        answer[0] = 61
        return 0

    def why(_handle, answer):
        answer[0] = reasons
        return 0

    c_int, signature = ctypes.c_int, ctypes.CFUNCTYPE
    return SimpleNamespace(
        nvmlInit_v2=signature(c_int)(lambda: start),
        nvmlDeviceGetHandleByUUID=signature(c_int, ctypes.c_char_p, ctypes.POINTER(HANDLE))(find),
        nvmlDeviceGetClockInfo=signature(c_int, HANDLE, c_int, NUMBER)(clock),
        nvmlDeviceGetPowerUsage=signature(c_int, HANDLE, NUMBER)(watts),
        nvmlDeviceGetTemperature=signature(c_int, HANDLE, c_int, NUMBER)(degrees),
        nvmlDeviceGetCurrentClocksThrottleReasons=signature(c_int, HANDLE, WIDE)(why),
    )


def cuda(uuid="aa-bb"):
    """A ``torch.cuda`` whose current device has this uuid."""
    return SimpleNamespace(current_device=lambda: 0, get_device_properties=lambda _index: SimpleNamespace(uuid=uuid))


def test_clocks_power_temperature_and_what_slows_the_gpu_down():
    """1980 and 3201 MHz, 612.5 W, 61 degrees, held down by the power cap (bit 2) and by heat (bit 5)."""
    assert Nvml(library()).state("GPU-aa-bb") == GpuState(
        sm_mhz=1980, memory_mhz=3201, power_w=612.5, temperature_c=61, slowed_by=["power", "heat"]
    )


def test_what_the_driver_does_not_tell_is_none():
    """No power on this GPU; an unknown GPU; a library that does not start, or is of another kind."""
    found = Nvml(library(power=None, reasons=1)).state("GPU-aa-bb")
    assert found == GpuState(sm_mhz=1980, memory_mhz=3201, power_w=None, temperature_c=61, slowed_by=[])
    assert Nvml(library()).state("GPU-cc") is None
    with pytest.raises(OSError, match="does not start"):
        Nvml(library(start=9))
    with pytest.raises(AttributeError):
        Nvml(SimpleNamespace())


def test_the_current_device_is_found_by_its_uuid_and_a_slow_driver_is_asked_once():
    """With or without the prefix; None without a library or a uuid; after an answer of 60 ms nothing more is asked."""
    nvml = Nvml(library())
    for uuid in ("aa-bb", "GPU-aa-bb"):
        assert Asking(lambda: nvml).state(cuda(uuid)).sm_mhz == 1980
    assert Asking(lambda: nvml).state(cuda(None)) is None
    assert Asking(lambda: None).state(cuda()) is None
    times = iter([0, 60_000_000])
    slow = Asking(lambda: nvml, lambda: next(times))
    assert slow.state(cuda()).temperature_c == 61
    assert slow.state(cuda()) is None
