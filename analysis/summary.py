"""All stages in order: a Trace (and what `profile` wrote down beside it) in, the JSON contract out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from stallscope.analysis.answer.verdict import DOUBT, REFUSE, judge
from stallscope.analysis.causes.facts import find_facts, find_loader_workers
from stallscope.analysis.causes.findings import find_findings
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
from stallscope.analysis.stages.doubts import find_doubts
from stallscope.analysis.stages.stages import Stages, analyse
from stallscope.analysis.stages.where.launches import launch_issues
from stallscope.analysis.units import percent
from stallscope.traces.model.issues import Severity, TraceIssue, grade
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Trace


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
