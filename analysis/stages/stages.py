"""All stages in order: a Trace in, what each of them found out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from stallscope.analysis.columns import intervals
from stallscope.analysis.stages.activity import Activity, find_activity
from stallscope.analysis.stages.call_sites import CallSites, find_call_sites
from stallscope.analysis.stages.clock import ClockOffset, aligned, find_offsets
from stallscope.analysis.stages.completion import Completion, find_completion
from stallscope.analysis.stages.copy_sites import CopySite, find_copy_sites
from stallscope.analysis.stages.gpu.flops import Flops, find_flops
from stallscope.analysis.stages.gpu.room import Room, find_room
from stallscope.analysis.stages.host.products import HostProducts, find_host_products
from stallscope.analysis.stages.idle import DeviceIdle, find_idle
from stallscope.analysis.stages.launch_stats import LaunchCosts, find_launch_costs
from stallscope.analysis.stages.linking import Linking, find_linking
from stallscope.analysis.stages.losses import Losses, find_losses
from stallscope.analysis.stages.memcpy import Copies, find_copies
from stallscope.analysis.stages.queue import Queue, find_queue
from stallscope.analysis.stages.step_times import evaluation_steps
from stallscope.analysis.stages.sync import Syncs, find_syncs, waits_without_work
from stallscope.analysis.stages.where.backward import Backward, find_backward
from stallscope.analysis.stages.where.join import join
from stallscope.analysis.stages.where.joined import Joined
from stallscope.analysis.stages.where.launches import Launches, find_launches
from stallscope.analysis.stages.where.modules import Modules, find_modules
from stallscope.analysis.stages.where.operators import KernelTotals, Operators, find_kernels, find_operators
from stallscope.analysis.stages.where.places import Places
from stallscope.analysis.stages.where.steps import Window, find_window
from stallscope.traces.model.fields import Direction, Memory
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Trace


@dataclass(frozen=True, slots=True)
class Stages:
    """The output of every stage, integer ns over the window: what the tests' conservation laws are about.

    What the device did (``activity``, ``idle``, ``kernels``, ``copies``) is over ``device_window``, which is the window
    unless the host runs ahead of the device.
    """

    trace: Trace
    window: Window
    launches: Launches
    completion: Completion
    linking: Linking
    losses: Losses
    copies: Copies
    operators: Operators
    kernels: tuple[KernelTotals, ...]
    backward: Backward
    modules: Modules
    call_sites: CallSites
    launch_costs: LaunchCosts
    copy_sites: tuple[CopySite, ...]
    queue: Queue
    places: Places
    syncs: Syncs
    activity: Activity
    idle: tuple[DeviceIdle, ...]  # by device
    clocks: tuple[ClockOffset, ...] = ()  # of devices whose clock is apart from the host's
    room: Room | None = None  # in the memory of the GPU
    flops: Flops | None = None  # of the steps that count, or of the attribution's steps where those tell no shapes
    host_products: HostProducts | None = None  # that the CPU computes, where shapes tell; of the attribution's steps
    of_counted: Stages | None = None  # the same over the steps that count; None: all do

    @property
    def typical(self) -> Stages:
        """The stages over the steps that count (``completion.py``): what an answer is made of."""
        return self if self.of_counted is None else self.of_counted

    @property
    def measured(self) -> bool:
        """Whether device rows can be trusted to be there: else every figure made of them is withheld."""
        return self.launches.recorded and not self.losses.too_many

    @property
    def unexplained_ns(self) -> int:
        """Host waits during which nothing that was recorded ran; both are looked at over the window of the host.

        Uploads from pageable memory are left out: the driver copies to a buffer of its own meanwhile.
        """
        trace, work = self.trace, self.trace.work
        staged = (work.direction == Direction.HtoD) & (work.memory == Memory.pageable) & (self.launches.work_call >= 0)
        uploads = self.window.cover(trace, self.launches.work_call[staged])
        stall = intervals.subtract(self.syncs.stall, uploads)
        return waits_without_work(stall, self.window.cover(trace, work.row))

    @property
    def unexplained_share(self) -> float | None:
        """The same as a part of the window; None where device rows are withheld."""
        return self.unexplained_ns / self.window.length if self.measured and self.window.length else None

    @property
    def device_window(self) -> Window:
        """Over which the work of the steps runs on the device."""
        return self.completion.window

    def us(self, ns: float) -> float:
        """A window total in ns as µs per step."""
        return ns / (1000 * self.window.count)

    def per_step(self, number: int) -> float:
        """A window count per step."""
        return number / self.window.count

    def device_us(self, ns: float) -> float:
        """A total of the device's window in ns as µs per step."""
        return ns / (1000 * self.device_window.count)

    def per_device_step(self, number: float) -> float:
        """A count of the device's window per step."""
        return number / self.device_window.count

    def _idle_conserved(self) -> bool:
        busy = {device.device: device.busy_ns for device in self.activity.devices}
        return all(device.conserved(self.device_window, busy.get(device.device, 0)) for device in self.idle)

    def broken_laws(self) -> list[str]:
        """Names of the conservation laws that do not hold; [] for any trace, or we have a bug."""
        memcpys = sum(device.memcpys for device in self.activity.devices)
        kernels = sum(device.kernels for device in self.activity.devices)
        laws = {
            "breakdown sums to the window": self.activity.shares.conserved(self.device_window),
            "device times fit into the window": all(d.conserved(self.device_window) for d in self.activity.devices),
            "copy groups hold every copy": self.copies.conserved(memcpys),
            "copy sites hold every copy": sum(site.count for site in self.copy_sites) == memcpys,
            "operators and no operator hold every launch": len(self.launch_costs.rows) == self.launches.total,
            "kernel names hold every kernel": sum(kernel.count for kernel in self.kernels) == kernels,
            "self times sum to the time in operators": self.operators.conserved(self.window),
            "operators hold every launch and all device time": self.operators.sums_up(self.window, self.launches),
            "modules hold every launch and all device time": self.modules.conserved(
                self.trace, self.window, self.launches
            ),
            "call sites hold every launch and all device time": self.call_sites.conserved(
                self.trace, self.window, self.launches, self.operators
            ),
            "sites account for the stall": self.syncs.conserved(),
            "idle causes sum to the idle time": self._idle_conserved(),
            "the stall fits into the window": intervals.total(self.syncs.stall) <= self.window.length,
        }
        return [name for name, holds in laws.items() if not holds]


