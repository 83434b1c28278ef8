"""What the verdict is made of: one step in plain µs and shares."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from stallscope.analysis.causes.long_calls import LongCalls, find_long_calls
from stallscope.analysis.causes.scatter import find_scatter
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import matches, rows_named
from stallscope.analysis.contract.summary import Breakdown, MachineInfo, MemcpyRow, PerStep, SyncSite
from stallscope.analysis.stages.activity import is_collective_range, is_dataloader
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.sync import STALLS
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Trace

CUT_SHORT = frozenset({"truncated_gzip", "gzip_crc", "truncated_json", "changed_while_reading"})
FEW_LAUNCHES = 5  # below this a step is not launch-bound, whatever its kernels
LAUNCH_COST_US = 300.0  # host time per launch above which it is not launching that takes the time
MOSTLY = 0.5
_optimizer_step = matches(re.compile(r"Optimizer\.step#"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One step. Times in µs; the classes of GPU idle time add up to it: input + sync + host."""

    vendor: str
    measured: bool  # device rows are there
    launches_known: bool
    refused: bool  # the trace is too broken for figures
    from_steps: bool
    step_us: float
    unexplained_share: float
    lost_share: float = 0.0  # of the window: device rows are missing there
    cut_short: bool = False  # the file ends before the recording did
    orphan_share: float  # of the device rows: those without a launch in the trace
    launches: float  # kernel and graph launches
    graph_launches: float
    launch_call_us: float
    kernels: float
    kernel_sum_us: float
    busy_us: float
    stall_us: float
    compute_us: float  # kernels that are no communication
    copy_us: float  # copies and memsets while no kernel runs
    communication_us: float  # collectives while nothing else runs on the GPU
    input_us: float  # in the DataLoader while the GPU idles
    dataloader_us: float  # in the DataLoader at all
    operators: float  # outermost operator calls outside the DataLoader
    operator_us: float  # host time in operators, all threads, outside the DataLoader (what runs inside is loading) …
    # … and without a GPU outside collectives, so that communication + dataloader + operator + rest is the step
    optimizer: str | None  # "SGD" of Optimizer.step#SGD.step
    optimizer_launches: float
    loader_workers: bool  # the DataLoader has worker processes
    fetch_us: float = 0.0  # one fetch of the DataLoader, mean; 0 without
    trains: bool = False  # a backward pass or an optimizer was seen
    gpus: int = 1  # that did work, of all ranks
    cores: int | None = None
    threads: int | None = None  # of PyTorch's operators
    scatter: float | None = None  # of a CPU run's time in operators: beyond the fastest of the same calls
    steps: int = 0  # recorded
    cut_steps: int = 0  # of which the recorder cut short
    long_calls: LongCalls | None = None  # few calls of the GPU's API in which most of the step passes
    sites: list[SyncSite] = field(default_factory=list)
    copies: list[MemcpyRow] = field(default_factory=list)

    @property
    def has_rows(self) -> bool:
        """Whether the window holds anything at all."""
        return self.step_us > 0

    @property
    def mean_kernel_us(self) -> float:
        """Mean kernel; 0 without kernels."""
        return self.kernel_sum_us / self.kernels if self.kernels else 0.0

    @property
    def idle_us(self) -> float:
        """No kernel, copy or memset runs."""
        return max(0.0, self.step_us - self.busy_us)

    @property
    def wait_cost_us(self) -> float:
        """The most that waits can cost: without them the host could have filled that much of the GPU's idling."""
        return min(self.stall_us, self.idle_us)

    @property
    def sync_us(self) -> float:
        """The same after the DataLoader has been held responsible for its part of the idle time."""
        return max(0.0, min(self.stall_us, self.idle_us - self.input_us))

    @property
    def host_us(self) -> float:
        """GPU idle while the host prepares work: neither loading data nor made up by waits."""
        return max(0.0, self.idle_us - self.input_us - self.sync_us)

    @property
    def working_host_us(self) -> float:
        """Host time that is neither a wait nor the DataLoader: it prepares and starts the work."""
        return max(0.0, self.step_us - self.stall_us - self.dataloader_us)

    @property
    def host_us_per_launch(self) -> float:
        """Host work per launch; 0 without launches."""
        return self.working_host_us / self.launches if self.launches else 0.0

    @property
    def drained(self) -> bool:
        """Whether most of the waiting began when the GPU had nothing left to do."""
        drained = sum(site.blocked_us_per_step * (site.drained_share or 0.0) for site in self.sites)
        return drained > MOSTLY * sum(site.blocked_us_per_step for site in self.sites)

    @property
    def launches_dominate(self) -> bool:
        """A mostly idle GPU, and launches of which each does less work on the GPU than it costs the host."""
        if self.launches < FEW_LAUNCHES or self.share(self.idle_us) < MOSTLY:
            return False
        return self.kernel_sum_us / self.launches < self.host_us_per_launch <= LAUNCH_COST_US

    @property
    def rest_us(self) -> float:
        """On the host in no operator, DataLoader or collective: Python, and whatever was not recorded."""
        exchanged = self.communication_us if self.vendor == "cpu" else 0.0
        return max(0.0, self.step_us - self.dataloader_us - self.operator_us - exchanged)

    @property
    def each(self) -> str:
        """What the figures are about, as it reads in a sentence."""
        return "each step" if self.from_steps else "the trace"

    def share(self, us: float) -> float:
        """Part of the step."""
        return us / self.step_us if self.step_us else 0.0


