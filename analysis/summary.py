"""From the stages to the JSON contract: first what follows from the stages, the rows of the contract last."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from stallscope.analysis.answer.verdict import find_kind, judge
from stallscope.analysis.causes.case import Case
from stallscope.analysis.causes.facts import Facts, find_facts
from stallscope.analysis.causes.registry import find_causes
from stallscope.analysis.contract.causes import Cause
from stallscope.analysis.contract.summary import Health, IssueInfo, Summary, Typical, Verdict
from stallscope.analysis.fill import ledger, places, run
from stallscope.analysis.fill import steps as fill_step
from stallscope.analysis.fill.flops import fill_flops
from stallscope.analysis.fill.memory import fill_memory
from stallscope.analysis.fill.scaled import fill_scaled
from stallscope.analysis.fill.sync_sites import fill_sync_sites
from stallscope.analysis.forecast.asked import PLAIN, Asked
from stallscope.analysis.forecast.forecasting import find_forecast, replay_once
from stallscope.analysis.forecast.whatif import Forecast
from stallscope.analysis.stages.host.whole_run import find_whole_run
from stallscope.analysis.stages.issues import find_issues
from stallscope.analysis.stages.stages import Stages, analyse
from stallscope.analysis.stages.step_times import StepTimes, find_step_times
from stallscope.traces.model.issues import TraceIssue, grade
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Trace


def summarize(
    trace: Trace, manifest: Manifest | None = None, attribution: Trace | None = None, asked: Asked = PLAIN
) -> Summary:
    """The summary of one trace; ``manifest`` adds the machine, unprofiled times and memory peaks.

    ``attribution`` is another trace of the same loop, with the marks to which the manifest has the tables: it adds
    lines of the script and names of modules.
    """
    return summary_of(analyse(trace, manifest, attribution), manifest, asked)


def summary_of(stages: Stages, manifest: Manifest | None = None, asked: Asked = PLAIN) -> Summary:
    """The summary of what ``analyse`` found, for those who show the stages beside it; see ``summarize``."""
    summary = _filled(stages, manifest, _find(stages, manifest, asked))
    if not asked.peers:
        return summary
    from stallscope.analysis.peers.peers import find_peers  # noqa: PLC0415 - rarely asked for, and large

    return msgspec.structs.replace(summary, peers=find_peers(stages.trace, summary))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What follows from the stages."""

    issues: list[TraceIssue]
    times: StepTimes
    facts: Facts
    verdict: Verdict
    causes: list[Cause]
    forecast: Forecast


def _find(stages: Stages, manifest: Manifest | None, asked: Asked) -> _Found:
    issues = find_issues(stages)
    times = find_step_times(stages.window, stages.completion.step_ns, stages.trace.path, manifest)
    facts = find_facts(stages.typical, manifest, refused=grade(issues) == "refused")
    replayed = replay_once(stages, facts, times, manifest)
    kind = find_kind(facts, replayed)
    causes = find_causes(Case(stages=stages.typical, facts=facts, manifest=manifest, replayed=replayed, kind=kind))
    verdict = judge(facts, replayed, causes)
    return _Found(
        issues=issues,
        times=times,
        facts=facts,
        verdict=verdict,
        causes=causes,
        forecast=find_forecast(stages, facts, times, replayed, manifest, asked, causes),
    )


def _filled(stages: Stages, manifest: Manifest | None, found: _Found) -> Summary:
    """The contract's rows."""
    trace, forecast = stages.trace, found.forecast
    steps = run.fill_steps(stages, found.times, manifest)
    per_step, breakdown = fill_step.fill_per_step(stages, found.facts), fill_step.fill_breakdown(stages)
    idle = ledger.fill_idle(stages)
    return Summary(
        trace=run.fill_trace_info(trace),
        machine=run.fill_machine(trace, manifest),
        health=_health(found.issues, stages.unexplained_share),
        steps=steps,
        per_step=per_step,
        devices=fill_step.fill_devices(stages),
        utilization=fill_step.fill_utilization(stages),
        memory=fill_memory(stages.room, manifest),
        breakdown_us=breakdown,
        idle_us=idle,
        sync_sites=fill_sync_sites(stages),
        memcpy=ledger.fill_memcpy(stages),
        operators=places.fill_operators(stages),
        kernels=places.fill_kernels(stages),
        modules=places.fill_modules(stages),
        verdict=found.verdict,
        what_if=forecast.what_if,
        findings=run.fill_run_findings(manifest),
        launches=ledger.fill_launches(stages),
        copy_sites=ledger.fill_copy_sites(stages),
        call_sites=places.fill_call_sites(stages),
        causes=found.causes,
        attribution=places.fill_attribution(stages),
        scaled=fill_scaled(steps, per_step, breakdown, idle, forecast.host_factor),
        forecast=forecast.base,
        flops=fill_flops(stages),
        run=find_whole_run(manifest),
        loader_workers=found.facts.input.workers,
        typical=None if stages.of_counted is None else _typical(stages.of_counted, found.facts),
    )


def _typical(stages: Stages, facts: Facts) -> Typical:
    return Typical(
        count=stages.device_window.count,
        per_step=fill_step.fill_per_step(stages, facts),
        breakdown_us=fill_step.fill_breakdown(stages),
        idle_us=ledger.fill_idle(stages),
    )


def _health(issues: list[TraceIssue], unexplained_share: float | None) -> Health:
    rows = [
        IssueInfo(
            name=issue.name, severity=str(issue.severity), count=issue.count, advice=issue.advice, share=issue.share
        )
        for issue in issues
    ]
    return Health(grade=grade(issues), issues=rows, unexplained_share=unexplained_share)
