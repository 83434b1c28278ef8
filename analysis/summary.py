"""All stages in order: a Trace (and what `profile` wrote down beside it) in, the JSON contract out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stallscope.analysis.answer.verdict import DOUBT, REFUSE, judge
from stallscope.analysis.causes.facts import find_facts, find_loader_workers
from stallscope.analysis.causes.findings import find_findings
from stallscope.analysis.columns import intervals
from stallscope.analysis.contract import summary as contract
from stallscope.analysis.fill import attribution_rows, ledger_rows, step_rows, sync_rows
from stallscope.analysis.fill.attribution_health import attribution_issues, attribution_of
from stallscope.analysis.fill.memory import find_memory
from stallscope.analysis.fill.run_facts import (
    find_machine,
    find_periodic_work,
    find_run_findings,
    find_trace_info,
    find_unprofiled,
    wall_times,
)
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.forecast.forecasting import LARGE, MOST_FORECAST, MOST_REPLAYED, find_forecast, is_large
from stallscope.analysis.forecast.scaling import scale
from stallscope.analysis.forecast.whatif import refusal
from stallscope.analysis.replay.counterfactual import find_replayed
from stallscope.analysis.stages.activity import Activity, find_activity
from stallscope.analysis.stages.backward import Backward, find_backward
from stallscope.analysis.stages.call_sites import CallSites, find_call_sites
from stallscope.analysis.stages.copy_sites import CopySite, find_copy_sites
from stallscope.analysis.stages.doubts import find_doubts
from stallscope.analysis.stages.idle import IdleCauses, find_idle
from stallscope.analysis.stages.launch_stats import LaunchCosts, find_launch_costs
from stallscope.analysis.stages.launches import Launches, find_launches, launch_issues
from stallscope.analysis.stages.linking import Linking, find_linking
from stallscope.analysis.stages.losses import Losses, find_losses
from stallscope.analysis.stages.memcpy import Copies, find_copies
from stallscope.analysis.stages.modules import Modules, find_modules
from stallscope.analysis.stages.operators import KernelTotals, Operators, find_kernels, find_operators
from stallscope.analysis.stages.places import Places
from stallscope.analysis.stages.queue import Queue, find_queue
from stallscope.analysis.stages.steps import Window, find_window
from stallscope.analysis.stages.sync import Syncs, find_syncs, waits_without_work
from stallscope.analysis.units import percent
from stallscope.traces.model.issues import Severity, TraceIssue, grade
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Trace

if TYPE_CHECKING:
    from stallscope.analysis.stages.join import Joined


@dataclass(frozen=True, slots=True)
class Stages:
    """The output of every stage, integer ns over the window: what the tests' conservation laws are about."""

    trace: Trace
    window: Window
    launches: Launches
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
    idle: tuple[IdleCauses, ...]  # by device

    @property
    def measured(self) -> bool:
        """Whether device rows can be trusted to be there: else every figure made of them is withheld."""
        return self.launches.recorded and not self.losses.too_many

    @property
    def unexplained_ns(self) -> int:
        """Host waits during which nothing that was recorded ran."""
        return waits_without_work(self.syncs.stall, self.activity.busy)

    @property
    def unexplained_share(self) -> float | None:
        """The same as a part of the window; None where device rows are withheld."""
        return self.unexplained_ns / self.window.length if self.measured and self.window.length else None

    def us(self, ns: float) -> float:
        """A window total in ns as µs per step."""
        return ns / (1000 * self.window.count)

    def per_step(self, number: int) -> float:
        """A window count per step."""
        return number / self.window.count

    def _idle_conserved(self) -> bool:
        busy = {device.device: device.busy_ns for device in self.activity.devices}
        return all(causes.conserved(self.window, busy.get(causes.device, 0)) for causes in self.idle)

    def broken_laws(self) -> list[str]:
        """Names of the conservation laws that do not hold; [] for any trace, or we have a bug."""
        memcpys = sum(device.memcpys for device in self.activity.devices)
        kernels = sum(device.kernels for device in self.activity.devices)
        laws = {
            "breakdown sums to the window": self.activity.shares.conserved(self.window),
            "device times fit into the window": all(d.conserved(self.window) for d in self.activity.devices),
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
    """Run the stages in order; ``attribution`` with the tables of ``manifest`` tells lines and modules."""
    window = find_window(trace)
    launches = find_launches(trace, window)
    copies = find_copies(trace, window, launches)
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
        linking=linking,
        losses=losses,
        copies=copies,
        operators=operators,
        kernels=find_kernels(trace, window),
        backward=backward,
        modules=modules,
        call_sites=find_call_sites(trace, window, launches, operators, backward, joined),
        launch_costs=find_launch_costs(trace, launches, operators),
        copy_sites=find_copy_sites(trace, window, launches, places, copies),
        queue=queue,
        places=places,
        syncs=syncs,
        activity=find_activity(trace, window),
        idle=find_idle(trace, window, launches, syncs.blocking, losses.stretches),
    )


def _joined(trace: Trace, window: Window, attribution: Trace, manifest: Manifest) -> Joined | None:
    from stallscope.analysis.stages.join import join  # noqa: PLC0415 - a bare trace has nothing to join

    return join(trace, window, attribution, manifest)


