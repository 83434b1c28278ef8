"""The names and spellings of the Kineto Chrome trace, 2021 to 2026, as one table.

Everything that a file spells is looked up here; nothing else in the package compares raw names. Sources: Kineto's
``ActivityType`` (category names), files of all years (2021 spellings, ROCm names), CUDA, HIP and XPU runtime names.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Literal

Vendor = Literal["cuda", "rocm", "xpu", "mtia", "cpu"]


class Category(IntEnum):
    """What kind of activity a complete event is (Kineto's ``ActivityType``, spellings of all years merged)."""

    CPU_OP = 0
    ANNOTATION = 1  # user_annotation; in 2021 files the Operator rows of known annotation names
    PYTHON = 2
    RUNTIME = 3
    DRIVER = 4
    KERNEL = 5
    MEMCPY = 6
    MEMSET = 7
    DEVICE_SYNC = 8  # cuda_sync rows: never device work
    DEVICE_ANNOTATION = 9  # gpu_user_annotation: never device work
    OVERHEAD = 10
    OTHER = 11  # counted in ``Trace.unknown_categories``, kept out of every figure


DEVICE_WORK = (Category.KERNEL, Category.MEMCPY, Category.MEMSET)
CALLS = (Category.RUNTIME, Category.DRIVER)

OUR_CATEGORY = "stallscope"  # of what `stallscope annotate` paints in
CATEGORIES: dict[str, Category] = {
    # since 2022
    "cpu_op": Category.CPU_OP,
    "user_annotation": Category.ANNOTATION,
    "python_function": Category.PYTHON,
    "cuda_runtime": Category.RUNTIME,  # ROCm's hip* calls too
    "cuda_driver": Category.DRIVER,
    "kernel": Category.KERNEL,
    "gpu_memcpy": Category.MEMCPY,
    "gpu_memset": Category.MEMSET,
    "cuda_sync": Category.DEVICE_SYNC,
    "gpu_user_annotation": Category.DEVICE_ANNOTATION,
    "overhead": Category.OVERHEAD,
    # other vendors
    "mtia_runtime": Category.RUNTIME,
    "xpu_runtime": Category.RUNTIME,
    "privateuse1_runtime": Category.RUNTIME,
    "xpu_driver": Category.DRIVER,
    "privateuse1_driver": Category.DRIVER,
    "xpu_sync": Category.DEVICE_SYNC,
    # 2021
    "Operator": Category.CPU_OP,  # unless ANNOTATION_NAME says it is an annotation
    "Runtime": Category.RUNTIME,
    "Kernel": Category.KERNEL,
    "Memcpy": Category.MEMCPY,
    "Memset": Category.MEMSET,
    # known, and no figure is made of them
    "Trace": Category.OTHER,  # the profiler's own span
    "cpu_instant_event": Category.OTHER,
    "external_correlation": Category.OTHER,
    "cuda_event": Category.OTHER,
    "cuda_profiler_range": Category.OTHER,
    "collective_comm": Category.OTHER,
    "glow_runtime": Category.OTHER,
    "hardware_counters": Category.OTHER,
    "hpu_op": Category.OTHER,
    "mtia_ccp_events": Category.OTHER,  # device rows without a correlation to any call
    "mtia_counters": Category.OTHER,
    "mtia_insight": Category.OTHER,
    "xpu_scope_profiler": Category.OTHER,
    OUR_CATEGORY: Category.OTHER,
}

OPERATOR_2021 = "Operator"
ANNOTATION_NAME = re.compile(r"(ProfilerStep#|enumerate\(DataLoader\)#|Optimizer\.(step|zero_grad)#)")
MARK_PREFIX = "stallscope."  # ranges that an attribution window puts around calls: annotations in any category
BEYOND_MARKS = MARK_PREFIX[:-1] + chr(ord(MARK_PREFIX[-1]) + 1)  # what comes after them in order of text
SITE_MARK = "stallscope.site#"  # followed by a number in ``Manifest.call_sites``
MODULE_MARK = "stallscope.module#"  # followed by a number in ``Manifest.modules``
DISGUISE = "<stallscope>"  # function of a call that the marks make in the name of the line that made it
INSTALLED = re.compile(r".*[/\\](?:site|dist)-packages[/\\]")  # the folder of packages, before a package's own path
PROFILER_STEP = re.compile(r"ProfilerStep#(\d+)")

MEMORY_EVENT = "[memory]"
MEMORY_DEVICE_HOST = 0  # c10::DeviceType::CPU in "Device Type"

KERNEL_LAUNCH = re.compile(
    r"(?:cuda|cu)Launch(?:Cooperative)?Kernel"  # cudaLaunchKernelExC, cuLaunchKernelEx, …MultiDevice, …_ptsz
    r"|hip\w*LaunchKernel"  # hipLaunchKernel, hipExtLaunchKernel, hip(Ext|Hcc)ModuleLaunchKernel
    r"|hip\w*LaunchCooperativeKernel"
)
GRAPH_LAUNCH = re.compile(r"(?:cuda|cu|hip)GraphLaunch")
SYNC_CALL = re.compile(r"(?:cuda|cu|hip)(?:Device|Stream|Event|Ctx)Synchronize(?:_\w+)?$")

# What each vendor calls its runtime; the first that matches a runtime or driver name of the file decides.
VENDOR_OF_CALL: tuple[tuple[re.Pattern[str], Vendor], ...] = (
    (re.compile(r"hip[A-Z]"), "rocm"),
    (re.compile(r"cu(da)?[A-Z]"), "cuda"),
    (re.compile(r"ur[A-Z]|ze[A-Z]|pi[A-Z]"), "xpu"),
)
VENDOR_OF_CATEGORY: tuple[tuple[str, Vendor], ...] = (("mtia_", "mtia"), ("xpu_", "xpu"))
VENDOR_OF_DEVICE: tuple[tuple[re.Pattern[str], Vendor], ...] = (
    (re.compile(r"AMD|Radeon|Instinct", re.IGNORECASE), "rocm"),
    (re.compile(r"NVIDIA|Tesla|Quadro|GeForce|GRID", re.IGNORECASE), "cuda"),
    (re.compile(r"Intel", re.IGNORECASE), "xpu"),
)

RECORDED_FLAGS = frozenset({"record_shapes", "with_stack", "with_modules", "with_flops", "profile_memory"})


def is_kernel_launch(name: str) -> bool:
    """Whether a runtime or driver call of this name starts a kernel (graph launches excluded)."""
    return KERNEL_LAUNCH.match(name) is not None


def is_graph_launch(name: str) -> bool:
    """Whether a runtime or driver call of this name starts a graph: one launch however many kernels."""
    return GRAPH_LAUNCH.match(name) is not None


def is_sync_call(name: str) -> bool:
    """Whether a call of this name makes the host wait for a device, stream, event or context."""
    return SYNC_CALL.match(name) is not None


def is_annotation(name: str) -> bool:
    """Whether a 2021 ``Operator`` row of this name is an annotation (step, DataLoader fetch, optimizer range)."""
    return ANNOTATION_NAME.match(name) is not None


def is_mark(name: str) -> bool:
    """Whether a range of this name is a mark of an attribution window: part of no figure."""
    return name.startswith(MARK_PREFIX)


def mark_number(name: str, prefix: str) -> int | None:
    """The N of a mark ``stallscope.site#N`` or ``stallscope.module#N``; None for any other name."""
    number = name.removeprefix(prefix)
    return int(number) if number != name and number.isascii() and number.isdigit() else None


def step_number(name: str) -> int | None:
    """The N of ``ProfilerStep#N``; None for any other name."""
    found = PROFILER_STEP.fullmatch(name)
    return None if found is None else int(found[1])
