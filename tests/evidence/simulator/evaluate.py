"""The forecast beside the truth: every pair's forecast from its trace, and errors by fix and by regime.

The analysis is given what a user's run folder holds: the profiled trace, and a manifest with the unprofiled step time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.forecast.asked import Asked
from stallscope.analysis.summary import summarize
from stallscope.traces.model.manifest import Machine, Manifest, Steps, Window
from stallscope.traces.read.read import read
from tests.evidence.simulator.pairs import Pair, timed_steps

NEVER = 10**6
SHARE = 0.05  # of the step: a saving that a person would act on


@dataclass(frozen=True, slots=True)
class Scored:
    """One pair's forecast and truth; times in µs. ``expected`` None: none was made, ``why`` says why."""

    name: str
    fix: str
    choice: int
    regime: str
    before: float
    after: float
    low: float | None
    expected: float | None
    high: float | None
    why: str

    @property
    def error(self) -> float | None:
        """Return forecast over truth, less one."""
        return None if self.expected is None else self.expected / self.after - 1

    @property
    def saving(self) -> float:
        """Return the share of the step that the fix truly saves; negative: it costs."""
        return 1 - self.after / self.before

    @property
    def predicted(self) -> float:
        """Return the share that the forecast says; no forecast says that nothing is saved."""
        return 0.0 if self.expected is None else 1 - self.expected / self.before

    @property
    def sign_right(self) -> bool | None:
        """Return whether a saving (or cost) of over 5 % was foreseen as one; None where there is none to speak of."""
        return None if abs(self.saving) <= SHARE else self.predicted * self.saving > 0

    @property
    def inside(self) -> bool | None:
        """Return whether the truth lies in the stated interval."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.after <= self.high


@dataclass(frozen=True, slots=True)
class Figures:
    """What a set of pairs shows; shares from 0 to 1, None where there was nothing to count."""

    pairs: int
    forecast: int  # of the pairs: a forecast was made
    median_error: float | None  # of the absolute errors
    p90_error: float | None
    bias: float | None  # median of the signed errors
    sign_right: float | None  # of the savings and costs over 5 %
    signs: int
    inside: float | None  # of the forecasts


def figures(scored: Sequence[Scored]) -> Figures:
    """Errors, signs and coverage of ``scored``."""
    errors = np.array([one.error for one in scored if one.error is not None])
    signs = [one.sign_right for one in scored if one.sign_right is not None]
    inside = [one.inside for one in scored if one.inside is not None]
    return Figures(
        pairs=len(scored),
        forecast=len(errors),
        median_error=float(np.median(np.abs(errors))) if len(errors) else None,
        p90_error=float(np.percentile(np.abs(errors), 90)) if len(errors) else None,
        bias=float(np.median(errors)) if len(errors) else None,
        sign_right=sum(signs) / len(signs) if signs else None,
        signs=len(signs),
        inside=sum(inside) / len(inside) if inside else None,
    )


def score(pair: Pair) -> Scored:
    """Forecast ``pair`` from its trace and unprofiled step, then look at the truth."""
    summary = summarized(pair)
    rows = [row for row in summary.what_if or [] if row.fix == wanted(pair).name]
    found = rows[0] if rows else None
    step = found.step_us if found is not None and found.applies else None
    reasons = summary.forecast.reasons if summary.forecast else ["no forecast"]
    return Scored(
        name=pair.name,
        fix=pair.fix,
        choice=pair.choice,
        regime=pair.regime,
        before=pair.before_ns / 1000,
        after=pair.after_ns / 1000,
        low=step.low if step else None,
        expected=step.expected if step else None,
        high=step.high if step else None,
        why="" if step else (found.why if found else "; ".join(reasons)),
    )


def summarized(pair: Pair) -> Summary:
    """The summary of the run before the fix, with the forecast of this one."""
    steps = timed_steps(pair.training)
    return summary_of(pair.trace, manifest(steps, pair.before_ns, pair.machine.cores), wanted(pair))


def summary_of(trace: bytes, beside: Manifest, *fixes: Wanted) -> Summary:
    """What the analysis makes of a trace and its manifest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulated.pt.trace.json"
        path.write_bytes(trace)
        return summarize(read(path), beside, asked=Asked(fixes=fixes))