def find_facts(
    stages: Stages,
    *,
    refused: bool,
    per_step: PerStep,
    breakdown: Breakdown,
    sites: list[SyncSite] | None,
    copies: list[MemcpyRow] | None,
    machine: MachineInfo,
) -> Facts:
    """One step of the analysed window."""
    optimizer, optimizer_launches = _optimizer(stages)
    operators, operator_ns = find_operator_time(stages)
    trace, window = stages.trace, stages.window
    fetches = rows_named(trace, trace.events.rows(Category.CPU_OP, Category.ANNOTATION), is_dataloader)
    fetches = fetches[window.holds(trace.events.ts_ns[fetches])]
    return Facts(
        vendor=stages.trace.vendor,
        measured=stages.measured,
        launches_known=stages.launches.known,
        refused=refused,
        from_steps=stages.window.from_steps,
        step_us=stages.us(stages.window.length),
        unexplained_share=stages.unexplained_share or 0.0,
        lost_share=stages.losses.share(stages.window),
        cut_short=any(issue.name in CUT_SHORT for issue in stages.trace.issues),
        orphan_share=float((stages.launches.work_call < 0).mean()) if len(stages.trace.work) else 0.0,
        launches=stages.per_step(stages.launches.total),
        graph_launches=stages.per_step(stages.launches.graph_launches),
        launch_call_us=per_step.launch_call_us or 0.0,
        kernels=per_step.kernels or 0.0,
        kernel_sum_us=per_step.kernel_sum_us or 0.0,
        busy_us=per_step.gpu_busy_us or 0.0,
        stall_us=per_step.sync_stall_us or 0.0,
        compute_us=breakdown.kernel or 0.0,
        copy_us=(breakdown.memcpy or 0.0) + (breakdown.memset or 0.0),
        communication_us=breakdown.communication or 0.0,
        input_us=breakdown.dataloader or 0.0,
        dataloader_us=per_step.dataloader_us or 0.0,
        operators=stages.per_step(operators),
        operator_us=stages.us(operator_ns),
        optimizer=optimizer,
        optimizer_launches=stages.per_step(optimizer_launches),
        loader_workers=find_loader_workers(trace) is True,
        fetch_us=stages.activity.dataloader_ns / (1000 * len(fetches)) if len(fetches) else 0.0,
        trains=optimizer is not None or bool((stages.backward.forward >= 0).any()),
        gpus=max(len(stages.activity.devices), trace.world_size or 1),
        cores=machine.cores,
        threads=machine.threads,
        scatter=find_scatter(stages) if trace.vendor == "cpu" else None,
        steps=window.count,
        cut_steps=int((~window.whole).sum()),
        long_calls=find_long_calls(stages, breakdown),
        sites=[site for site in sites or [] if site.kind in STALLS and not site.by_profiler],
        copies=copies or [],
    )


def find_loader_workers(trace: Trace) -> bool | None:
    """Whether a DataLoader of the trace has worker processes; None: there is no DataLoader in it."""
    names = [name for name in trace.strings if is_dataloader(name)]
    return any("_MultiProcessing" in name for name in names) if names else None


def find_operator_time(stages: Stages) -> tuple[int, int]:
    """Operator calls that lie in no other operator, and the ns in operators; neither counts what the DataLoader runs.

    Without a GPU neither counts what runs during a collective: that time is the collective's, as in the breakdown.

    Without worker processes its fetches run operators in the training process (stacking a batch, say). The fetch's own
    range, an operator to some versions of PyTorch, falls out with them.
    """
    trace, window, found = stages.trace, stages.window, stages.operators
    host = trace.events.rows(Category.CPU_OP, Category.ANNOTATION)
    without_gpu = trace.vendor == "cpu"
    loading = window.cover(
        trace, rows_named(trace, host, lambda name: is_dataloader(name) or (without_gpu and is_collective_range(name)))
    )
    starts = trace.events.ts_ns[found.rows[found.parent[found.rows] < 0]]
    calls = int((window.holds(starts) & ~intervals.covers(loading, starts)).sum())
    return calls, intervals.total(intervals.subtract(window.cover(trace, found.rows), loading))


def _optimizer(stages: Stages) -> tuple[str | None, int]:
    """Name of the optimizer and the launches inside its steps."""
    trace = stages.trace
    rows = rows_named(trace, trace.events.rows(Category.ANNOTATION), _optimizer_step)
    if not len(rows):
        return None, 0
    name = trace.name_of(int(rows[0])).removeprefix("Optimizer.step#").removesuffix(".step")
    inside = intervals.covers(stages.window.cover(trace, rows), trace.events.ts_ns[stages.launches.calls])
    return name, int(np.count_nonzero(inside))
