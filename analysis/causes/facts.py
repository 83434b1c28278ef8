"""What the verdict, the advice and the fixes are made of: the window in integer ns, as the stages found it.

A group that is None was not recorded: what rests on it is said to be unknown, never taken for 0. Means over devices are
floats. ``us``, ``share`` and ``per_step`` turn what the window holds into figures of one step. Where the host runs
ahead of the device, the window is the device's, and what the host did in its own is set to as many steps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stallscope.analysis.causes.scatter import find_scatter
from stallscope.analysis.causes.wait_kinds import find_wait_kinds
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import matches, rows_named
from stallscope.analysis.stages.absent import Absent, find_absent
from stallscope.analysis.stages.activity import is_dataloader
from stallscope.analysis.stages.captures import find_captures
from stallscope.analysis.stages.memcpy import CopyGroup
from stallscope.analysis.stages.sites_by_line import SitesOfLine, by_line
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.sync import Site
from stallscope.analysis.units import microseconds, percent
from stallscope.traces.model.fields import CallKind, Category
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.vendors.device_rows import is_collective_range

CUT_SHORT = frozenset({"truncated_gzip", "gzip_crc", "truncated_json", "changed_while_reading"})
FEW_LAUNCHES = 5  # below this a step is not launch-bound, whatever its kernels
LAUNCH_COST_NS = 300_000  # host time per launch above which it is not launching that takes the time
MOSTLY = 0.5
_optimizer_step = matches(re.compile(r"Optimizer\.step#"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """How far the trace can be trusted. Shares are parts of the window, 0 to 1."""

    refused: bool  # too broken for figures
    steps: int  # recorded; at least 1
    cut_steps: int  # of which the recorder cut short
    from_steps: bool  # False: the whole trace stands for one step
    unexplained_share: float | None  # the host waits for nothing that was recorded; None: device rows are withheld
    lost_share: float  # device rows are missing there
    late_share: float = 0.0  # the device idles with work that had been launched, and nothing recorded says why
    orphan_share: float | None  # of the device rows: those without a launch in the trace; None: there are none
    cut_short: bool  # the file ends before the recording did
    absent: Absent | None = None  # what the file lacks altogether

    @property
    def unknown_share(self) -> float:
        """The larger part of the window of which it is known that the trace does not hold what happened."""
        return max(share for share in (self.unexplained_share, self.lost_share) if share is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the training process did."""

    operators: int  # outermost operator calls outside the DataLoader
    operator_ns: int  # in operators, all threads, outside the DataLoader (what runs inside is loading) …
    # … and without a GPU outside collectives, so that communication + dataloader + operator + rest is the window
    optimizer: str | None  # "SGD" of Optimizer.step#SGD.step; None: none is marked
    trains: bool  # a backward pass or an optimizer was seen
    cores: int | None
    threads: int | None  # of PyTorch's operators
    scatter: float | None  # of a CPU run's time in operators: beyond the fastest of the same calls
    wall_ns: int  # from the first step's start to the last one's end, without the profiler's own waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Loading data, in the training process."""

    dataloader_ns: int  # in the DataLoader
    fetches: int  # of which that many began in the window
    workers: bool | None  # the DataLoader has worker processes; None: there is no DataLoader

    @property
    def fetch_us(self) -> float | None:
        """One fetch, mean; None without."""
        return self.dataloader_ns / (1000 * self.fetches) if self.fetches else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What the GPUs did; a float is the mean over those that did work."""

    gpus: int  # that did work, of all ranks
    kernels: float
    kernel_sum_ns: float
    busy_ns: float  # a kernel, copy or memset runs
    compute_ns: int  # kernels that are no communication
    copy_ns: int  # copies and memsets while no kernel runs
    input_ns: int  # in the DataLoader while the GPU idles
    copies: tuple[CopyGroup, ...]  # most time first

    @property
    def mean_kernel_us(self) -> float | None:
        """Mean kernel; None without kernels."""
        return self.kernel_sum_ns / self.kernels / 1000 if self.kernels else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The calls that start the GPU's work or wait for it."""

    launches: int  # kernel and graph launches
    graph_launches: int
    optimizer_launches: int  # in the optimizer's steps
    launch_ns: int  # in launch calls
    stall_ns: int  # blocked, waiting for the GPU
    memory_ns: int  # in calls that get and free the GPU's memory
    waits: tuple[SitesOfLine, ...]  # those of the stall, most time first
    kinds: Mapping[Site, str]  # of their sites, by name in ``WAITS``
    capturing: bool = False  # most launches only put work into a graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One run's window, ns. The classes of a GPU's idle time add up to it: input + sync + host."""

    vendor: str
    window_ns: int
    steps: int  # in the window
    recording: Recording
    host: Host
    input: Input
    communication_ns: int  # collectives while nothing else runs on the GPU
    device: Device | None  # None: device rows are withheld
    calls: Calls | None  # None: no known call was recorded

    @property
    def has_rows(self) -> bool:
        """Whether the window holds anything at all."""
        return self.window_ns > 0

    @property
    def rest_ns(self) -> int:
        """Without a GPU: in no operator, DataLoader or collective: Python, and whatever was not recorded."""
        held = self.input.dataloader_ns + self.host.operator_ns + self.communication_ns
        return max(0, self.window_ns - held)

    @property
    def each(self) -> str:
        """What the figures are about, as it reads in a sentence."""
        return "each step" if self.recording.from_steps else "the trace"

    def us(self, ns: float) -> float:
        """So much of the window as µs of one step."""
        return ns / (1000 * self.steps)

    def per_step(self, number: float) -> float:
        """A number in the window as that of one step."""
        return number / self.steps

    def share(self, ns: float) -> float:
        """Part of the window."""
        return ns / self.window_ns if self.window_ns else 0.0

    def time(self, ns: float) -> str:
        """So much of the window as the time of one step: ``5.60 ms``."""
        return microseconds(self.us(ns))

    def part(self, ns: float) -> str:
        """The same as a part of the step: ``6 %``."""
        return percent(self.share(ns))

    @property
    def step(self) -> str:
        """The whole step."""
        return self.time(self.window_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts(Facts):
    """A run of which both the GPU's work and the calls that start it are recorded: who asks about its GPU needs one."""

    device: Device
    calls: Calls

    @property
    def idle_ns(self) -> float:
        """No kernel, copy or memset runs."""
        return max(0, self.window_ns - self.device.busy_ns)

    @property
    def wait_cost_ns(self) -> float:
        """The most that waits can cost: without them the host could have filled that much of the GPU's idling."""
        return min(self.calls.stall_ns, self.idle_ns)

    @property
    def sync_ns(self) -> float:
        """The same after the DataLoader has been held responsible for its part of the idle time."""
        return max(0, min(self.calls.stall_ns, self.idle_ns - self.device.input_ns))

    @property
    def host_ns(self) -> float:
        """GPU idle while the host prepares work: neither loading data nor made up by waits."""
        return max(0, self.idle_ns - self.device.input_ns - self.sync_ns)

    @property
    def working_host_ns(self) -> int:
        """Host time that is no wait, no call for memory, no loading: it prepares and starts the work."""
        return max(0, self.host.wall_ns - self.calls.stall_ns - self.calls.memory_ns - self.input.dataloader_ns)

    @property
    def host_ns_per_launch(self) -> float | None:
        """Host work per launch; None without launches."""
        return self.working_host_ns / self.calls.launches if self.calls.launches else None

    @property
    def drained(self) -> bool:
        """Whether most of the waiting began when the GPU had nothing left to do."""
        shares = [(line.most.drained_share, line.blocked_ns) for line in self.calls.waits]
        drained = sum(share * blocked_ns for share, blocked_ns in shares if share is not None)
        return drained > MOSTLY * sum(blocked_ns for _, blocked_ns in shares)

    @property
    def launches_dominate(self) -> bool:
        """Launches of which each does less work on the GPU than it costs the host."""
        launches, cost_ns = self.calls.launches, self.host_ns_per_launch
        if cost_ns is None or self.calls.capturing or self.per_step(launches) < FEW_LAUNCHES:
            return False
        return self.device.kernel_sum_ns / launches < cost_ns <= LAUNCH_COST_NS


def find_facts(stages: Stages, manifest: Manifest | None, *, refused: bool) -> Facts:
    """The analysed window; ``GpuFacts`` where the GPU's work and the calls that start it are known."""
    kind: type[Facts] = GpuFacts if stages.measured and stages.launches.known else Facts
    optimizer, optimizer_launches = _optimizer(stages)
    return kind(
        vendor=stages.trace.vendor,
        window_ns=stages.device_window.length,
        steps=stages.device_window.count,
        recording=_recording(stages, refused=refused),
        host=_host(stages, manifest, optimizer),
        input=_input(stages),
        communication_ns=stages.activity.shares.communication,
        device=_device(stages) if stages.measured else None,
        calls=_calls(stages, optimizer_launches) if stages.launches.known else None,
    )


def _recording(stages: Stages, *, refused: bool) -> Recording:
    window, trace = stages.window, stages.trace
    return Recording(
        refused=refused,
        steps=window.count,
        cut_steps=int((~window.whole).sum()),
        from_steps=window.from_steps,
        unexplained_share=stages.unexplained_share,
        lost_share=stages.losses.share(window),
        late_share=_late_share(stages),
        orphan_share=float((stages.launches.work_call < 0).mean()) if len(trace.work) else None,
        absent=find_absent(trace),
        cut_short=any(issue.name in CUT_SHORT for issue in trace.issues),
    )


def _late_share(stages: Stages) -> float:
    whole = stages.device_window.length * len(stages.idle)
    return sum(device.ns("unexplained") for device in stages.idle) / whole if whole else 0.0


def _host(stages: Stages, manifest: Manifest | None, optimizer: str | None) -> Host:
    operators, operator_ns = _operator_time(stages)
    return Host(
        operators=_of_host(stages, operators),
        operator_ns=_of_host(stages, operator_ns),
        optimizer=optimizer,
        trains=optimizer is not None or bool((stages.backward.forward >= 0).any()),
        cores=manifest.machine.cores if manifest else None,
        threads=manifest.machine.threads if manifest else None,
        scatter=find_scatter(stages) if stages.trace.vendor == "cpu" else None,
        wall_ns=_of_host(stages, stages.window.length - _profilers_wait_ns(stages)),
    )


def _profilers_wait_ns(stages: Stages) -> int:
    """The waits with which the profiler opens or closes the recording: no one's work."""
    return intervals.total(stages.window.cover(stages.trace, stages.syncs.by_profiler))


def _of_host(stages: Stages, total: int) -> int:
    """What the host's window holds, set to the number of steps in the device's."""
    window, device = stages.window, stages.device_window
    return total if device.count == window.count else round(total * device.count / window.count)


def _input(stages: Stages) -> Input:
    trace = stages.trace
    fetches = rows_named(trace, trace.events.rows(Category.CPU_OP, Category.ANNOTATION), is_dataloader)
    loaders = [name for name in trace.strings if is_dataloader(name)]
    return Input(
        dataloader_ns=_of_host(stages, stages.activity.dataloader_ns),
        fetches=_of_host(stages, int(stages.window.holds(np.unique(trace.events.ts_ns[fetches])).sum())),
        workers=any("_MultiProcessing" in name for name in loaders) if loaders else None,
    )


def _device(stages: Stages) -> Device:
    devices, shares = stages.activity.devices, stages.activity.shares
    number = max(1, len(devices))
    return Device(
        gpus=max(len(devices), stages.trace.world_size or 1),
        kernels=sum(device.kernels for device in devices) / number,
        kernel_sum_ns=sum(device.kernel_sum_ns for device in devices) / number,
        busy_ns=sum(device.busy_ns for device in devices) / number,
        compute_ns=shares.kernel,
        copy_ns=shares.memcpy + shares.memset,
        input_ns=shares.dataloader,
        copies=stages.copies.groups,
    )


def _calls(stages: Stages, optimizer_launches: int) -> Calls:
    launches, syncs = stages.launches, stages.syncs
    allocations = stages.trace.events.calls(CallKind.DEVICE_ALLOCATION, CallKind.DEVICE_FREE)
    return Calls(
        launches=_of_host(stages, launches.total),
        graph_launches=_of_host(stages, launches.graph_launches),
        optimizer_launches=_of_host(stages, optimizer_launches),
        launch_ns=_of_host(stages, intervals.total(launches.calls_cover)),
        stall_ns=_of_host(stages, intervals.total(syncs.stall)),
        memory_ns=_of_host(stages, intervals.total(stages.window.cover(stages.trace, allocations))),
        waits=tuple(line for line in by_line(syncs.sites) if line.is_stall),
        kinds=find_wait_kinds(stages),
        capturing=find_captures(stages.trace, stages.window).dominate,
    )


def _operator_time(stages: Stages) -> tuple[int, int]:
    """(operator calls that lie in no other operator, ns in operators); neither counts what the DataLoader runs.

    Without a GPU neither counts what runs during a collective: that time is the collective's, as in the breakdown.

    Without worker processes its fetches run operators in the training process (stacking a batch, say). The fetch's own
    range, an operator to some versions of PyTorch, falls out with them.
    """
    trace, window, operators = stages.trace, stages.window, stages.operators
    host = trace.events.rows(Category.CPU_OP, Category.ANNOTATION)
    without_gpu = trace.vendor == "cpu"
    loading = window.cover(
        trace, rows_named(trace, host, lambda name: is_dataloader(name) or (without_gpu and is_collective_range(name)))
    )
    starts = trace.events.ts_ns[operators.rows[operators.parent[operators.rows] < 0]]
    calls = int((window.holds(starts) & ~intervals.covers(loading, starts)).sum())
    return calls, intervals.total(intervals.subtract(window.cover(trace, operators.rows), loading))


def _optimizer(stages: Stages) -> tuple[str | None, int]:
    """Name of the optimizer and the launches inside its steps."""
    trace = stages.trace
    rows = rows_named(trace, trace.events.rows(Category.ANNOTATION), _optimizer_step)
    if not len(rows):
        return None, 0
    name = trace.name_of(int(rows[0])).removeprefix("Optimizer.step#").removesuffix(".step")
    inside = intervals.covers(stages.window.cover(trace, rows), trace.events.ts_ns[stages.launches.calls])
    return name, int(np.count_nonzero(inside))