def wanted(pair: Pair) -> Wanted:
    """The fix in the words of the analysis. Never reading is reading every millionth step."""
    names: dict[str, Callable[[], Wanted]] = {
        "remove item": lambda: Wanted("record_every", float(NEVER)),
        "every k": lambda: Wanted("record_every", float(pair.choice)),
        "graph": lambda: Wanted("cuda_graph"),
        "workers": lambda: Wanted("dataloader_workers", float(pair.choice)),
        "pinned": lambda: Wanted("pinned_memory"),
    }
    return names[pair.fix]()


def manifest(steps: int, step_ns: float, cores: int = 8) -> Manifest:
    """What `stallscope profile` would have written beside the trace, after an unprofiled window of ``steps``."""
    window = Window(
        kind="unprofiled",
        round="full",
        first_step=4,
        steps=steps,
        duration_ns=round(steps * step_ns),
        samples_ns=[],
    )
    machine = Machine(os="Linux", python="3.13", cpu="simulated", cores=cores, threads=cores, torch="2.13.0")
    return Manifest(
        stallscope="0", created="2026-01-01T00:00:00Z", command=["train.py"], worker="simulated", pid=1,
        machine=machine, steps=Steps(count=steps, source="optimizer"), windows=[window], complete=True,
    )  # fmt: skip


# --- the table --------------------------------------------------------------------------------------


def table(scored: Sequence[Scored], *, one_by_one: bool) -> str:
    """Errors by fix, by regime, by both, and of all; ``one_by_one`` adds the pairs that were forecast worst."""
    fixes = sorted({one.fix for one in scored})
    regimes = sorted({one.regime for one in scored})
    lines = [HEADER, line("all", scored), ""]
    lines += [line(fix, [one for one in scored if one.fix == fix]) for fix in fixes]
    lines += ["", *(line(regime, [one for one in scored if one.regime == regime]) for regime in regimes), ""]
    for fix in fixes:
        for regime in regimes:
            both = [one for one in scored if (one.fix, one.regime) == (fix, regime)]
            lines += [line(f"{fix}, {regime}", both)] if both else []
    missed = [one for one in scored if one.expected is None]
    lines += ["", f"not forecast: {len(missed)}"]
    if not one_by_one:
        return "\n".join(lines) + "\n"
    worst = sorted((one for one in scored if one.error is not None), key=lambda one: -abs(one.error or 0.0))
    lines += [*map(told, missed[:10]), "", "forecast worst:", *map(told, worst[:15])]
    return "\n".join(lines) + "\n"


HEADER = f"{'':22s} pairs forecast  median     p90    bias     sign right  inside"


def line(name: str, scored: Sequence[Scored]) -> str:
    """One row of the table."""
    found = figures(scored)
    signs = f"{percent(found.sign_right)} of {found.signs}"
    shown = [percent(each) for each in (found.median_error, found.p90_error, found.bias)]
    cells = " ".join(f"{each:>7s}" for each in shown)
    return f"{name:22s} {found.pairs:5d} {found.forecast:8d} {cells} {signs:>14s} {percent(found.inside):>7s}"


def percent(share: float | None) -> str:
    """A share for the table."""
    return "-" if share is None else f"{100 * share:.1f} %"


def told(one: Scored) -> str:
    """One pair in a line: truth, forecast, interval."""
    head = f"  {one.name:18s} {one.fix:12s} {one.choice:3d} {one.regime:9s} {one.before:9.1f} -> {one.after:9.1f} µs"
    if one.expected is None:
        return f"{head}  {one.why}"
    return f"{head}  forecast {one.expected:9.1f} ({one.low:.1f} to {one.high:.1f})  {percent(one.error)}"


def as_json(scored: Iterable[Scored]) -> list[dict[str, Any]]:
    """Every pair as an object."""
    return [{name: getattr(one, name) for name in one.__slots__} for one in scored]
