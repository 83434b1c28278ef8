"""The words of the Kineto Chrome trace, 2021 to 2026: categories, ranges, marks; and what names of calls mean.

What CUDA, HIP and Level Zero call things is in ``traces/vendors``; the reader turns it into the enums below. Sources:
Kineto's ``ActivityType`` (category names) and files of all years.
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

PRODUCTS = frozenset({  # operators, by the places of the two matrices among their inputs
    "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mv", "aten::addmv", "aten::_int_mm",
    "aten::_scaled_mm", "aten::_addmm_activation",
})  # fmt: skip
CONVOLUTIONS = frozenset({"aten::convolution", "aten::convolution_backward"})
ATTENTION = frozenset({
    f"aten::_scaled_dot_product_{kind}_attention{way}"
    for kind in ("flash", "efficient", "cudnn")
    for way in ("", "_backward")
})  # fmt: skip
WITH_SHAPES = PRODUCTS | CONVOLUTIONS | ATTENTION  # operators of which the shapes are read

OUR_CATEGORY = "stallscope"  # of what `stallscope annotate` paints in


class CallKind(IntEnum):
    """What a runtime or driver call does, as its name tells (``traces/vendors``); one for all vendors."""

    OTHER = 0  # in no table, or no call at all
    KERNEL_LAUNCH = 1  # cooperative and extended ones too
    GRAPH_LAUNCH = 2  # one launch, however many kernels
    COPY_ASYNC = 3  # waits for nothing by itself; pageable memory may make it wait
    COPY = 4  # waits until it is done, but for copies within a device
    COPY_WAITS = 5  # waits whatever it copies
    MEMSET = 6
    DEVICE_SYNC = 7
    STREAM_SYNC = 8
    EVENT_SYNC = 9
    CONTEXT_SYNC = 10
    STREAM_WAIT = 11  # a stream waits for an event, the host does not
    EVENT_RECORD = 12
    POLL = 13  # asks whether an event or a stream is done
    DEVICE_ALLOCATION = 14
    DEVICE_FREE = 15
    POOL_ALLOCATION = 16  # in the order of a stream: waits for nothing
    POOL_FREE = 17
    PINNED_ALLOCATION = 18  # of host memory that the device can read by itself
    PINNED_FREE = 19
    MODULE_LOAD = 20  # of kernels
    CAPTURE_BEGIN = 21  # of a stream into a graph
    CAPTURE_END = 22
    GRAPH_INSTANTIATE = 23
    QUERY = 24  # of a property or a setting: costs next to nothing


LAUNCHES = (CallKind.KERNEL_LAUNCH, CallKind.GRAPH_LAUNCH)
COPIES = (CallKind.COPY_ASYNC, CallKind.COPY, CallKind.COPY_WAITS)
SYNCHRONIZES = (CallKind.DEVICE_SYNC, CallKind.STREAM_SYNC, CallKind.EVENT_SYNC, CallKind.CONTEXT_SYNC)
ALLOCATES = (  # slow, and some wait for the device
    CallKind.DEVICE_ALLOCATION,
    CallKind.DEVICE_FREE,
    CallKind.PINNED_ALLOCATION,
    CallKind.PINNED_FREE,
)


class Direction(IntEnum):
    """Which way a copy goes; its name is the word for it in the JSON."""

    unknown = 0
    HtoD = 1
    DtoH = 2
    DtoD = 3
    HtoH = 4
    PtoP = 5  # between devices


class Memory(IntEnum):
    """The host's memory that a copy reads or writes; its name is the word for it in the JSON."""

    unknown = 0
    pageable = 1
    pinned = 2
    device = 3  # none of the host's


class KernelFamily(IntEnum):
    """What a kernel does, as its name tells (``traces/vendors``)."""

    OTHER = 0
    COLLECTIVE = 1  # communication between devices
    PRODUCT = 2  # matrix products, convolutions, attention: a compiler cannot merge it with its neighbours


CATEGORIES_2021: dict[str, Category] = {
    "Operator": Category.CPU_OP,  # unless ANNOTATION_NAME says it is an annotation
    "Runtime": Category.RUNTIME,
    "Kernel": Category.KERNEL,
    "Memcpy": Category.MEMCPY,
    "Memset": Category.MEMSET,
}
CATEGORIES: dict[str, Category] = {
    **CATEGORIES_2021,
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

VENDOR_OF_CATEGORY: tuple[tuple[str, Vendor], ...] = (("mtia_", "mtia"), ("xpu_", "xpu"))
NOT_ANALYSED: tuple[Vendor, ...] = ("mtia", "xpu")  # no figure is made of their calls
RECORDED_FLAGS = frozenset({"record_shapes", "with_stack", "with_modules", "with_flops", "profile_memory"})


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
