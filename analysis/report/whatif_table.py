"""The ladder: fixes best first, each with its forecast, and with what it adds after those before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stallscope.analysis.causes.case import WORTH
from stallscope.analysis.contract.forecast import ForecastBase, StepRange, WhatIf
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.forecast.calibration import PROFILED
from stallscope.analysis.report.table import Row, Table
from stallscope.analysis.units import microseconds, percent

APART = ("larger_batch", "cpu", "fewer_launches")  # not to be added to the others: shown after them
SHOWN = 6  # fixes in a summary; `whatif` has them all


def ladder(summary: Summary, *, every: bool = True) -> Table | None:
    """The table of the fixes that apply; None where there is none. ``every=False``: the few a summary shows."""
    base = summary.forecast
    fixes = [each for each in summary.what_if or [] if each.applies and each.step_us is not None]
    if not every:
        fixes = [each for each in fixes if (each.saving_share or 0.0) >= WORTH][:SHOWN]
    fixes = sorted(fixes, key=lambda each: each.with_those_before_us is None and each.fix in APART)
    if base is None or base.confidence == "refused" or not fixes:
        return None
    rows: list[Row] = [_row(each) for each in fixes]
    lead = f"Now {microseconds(base.step_us)}, {step_words(base)}."
    if base.confidence == "low":
        lead += f" Low confidence: {'; '.join(base.reasons)}."
    headers: Row = ("change", "step then", "80 % interval", "saves", "added up")
    if all(each.with_those_before_us is None for each in fixes):
        headers, rows = headers[:4], [row[:4] for row in rows]
    note = _note(summary, every=every, added=len(headers) > 4)  # noqa: PLR2004 - with the last column
    return Table("What a change would save (forecast)", note, headers, rows, lead=lead)


def step_words(base: ForecastBase) -> str:
    """What kind of time the forecast is in."""
    if base.basis == PROFILED:
        return "in profiled time (without the profiler it is shorter; this trace does not say by how much)"
    return "without the profiler"


def grounds(fixes: Sequence[WhatIf], *, applies: bool) -> list[str]:
    """What each forecast rests on, or why there is none; fixes of one reason share a line."""
    names: dict[str, list[str]] = {}
    for each in fixes:
        if each.applies == applies:
            names.setdefault(each.why, []).append(each.fix)
    return [f"{', '.join(fix)}: {why}" for why, fix in names.items()]


def base_rows(base: ForecastBase | None) -> Iterator[tuple[str, str]]:
    """(label, words) of what the forecasts start from, or of why there is none."""
    if base is None or base.confidence == "refused":
        reasons = "; ".join(base.reasons) if base else "there is no GPU work in this trace"
        yield ("Forecast", f"none: {reasons}.")
        return
    yield ("Step now", f"{microseconds(base.step_us)}, {step_words(base)}")
    if base.confidence == "low":
        yield ("Confidence", f"low: {'; '.join(base.reasons)}.")


def why_words(base: ForecastBase | None) -> str:
    """The heading of the reasons; where a part was replayed, that figures are its own."""
    return "Why" if base is None or base.part is None else f"Why (figures are of {base.part}, those replayed)"


def _row(each: WhatIf) -> Row:
    step = each.step_us
    if step is None:
        return (each.title or each.fix, "-", "-", "-", "-")
    saving = each.saving_share or 0.0
    saves = percent(saving) if saving >= 0 else f"costs {percent(-saving)}"
    after = microseconds(each.with_those_before_us) if each.with_those_before_us is not None else "-"
    return (each.title or each.fix, microseconds(step.expected), _between(step), saves, after)


def _between(step: StepRange) -> str:
    """An interval in one unit: ``0.91 - 7.89 ms``."""
    low, high = microseconds(step.low), microseconds(step.high)
    if low[-2:] == high[-2:]:
        return f"{low.rsplit(' ', 1)[0]} - {high}"
    shrunk = step.low / (1e6 if high.endswith(" s") else 1e3)
    return f"{shrunk:.2f} - {high}"


def _note(summary: Summary, *, every: bool, added: bool) -> str:
    more = "" if every else f" All of them, and why: stallscope whatif {summary.trace.path}"
    column = " 'Added up': the step after a change and those above it." if added else ""
    return f"Savings do not add up.{column}{more}"
