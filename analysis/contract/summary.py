"""The JSON contract ``stallscope.summary/2`` as types. Checks outside this repository read it: names are stable.

Times are µs as floats, exact to the ns. ``None`` (JSON ``null``) is unknown or withheld; ``0`` is a measured zero.
Per-step figures are window totals ÷ number of steps. Definitions: docs/reference.md, "The words".
"""

from __future__ import annotations

import msgspec

from stallscope.analysis.contract.causes import Cause
from stallscope.analysis.contract.flops import Flops
from stallscope.analysis.contract.forecast import ForecastBase, WhatIf
from stallscope.analysis.contract.idle import Idle
from stallscope.analysis.contract.rows import (
    CallSiteRow,
    KernelRow,
    LaunchStats,
    ModuleRow,
    OperatorRow,
    PeerRow,
    RankRow,
)
from stallscope.analysis.contract.run import Attribution, PeriodicWork, StepPart, WholeRun
from stallscope.analysis.contract.shown import Shown

SUMMARY_SCHEMA = "stallscope.summary/2"
WOULD_SYNCHRONIZE = "would synchronize on a GPU"
WOULD_IF_COPIED = f"{WOULD_SYNCHRONIZE} if it copies to or from it"  # which a CPU run cannot tell


class TraceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What file this is about."""

    path: str
    vendor: str
    devices: list[str]
    rank: int | None
    world_size: int | None
    events: int
    span_us: float
    simulated: bool  # the trace says of itself that no hardware made it


class GpuInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU, from the manifest or else from the trace's device properties."""

    name: str
    architecture: str | None
    sms: int | None
    memory_bytes: int | None
    driver_model: str | None


class MachineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The machine; a bare trace knows only its GPUs."""

    cpu: str | None
    cores: int | None
    threads: int | None
    gpus: list[GpuInfo]
    torch: str | None
    others_on_gpu: list[str] | None


class IssueInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One TraceIssue."""

    name: str
    severity: str
    count: int
    advice: str
    share: float | None = None  # 0 to 1: the part of the events or of the time that is affected, as the advice says


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How far the figures can be trusted."""

    grade: str  # "ok" | "degraded" | "refused"
    issues: list[IssueInfo]
    unexplained_share: float | None


class WallTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Distribution of step times over the steps that look whole."""

    median: float
    mean: float
    p10: float
    p90: float
    samples: list[float]


class UnprofiledTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Step time without the profiler: (close − open) ÷ steps with the device synchronized at both ends."""

    mean: float
    steps: int  # without those left out
    host_samples: WallTimes  # host time between boundaries: a loop without syncs runs ahead of its GPU
    left_out: int = 0  # steps of the same window that held an evaluation


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of the window."""

    source: str  # "profiler_step" | "optimizer" | "dataloader" | "annotation" | "whole_trace": what marks the steps
    count: int
    step_us: float | None = None  # the step: its share of all that comes back, by host, or by device; None: not known
    run_ahead: bool = False  # the host's steps end long before their work does
    counted: int | None = None  # steps that ``step_us`` is the mean of: not cut, not cold, no outliers
    recurring: int = 0  # of these: long ones that come back
    window_us: float  # of the host
    window_start_ns: int | None = None  # on the trace's own clock
    window_end_ns: int | None = None
    device_window_us: float | None = None  # over which figures of the device are; None: the host's window
    device_window_start_ns: int | None = None
    device_window_end_ns: int | None = None
    startup_us: float = 0.0  # of activity before the first step
    shutdown_us: float = 0.0  # and after the last
    wall_us: WallTimes  # the host's time
    unprofiled_us: UnprofiledTimes | None
    inflation: float | None  # profiled mean step ÷ unprofiled mean step
    periodic: list[PeriodicWork] = msgspec.field(default_factory=list)  # most of the time first
    left_out: int = 0  # of ``count``: they held an evaluation, and are not in ``wall_us``
    made_of: list[StepPart] = msgspec.field(default_factory=list)  # empty: one step of one optimizer, or not known

    @property
    def time_us(self) -> float:
        """The one time of a step that every text uses; of an older file the median of the host's."""
        return self.wall_us.median if self.step_us is None else self.step_us


class QueueDelay(msgspec.Struct, frozen=True, kw_only=True):
    """Device start − call end; may be negative."""

    p50: float
    p90: float


