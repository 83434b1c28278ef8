"""Types of the contract's larger lists: operators, launches, kernels, modules, places, peers. See ``contract.py``."""

from __future__ import annotations

import msgspec


class OperatorRow(msgspec.Struct, frozen=True, kw_only=True):
    """One operator name. Self times leave out nested operators; device time belongs to the innermost operator."""

    name: str
    calls_per_step: float
    host_us_per_step: float  # total: outermost calls of this name
    host_self_us_per_step: float
    device_us_per_step: float | None  # sum of durations of the device work launched directly under it
    launches_per_step: float | None  # directly under it
    device_total_us_per_step: float | None = None  # the same with the work of the operators inside
    launches_total_per_step: float | None = None


class KernelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel name."""

    name: str
    count_per_step: float
    us_per_step: float  # sum of durations
    mean_us: float
    short_name: str = ""  # function and telling template arguments of a C++ name
    family: str = "unknown"  # "product", "convolution", "pointwise" …: see ``traces/vendors/kernels.py``
    dtype: str = "unknown"  # the type it computes in, where its name tells: "f32", "tf32", "bf16" …


class ModuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One ``nn.Module`` instance. *Self* leaves out the modules inside, *total* does not.

    Backward work counts for the module of its forward operator. The row ``(no module)`` holds what belongs to none,
    so the self columns of device and launches sum to the step's.
    """

    name: str  # "Linear_3": class, and number of the instance in order of first call in the trace
    parent: str | None  # the module that calls it
    calls_per_step: float
    host_us_per_step: float  # total time in its forward calls
    host_self_us_per_step: float
    device_forward_us_per_step: float | None  # totals: sum of durations
    device_forward_self_us_per_step: float | None
    device_backward_us_per_step: float | None
    device_backward_self_us_per_step: float | None
    launches_per_step: float | None  # its own, forward and backward
    launches_total_per_step: float | None
    type: str | None = None  # class; then ``name`` is qualified, "encoder.layers.3.attn", or a root's class


class CallSiteRow(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the program. ``(no call site)`` is what belongs to none, so that the columns sum to the step's."""

    call_site: str  # "train.py:47"; with ``is_call`` false "helper (train.py:6)", where the function is defined
    is_call: bool  # the line is that of the call
    host_us_per_step: float  # in operators called from there, without the operators in them; see ``call_sites.py``
    device_forward_us_per_step: float | None  # sum of durations
    device_backward_us_per_step: float | None
    launches_per_step: float | None
    called: str | None = None  # what is called there: "forward", "backward", "item", "optimizer" …
    callers: list[str] = msgspec.field(default_factory=list)  # lines that called the function of the place


class RankRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rank of the run, as a row of the table of all. What its trace would say is read with ``--rank``."""

    rank: int | None
    worker: str
    steps: int | None  # of its whole training; None: no manifest
    unprofiled_us: float | None  # mean step without the profiler
    step_us: float | None  # mean step under it
    complete: bool | None  # it ended and wrote all it had; None: no manifest


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Median and 90th percentile."""

    p50: float
    p90: float


class QueueFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Launches whose work has not started: how far the host runs ahead."""

    max: int | None
    p50: float | None  # over time
    at_step_ends: float | None  # median
    full_at: int | None  # as many as a stream's queue held when launches waited for room in it; None: never full
    blocked_launches_per_step: float  # waited for room
    blocked_us_per_step: float  # beyond what a launch takes


class OperatorLaunches(msgspec.Struct, frozen=True, kw_only=True):
    """The launches directly under one operator name; None: in no operator."""

    operator: str | None
    launches_per_step: float
    kernels_per_step: float | None
    call_us_per_step: float
    kernel_us_per_step: float | None
    latency_us: Spread | None
    short_kernels_per_step: float | None


class LaunchStats(msgspec.Struct, frozen=True, kw_only=True):
    """Kernel and graph launches that start in the window."""

    launches_per_step: float
    kernels_per_step: float | None  # that these launches ran
    kernel_us_per_step: float | None  # sum of their durations
    call_us: Spread | None
    latency_us: Spread | None  # device start − call start
    queue_delay_us: Spread | None  # device start − call end
    short_kernels_per_step: float | None  # ran for less time than their launch call took
    short_share: float | None  # of the launches of single kernels
    kernels_per_graph: float | None
    graph_call_us: Spread | None
    queue: QueueFigures | None
    operators: list[OperatorLaunches]  # most call time first; sums to the totals


class PeerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One figure as another tool defines it, and ours."""

    peer: str  # "HTA" | "torch-tb-profiler" | "TraceLens"
    figure: str  # "idle_time_us": its own name for it, with the unit
    what: str  # in words
    unit: str  # "us" | "share" (0..1) | "percent" | "count"
    value: float | None  # by its definition
    ours: float | None  # None: we have no such figure, or withhold it
    why: str  # why the two differ