def summarize(
    trace: Trace,
    manifest: Manifest | None = None,
    attribution: Trace | None = None,
    *,
    peers: bool = False,
    fixes: Sequence[Wanted] | None = None,
    bounded: bool = False,
) -> contract.Summary:
    """The summary of one trace; ``manifest`` adds the machine, unprofiled times and memory peaks.

    ``attribution`` is another trace of the same loop, with the marks to which the manifest has the tables: it adds
    lines of the script and names of modules. ``peers`` adds the figures as other tools define them; ``fixes``: forecast
    these only. ``bounded``: a trace of others that is large is not replayed, or gets no forecasts, which take long.
    """
    summary = summary_of(analyse(trace, manifest, attribution), manifest, fixes, bounded=bounded)
    if not peers:
        return summary
    from stallscope.analysis.peers.peers import find_peers  # noqa: PLC0415 - rarely asked for, and large

    return msgspec.structs.replace(summary, peers=find_peers(trace, summary))


def summary_of(
    stages: Stages,
    manifest: Manifest | None = None,
    fixes: Sequence[Wanted] | None = None,
    *,
    bounded: bool = False,
) -> contract.Summary:
    """The summary of what ``analyse`` found, for those who show the stages beside it; see ``summarize``."""
    trace, health = stages.trace, _health(stages)
    steps = _steps(stages, manifest)
    per_step, breakdown = step_rows.per_step(stages), step_rows.breakdown(stages)
    idle = ledger_rows.idle_causes(stages, stages.idle)
    sites, rows = sync_rows.sync_sites(stages), ledger_rows.memcpy(stages)
    machine = find_machine(trace, manifest)
    facts = find_facts(
        stages,
        refused=health.grade == "refused",
        per_step=per_step,
        breakdown=breakdown,
        sites=sites,
        copies=rows,
        machine=machine,
    )
    if trace.vendor == "cpu":
        per_step = msgspec.structs.replace(per_step, operator_us=facts.operator_us)
    batched = any(gpu.driver_model == "WDDM" for gpu in machine.gpus)
    skipped = facts.refused or (bounded and is_large(trace, manifest, MOST_REPLAYED))
    replayed = None if skipped else find_replayed(stages, inflation=steps.inflation, batched=batched)
    verdict = judge(facts, replayed)
    if bounded and is_large(trace, manifest, MOST_FORECAST):
        forecast, what_if = refusal([LARGE]), None
    else:
        forecast, what_if = find_forecast(stages, facts, steps, replayed, manifest, fixes)
    return contract.Summary(
        trace=find_trace_info(trace),
        machine=machine,
        health=health,
        steps=steps,
        per_step=per_step,
        devices=[step_rows.device(stages, device) for device in stages.activity.devices] if stages.measured else [],
        utilization=step_rows.utilization(stages),
        memory=find_memory(trace, manifest),
        breakdown_us=breakdown,
        idle_us=idle,
        sync_sites=sites,
        memcpy=rows,
        operators=attribution_rows.operators(stages),
        kernels=attribution_rows.kernels(stages),
        modules=attribution_rows.modules(stages),
        verdict=verdict,
        what_if=what_if,
        findings=find_run_findings(manifest),
        launches=ledger_rows.launches(stages),
        copy_sites=ledger_rows.copy_sites(stages),
        call_sites=attribution_rows.call_sites(stages),
        advice_findings=find_findings(stages, facts, verdict.kind),
        attribution=attribution_of(stages),
        scaled=scale(steps, per_step, breakdown, idle),
        forecast=forecast,
        loader_workers=find_loader_workers(trace),
    )


def _health(stages: Stages) -> contract.Health:
    share = stages.unexplained_share
    issues = [
        *stages.trace.issues,
        *stages.window.issues(),
        *launch_issues(stages.trace, stages.launches),
        *stages.linking.issues(),
        *stages.losses.issues(stages.trace, stages.window),
        *find_doubts(stages.trace, stages.launches, stages.operators),
        *attribution_issues(stages),
    ]
    if share is not None and share > DOUBT:
        severity = Severity.DATA_LOSS if share > REFUSE else Severity.NOTICE
        advice = (
            f"In {percent(share)} of the window the CPU waited while no recorded GPU work ran: kernels are missing "
            "from the trace, or another process held the GPU."
        )
        issues.append(TraceIssue("waits_without_gpu_work", severity, 1, advice))
    found = [
        contract.IssueInfo(name=i.name, severity=str(i.severity), count=i.count, advice=i.advice, share=i.share)
        for i in issues
    ]
    return contract.Health(grade=grade(issues), issues=found, unexplained_share=share)


def _steps(stages: Stages, manifest: Manifest | None) -> contract.Steps:
    window = stages.window
    evaluation, unprofiled = find_unprofiled(stages.trace.path, manifest)
    counted = window.whole.copy()
    counted[[position for position in evaluation if position < window.count]] = False
    chosen = (counted if counted.any() else window.whole) if window.whole.any() else np.ones_like(window.whole)
    wall = wall_times((window.step_ends - window.step_starts)[chosen].tolist())
    return contract.Steps(
        source="profiler_step" if window.from_steps else "whole_trace",
        count=window.count,
        window_us=window.length / 1000,
        wall_us=wall,
        unprofiled_us=unprofiled,
        inflation=wall.mean / unprofiled.mean if unprofiled and unprofiled.mean and window.from_steps else None,
        periodic=find_periodic_work(stages.trace.path, manifest),
        left_out=int((window.whole & ~chosen).sum()),
    )