def analyse(trace: Trace, manifest: Manifest | None = None, attribution: Trace | None = None) -> Stages:
    """Run the stages in order; ``attribution`` with the tables of ``manifest`` tells lines and modules.

    Rows of a device whose clock is apart from the host's are moved first (``clock.py``): ``Stages.trace`` holds them.
    """
    clocks = find_offsets(trace)
    trace = aligned(trace, clocks)
    window = find_window(trace)
    stages = replace(_analyse(trace, window, manifest, attribution), clocks=clocks)
    completion = stages.completion
    if not completion.counts.all():
        chosen = window.only(completion.counted(window))
        stages = replace(stages, of_counted=_analyse(trace, chosen, manifest, attribution, completion.only()))
    room = find_room(trace, window, stages.operators, stages.places, manifest)
    products = find_host_products(trace) or (None if attribution is None else find_host_products(attribution))
    found = partial(replace, flops=_flops(stages.typical, attribution), room=room, host_products=products)
    return found(stages, of_counted=None if stages.of_counted is None else found(stages.of_counted))


def _flops(stages: Stages, attribution: Trace | None) -> Flops | None:
    own = find_flops(stages.trace, stages.device_window, stages.launches, stages.operators)
    if own is not None or attribution is None or not len(attribution.origins.shape_row):
        return own
    window = find_window(attribution)
    launches = find_launches(attribution, window)
    return find_flops(attribution, window, launches, find_operators(attribution, window, launches))


def _analyse(
    trace: Trace,
    window: Window,
    manifest: Manifest | None,
    attribution: Trace | None,
    completion: Completion | None = None,
) -> Stages:
    launches = find_launches(trace, window)
    completion = completion or find_completion(trace, window, launches, evaluation_steps(trace.path, manifest))
    device = completion.window
    copies = find_copies(trace, device, launches)
    operators = find_operators(trace, window, launches)
    backward = find_backward(trace, operators)
    queue = find_queue(trace, window, launches)
    linking = find_linking(trace, launches)
    losses = find_losses(trace, recorded=launches.recorded and linking.usable)
    joined = None if attribution is None or manifest is None else _joined(trace, window, attribution, manifest)
    modules = find_modules(trace, window, launches, backward, joined)
    places = Places(trace, operators, modules, backward, joined)
    syncs = find_syncs(trace, window, launches, copies, places, queue)
    return Stages(
        trace=trace,
        window=window,
        launches=launches,
        completion=completion,
        linking=linking,
        losses=losses,
        copies=copies,
        operators=operators,
        kernels=find_kernels(trace, device),
        backward=backward,
        modules=modules,
        call_sites=find_call_sites(trace, window, launches, operators, backward, joined),
        launch_costs=find_launch_costs(trace, launches, operators),
        copy_sites=find_copy_sites(trace, device, launches, places, copies),
        queue=queue,
        places=places,
        syncs=syncs,
        activity=find_activity(trace, window, device),
        idle=find_idle(trace, device, launches, syncs.blocking, losses.stretches),
    )


def _joined(trace: Trace, window: Window, attribution: Trace, manifest: Manifest) -> Joined | None:
    return join(trace, window, attribution, manifest)
