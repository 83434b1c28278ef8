"""The words that every format of a check uses."""

from __future__ import annotations

from typing import Final

from stallscope.analysis.check.rows import amount, between, spoken
from stallscope.analysis.contract.check import Allowed, BaselineChange, Check, CheckLine, CheckRow
from stallscope.analysis.units import count

MARKS: Final = {
    "pass": "Pass",
    "fail": "Fail",
    "not_comparable": "Not comparable",
    "ok": "ok",
    "exceeded": "EXCEEDED",
    "unknown": "UNKNOWN",
    "unknown_allowed": "unknown, allowed",
}
FAILING: Final = ("exceeded", "unknown")


def device_words(check: Check) -> str:
    """What it ran on, and with which torch."""
    torch = f", torch {check.key.torch}" if check.key.torch else ""
    return f"{'no GPU' if check.predicted else check.key.device}{torch}"


def value_words(row: CheckRow) -> str:
    """The figure of the run."""
    value = between(row.name, row.value_low, row.value_high)
    return f"{value} (predicted)" if row.predicted else value


def budget_words(row: CheckRow) -> str:
    """What it may be."""
    if row.high is None:
        return row.budget if row.low is None else f"at least {amount(row.name, row.low)}"
    high = amount(row.name, row.high)
    if row.low is None:
        return f"at most {high}"
    return high if row.low == row.high else f"{amount(row.name, row.low)} to {high}"


def place_words(line: CheckLine) -> str:
    """``train.py:88 .item(), 1 a step``."""
    called = f" {spoken(line.called)}" if line.called else ""
    note = f" ({line.note})" if line.note else ""
    return f"{line.call_site}{called}, {count(line.calls_per_step)} a step{note}"


def allowed_words(allowed: Allowed) -> str:
    """One exception, and how far it was used."""
    called = f" {allowed.call}" if allowed.call else ""
    often = "each step" if allowed.every == 1 else f"every {allowed.every} steps"
    used = f"{allowed.left_out} of {allowed.calls} calls left out"
    return f"Allowed {often}: {allowed.line}{called} ({allowed.why}); {used}."


def change_words(change: BaselineChange) -> str:
    """One figure of a baseline, before and after."""
    before, after = (
        "not there" if value is None else amount(change.name, value) for value in (change.before, change.after)
    )
    return f"{change.name}: {before} → {after}"
