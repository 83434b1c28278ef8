"""How right a forecast was: the baseline's forecast for the change that was made, beside what was then measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from stallscope.analysis.compare.recognise import Recognised, recognise
from stallscope.analysis.compare.runs import Run, mean
from stallscope.analysis.contract.compare import ArgumentChange, ForecastScore, Statistics
from stallscope.analysis.contract.forecast import StepRange, WhatIf
from stallscope.analysis.contract.summary import Summary

EVERY: Final = "record_every_"
NEVER: Final = 1e9  # steps: a read that never came in the window, and whose period is not known


def score(
    baseline: Sequence[Run],
    candidate: Sequence[Run],
    figures: Statistics,
    changed: Sequence[ArgumentChange] | None,
) -> list[ForecastScore]:
    """One entry for each change recognised between the two sides; [] where none was.

    Only where one change alone was made can the step after it be set beside its forecast.
    """
    if not baseline or not candidate:
        return []
    found = recognise(baseline[0].first.summary, candidate[0].first.summary, changed)
    measured = figures.step_us.candidate
    if len(found) != 1:
        why = "several changes at once: no forecast was made for all of them together"
        return [ForecastScore(fix=each.fix, measured_us=measured, why=why) for each in found]
    return [_scored(found[0], [run.first.summary for run in baseline], figures)]


def _scored(change: Recognised, summaries: Sequence[Summary], figures: Statistics) -> ForecastScore:
    """The change's forecast, mean over the baseline's runs, against the candidate's step."""
    measured = figures.step_us.candidate
    forecasts = [_forecast(change, summary) for summary in summaries]
    name = next((each.fix for each in forecasts if each is not None), change.fix)
    ranges = [each.step_us for each in forecasts if each is not None and each.step_us is not None]
    basis = {summary.forecast.basis for summary in summaries if summary.forecast}
    if not ranges or len(ranges) < len(forecasts) or measured is None:
        return ForecastScore(fix=name, measured_us=measured, why=_why_none(change, summaries))
    predicted = StepRange(
        low=mean(each.low for each in ranges) or 0.0,
        expected=mean(each.expected for each in ranges) or 0.0,
        high=mean(each.high for each in ranges) or 0.0,
    )
    why = ""
    if basis == {"unprofiled"} and figures.measure != "unprofiled_mean":
        why = "the forecast is of unprofiled time, and the measured step is a profiled one"
    return ForecastScore(
        fix=name,
        predicted_us=predicted,
        measured_us=measured,
        error_percent=100 * (predicted.expected / measured - 1) if measured else None,
        inside=predicted.low <= measured <= predicted.high,
        why=why,
    )


def _forecast(change: Recognised, summary: Summary) -> WhatIf | None:
    if change.fix == "record_every":
        return _every(summary, change.number)
    return next((each for each in summary.what_if or [] if each.fix == change.fix), None)


def _every(summary: Summary, number: float | None) -> WhatIf | None:
    """The forecast for reading every ``number``-th step, from the one for every 10th or 100th.

    T(k) = T(∞) + (T(1) − T(∞)) / k.
    """
    known = next((each for each in summary.what_if or [] if each.fix.startswith(EVERY) and each.step_us), None)
    now = summary.forecast.step_us if summary.forecast else None
    if known is None or known.step_us is None or now is None:
        return next((each for each in summary.what_if or [] if each.fix.startswith(EVERY)), None)
    period = float(known.fix.removeprefix(EVERY))
    wanted = number or NEVER

    def at(us: float) -> float:
        never = now - (now - us) / (1 - 1 / period)
        return never + (now - never) / wanted

    step = known.step_us
    blended = StepRange(low=at(step.low), expected=at(step.expected), high=at(step.high))
    label = f"{EVERY}{wanted:.0f}" if number else "record_never"
    return msgspec.structs.replace(known, fix=label, step_us=blended)


def _why_none(change: Recognised, summaries: Sequence[Summary]) -> str:
    for summary in summaries:
        base = summary.forecast
        if base is not None and base.confidence == "refused":
            return f"no forecast was made of the baseline: {'; '.join(base.reasons)}"
        forecast = _forecast(change, summary)
        if forecast is not None and forecast.step_us is None:
            return forecast.why
    return "the baseline's trace gives no forecast for this change"
