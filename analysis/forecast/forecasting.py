"""The forecasts of one summary: whether the trace can carry any, and what the manifest adds."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.causes.facts import Facts, GpuFacts
from stallscope.analysis.contract.causes import Cause
from stallscope.analysis.fixes.ranks import held_by_ranks
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.forecast.asked import Asked
from stallscope.analysis.forecast.calibration import cpu_host_factor
from stallscope.analysis.forecast.whatif import Forecast, forecast, refusal
from stallscope.analysis.replay.counterfactual import PART, Replayed, find_replayed
from stallscope.analysis.stages.batches import held_ns
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.step_times import StepTimes
from stallscope.analysis.units import percent
from stallscope.traces.model.manifest import Manifest


def replay_once(stages: Stages, facts: Facts, times: StepTimes, manifest: Manifest | None) -> Replayed | None:
    """The window replayed with one class of work free at a time; None where it cannot be."""
    if facts.recording.refused:
        return None
    batched = manifest is not None and any(gpu.driver_model == "WDDM" for gpu in manifest.machine.gpus)
    batched |= held_ns(stages.trace) is not None
    return find_replayed(stages, inflation=times.inflation, batched=batched)


def find_forecast(
    stages: Stages,
    facts: Facts,
    times: StepTimes,
    replayed: Replayed | None,
    manifest: Manifest | None,
    asked: Asked,
    causes: Sequence[Cause] = (),
) -> Forecast:
    """The forecasts and what they start from; where the trace carries none, the reason.

    A fix that one of the ``causes`` bars is not forecast: it would promise what that cause does not let it keep.
    """
    if facts.vendor == "cpu" and facts.recording.absent is None:
        return refusal(["this run used no GPU"], cpu_host_factor(stages, times))
    if facts.recording.refused:
        return refusal(["the trace is too damaged"])
    if replayed is None or not isinstance(facts, GpuFacts):
        return refusal(["the GPU's work, or the calls that started it, were not recorded"])
    if replayed.trust.level == "refused":
        return refusal(replayed.trust.reasons)
    cpu_run = manifest.cpu_run if manifest else None
    graph = held_by_ranks(replayed.graph, stages.trace.events.name)
    subject = Subject(replayed.part, facts, graph, cpu_run, _part(stages, replayed.part))
    return forecast(subject, times, replayed.trust, asked.fixes, barred(causes))


def _part(stages: Stages, part: Stages) -> str | None:
    """What was replayed, where that is not all."""
    whole, run = stages.window, part.window
    if (run.start, run.end) == (whole.start, whole.end):
        return None
    if run.count < whole.count and run.source == whole.source:
        return f"{run.count} of {whole.count} steps"
    return f"{percent(run.length / whole.length)} of the time"


def barred(causes: Sequence[Cause]) -> dict[str, str]:
    """The fixes that causes worth a word bar, each with the reason."""
    worth = [cause for cause in causes if max(cause.saves_share or 0.0, cause.share or 0.0) >= PART]
    return {fix: f"something else comes first: {cause.title}" for cause in reversed(worth) for fix in cause.bars}
