"""Stage 11: the forecasts of one summary: whether the trace can carry any, and what the manifest adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stallscope.analysis.causes.facts import Facts
from stallscope.analysis.contract.forecast import ForecastBase, WhatIf
from stallscope.analysis.contract.summary import Steps
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.forecast.whatif import Now, forecast, refusal
from stallscope.analysis.replay.counterfactual import Replayed
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.model.trace import Trace

MOST_REPLAYED: Final = 120_000  # events of a trace of others that a plain summary replays
MOST_FORECAST: Final = 30_000  # and of which it makes forecasts: these replay the steps some dozen times
LARGE: Final = "the trace is large, and forecasts take some time: `stallscope whatif` makes them"


def is_large(trace: Trace, manifest: Manifest | None, most: int) -> bool:
    """Whether a trace has more than ``most`` events; one that `profile` recorded is as small as was asked for."""
    return manifest is None and len(trace.events) > most


def find_forecast(
    stages: Stages,
    facts: Facts,
    steps: Steps,
    replayed: Replayed | None,
    manifest: Manifest | None,
    wanted: Sequence[Wanted] | None = None,
) -> tuple[ForecastBase, list[WhatIf] | None]:
    """What the forecasts start from, and the forecasts; None where the trace carries none, with the reason."""
    refused = _refusals(facts, replayed)
    if refused or replayed is None:
        return refusal(refused), None
    now = Now(
        profiled_us=steps.wall_us.median,
        samples_us=steps.wall_us.samples,
        unprofiled_us=steps.unprofiled_us.mean if steps.unprofiled_us else None,
        doubts=replayed.trust.reasons,
        identity_error=replayed.trust.identity_error,
    )
    subject = Subject(stages, facts, replayed.graph, manifest.cpu_run if manifest else None)
    return forecast(subject, now, wanted)


def _refusals(facts: Facts, replayed: Replayed | None) -> list[str]:
    """Why no forecast is made; [] where one is."""
    if facts.vendor == "cpu":
        return ["this run used no GPU"]
    if facts.refused:
        return ["the trace is too damaged"]
    if replayed is None:
        return ["the GPU's work, or the calls that started it, were not recorded"]
    return list(replayed.trust.reasons) if replayed.trust.level == "refused" else []