class PerStep(msgspec.Struct, frozen=True, kw_only=True):
    """Window totals ÷ steps."""

    kernel_launches: float | None
    graph_launches: float | None
    kernels: float | None
    memcpys: float | None
    memsets: float | None
    sync_calls: float | None
    sync_call_us: float | None
    gpu_busy_us: float | None
    gpu_idle_us: float | None
    kernel_us: float | None
    kernel_sum_us: float | None
    memcpy_us: float | None
    memset_us: float | None
    communication_us: float | None
    launch_call_us: float | None
    sync_stall_us: float | None
    dataloader_us: float | None
    queue_delay_us: QueueDelay | None
    operator_us: float | None = (
        None  # without a GPU: in operators, outside DataLoader and collectives, each instant once
    )


class DeviceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Per-step figures of one device of a process that used several."""

    device: int
    kernels: float
    memcpys: float
    memsets: float
    gpu_busy_us: float
    gpu_idle_us: float | None
    kernel_us: float
    kernel_sum_us: float
    memcpy_us: float
    memset_us: float
    communication_us: float


class Utilization(msgspec.Struct, frozen=True, kw_only=True):
    """As torch-tb-profiler defines them (reference: its gpu_metrics_parser), over the window."""

    est_sm_efficiency: float | None  # 0..1
    est_occupancy: float | None  # percent, kernel-time weighted
    blocks_per_kernel: float | None  # mean grid size


class MemoryHolder(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked for memory that was held at the peak."""

    what: str  # a line, a module, else an operator; or what was held since before the recording
    bytes: int


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Device memory, bytes."""

    peak_allocated: int | None
    peak_reserved: int | None
    total: int | None
    alloc_retries: int | None
    ooms: int | None
    lowest_allocated: int | None = None  # of the samples in the window: what stays when a step's tensors are gone
    held_at_peak: list[MemoryHolder] = msgspec.field(default_factory=list)  # the largest; empty: not recorded
    larger_batch_low: float | None = None  # times the batch that fits, if all that is held grows with it
    larger_batch_high: float | None = None  # … if only what is above the lowest does


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """Each instant of the step given to the first class, in this order, that was active. Sums to the step."""

    kernel: float | None
    memcpy: float | None
    memset: float | None
    communication: float | None
    runtime: float | None
    dataloader: float | None
    cpu_op: float | None
    other: float | None


class Scaled(msgspec.Struct, frozen=True, kw_only=True):
    """The step as it is without the profiler, as far as the recorded one tells. See ``fill/scaled.py``.

    Figures that are not here keep their recorded value (kernels, copies: the GPU's own) or cannot be scaled (waits).
    """

    factor: float  # by which host times are multiplied
    step_us: float  # the unprofiled mean
    launch_call_us: float | None
    dataloader_us: float | None
    gpu_busy_us: float | None  # as recorded
    gpu_idle_us: float | None
    breakdown_us: Breakdown  # sums to ``step_us``
    idle_us: Idle  # sums to ``gpu_idle_us``


class SyncSite(msgspec.Struct, frozen=True, kw_only=True):
    """Where the host waited, or was held up by a call: one kind of call from one place.

    Where an attribution window told the lines of the script, a line is one row: its waits are added up, ``api`` and
    ``kind`` are those of the call that took most time (what it does beside waiting, allocations and the like, has rows
    of its own). Without a GPU the calls that would wait on one have rows of
    kind ``would_synchronize``, each call of a line its own, without ``api`` and time.
    """

    call_site: str | None  # "train.py:47", where the trace holds the line of the call
    operator: str | None
    api: str | None
    module: str | None
    calls_per_step: float
    blocked_us_per_step: float  # in the call
    idle_after_us_per_step: float | None  # no device works, from when the work ran out in the call until some starts
    kind: str = "synchronize"  # | "copy" | "allocation" | "queue_full" | "graph_launch"; the first two are the stall
    by_profiler: bool = False  # the profiler's own opening or closing synchronize: blamed on no one
    chain: str | None = None  # "aten::to < aten::_to_copy < aten::copy_", the outer operator first
    function: str | None = None  # "helper (train.py:6)", with the line where the function is defined
    thread: str | None = None
    waited_us_per_step: float | None = None  # blocked time beyond the call's own cost
    own_cost_us: float | None = None  # what one call costs by itself, mean
    waited_for: str | None = None  # the device work that most often ended the wait
    lag_us: float | None = None  # median of: end of the last work launched before the call − the call's start
    drained_share: float | None = None  # of the calls: the queue was empty already (lag ≤ 0)
    called: str | None = None  # what the line calls, by an attribution window: "item", "__bool__", "index" …
    exact: bool | None = None  # False: ``call_site`` is a function, with the line on which it is defined
    callers: list[str] = msgspec.field(default_factory=list)  # lines that called the function of ``call_site``
    stack: list[str] = msgspec.field(default_factory=list)  # from ``call_site`` outwards, of the most frequent caller
    apis: list[str] = msgspec.field(default_factory=list)  # all calls of the line, where these are several
    note: str | None = None  # WOULD_SYNCHRONIZE: nothing blocked here, on a GPU it would; WOULD_IF_COPIED: it may
    seen_in_steps: int | None = None  # of such a row: in how many of the attribution window's steps it was called


class MemcpyRow(msgspec.Struct, frozen=True, kw_only=True):
    """Copies of one direction and kind of host memory."""

    direction: str  # "HtoD" | "DtoH" | "DtoD" | "PtoP" | "HtoH" | "unknown"
    memory: str  # "pageable" | "pinned" | "device" | "unknown"
    count_per_step: float
    bytes_per_step: float | None
    us_per_step: float
    gb_per_s: float | None
    blocking: bool | None
    overlap_share: float | None = None  # of the copies' time, in which a kernel ran on the device
    non_blocking_trap_per_step: float | None = None  # copies for which non_blocking was asked, in pageable memory


class CopySite(msgspec.Struct, frozen=True, kw_only=True):
    """Copies of one direction and kind of host memory, made from one place."""

    direction: str
    memory: str
    call_site: str | None
    operator: str | None
    chain: str | None
    module: str | None
    function: str | None
    non_blocking: bool | None  # non_blocking=True was asked for; None: the trace does not tell
    count_per_step: float
    bytes_per_step: float | None
    us_per_step: float
    gb_per_s: float | None
    overlap_share: float | None  # of the copies' time, in which a kernel ran on the device
    blocked_us_per_step: float  # in the calls that made the host wait


class Savings(msgspec.Struct, frozen=True, kw_only=True):
    """Share of the step, 0 to 1, that would be saved if a class of work cost nothing; all None without a replay."""

    host: float | None = None
    sync: float | None = None
    input: float | None = None
    copy: float | None = None
    communication: float | None = None
    compute: float | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the step is bound by, in one word, one sentence, and advice."""

    kind: str  # "launch-bound" | "host-bound" | … | "mixed(host, input)" | "start-up" | "cpu" | "unknown" | "refused"
    confidence: str  # "ok" | "low confidence" | "refused": from a replay | "rule": from plain shares
    savings: Savings
    text: str
    not_the_cause: list[str]
    advice: list[str]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A named fact about machine or run that the user should act on."""

    name: str
    text: str


class Typical(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the steps that count alone: an answer is made of these, totals hold all steps."""

    count: int
    per_step: PerStep
    breakdown_us: Breakdown
    idle_us: Idle


class Summary(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """Everything `stallscope summary TRACE --format json` prints."""

    schema: str = SUMMARY_SCHEMA
    trace: TraceInfo
    machine: MachineInfo
    health: Health
    steps: Steps
    per_step: PerStep
    devices: list[DeviceFigures]
    utilization: Utilization
    memory: Memory
    breakdown_us: Breakdown
    idle_us: Idle
    sync_sites: list[SyncSite] | None
    memcpy: list[MemcpyRow] | None
    operators: list[OperatorRow]
    kernels: list[KernelRow] | None
    modules: list[ModuleRow] | None  # None: the trace tells of no module
    verdict: Verdict
    what_if: list[WhatIf] | None
    findings: list[Finding]
    launches: LaunchStats | None = None  # None: no known call was recorded
    copy_sites: list[CopySite] | None = None
    causes: list[Cause] = msgspec.field(default_factory=list)  # most saved first, then most cost
    call_sites: list[CallSiteRow] | None = None  # None: the trace holds neither call stacks nor Python frames
    peers: list[PeerRow] | None = None  # with ``--peers`` only
    scaled: Scaled | None = None  # None: the unprofiled step is not known, or tells nothing of the host's part
    attribution: Attribution | None = None  # None: no attribution trace was joined
    ranks: list[RankRow] = msgspec.field(default_factory=list)  # all of the run, by rank; empty where it has but one
    forecast: ForecastBase | None = None  # None: no forecast was tried
    typical: Typical | None = None  # None: every step counts
    flops: Flops | None = None  # None: no shapes were recorded
    run: WholeRun | None = None  # None: not recorded by `profile`, or it was killed
    loader_workers: bool | None = None  # the DataLoader has worker processes; None: no DataLoader was seen
