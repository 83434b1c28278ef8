"""Whether device work can be joined to the calls that launched it: correlations that lack, repeat, or run backwards.

Each call of a recording has a correlation of its own, and its work carries it. Where that does not hold, what the GPU
did in all is still known, and which operator it belongs to is not: figures by operator are withheld.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.units import microseconds
from stallscope.traces.model.fields import LAUNCHES, Category
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.trace import Ints, Trace

FEW = 0.01  # of the calls or device rows
MOST = 0.5  # of the calls under correlations that others have too: nothing can be joined
SKEW_NS = 10_000  # device clocks are 8 to 9 µs off the host's in places; beyond, work cannot start before its call


@dataclass(frozen=True, slots=True)
class Linking:
    """What is wrong with the joins; counts."""

    unmarked: int  # launches and device rows without correlation, or all of both where nothing joins
    unmarked_share: float
    repeated: int  # calls under a correlation that an earlier call has
    repeated_share: float
    early_ns: Ints  # how long before its call each row started that did so beyond any tolerance

    @property
    def usable(self) -> bool:
        """Whether figures that rest on the joins can be given."""
        return self.unmarked_share <= FEW and self.repeated_share <= MOST

    def issues(self) -> Iterator[TraceIssue]:
        """What to say of it."""
        withheld = "" if self.usable else ", so GPU time of operators is withheld"
        if self.unmarked_share > FEW:
            advice = f"Launches and GPU work cannot be joined for lack of correlations{withheld}; GPU totals hold."
            yield TraceIssue("no_correlation", Severity.DATA_LOSS, self.unmarked, advice, share=self.unmarked_share)
        if self.repeated_share > FEW:
            advice = f"Calls share correlations, which each should have for itself{withheld}; were files merged?"
            share = self.repeated_share
            yield TraceIssue("correlation_reused", Severity.DATA_LOSS, self.repeated, advice, share=share)
        if len(self.early_ns):
            median, most = (microseconds(float(ns) / 1000) for ns in (np.median(self.early_ns), self.early_ns.max()))
            advice = (
                f"GPU work starts before the call that launched it (by {median}, at most {most}): the clocks of CPU "
                "and GPU disagree, so delays between them are wrong by about as much."
            )
            yield TraceIssue("clock_skew", Severity.DATA_LOSS, len(self.early_ns), advice)


def find_linking(trace: Trace, launches: Launches) -> Linking:
    """Measure the joins of a trace whose calls are known."""
    started = trace.events.calls(*LAUNCHES)
    if not launches.known or not len(trace.work) or not len(started):
        return Linking(0, 0.0, 0, 0.0, np.zeros(0, np.int64))
    unmarked, of = _unmarked(trace, launches, started)
    repeated, calls = _repeated(trace)
    return Linking(unmarked, unmarked / of, repeated, repeated / max(1, calls), _early(trace, launches))


def _unmarked(trace: Trace, launches: Launches, started: Ints) -> tuple[int, int]:
    known, of = trace.events.correlation.known, len(started) + len(trace.work)
    lacking = int((~known[started]).sum() + (~known[trace.work.row]).sum())
    return (lacking or of if not (launches.work_call >= 0).any() else lacking), of


def _repeated(trace: Trace) -> tuple[int, int]:
    """Runtime calls whose correlation an earlier runtime call has (driver calls share that of the call around them)."""
    rows = trace.events.rows(Category.RUNTIME)
    rows = rows[trace.events.correlation.known[rows]]
    ids = np.sort(trace.events.correlation.values[rows], kind="stable")
    return int((ids[1:] == ids[:-1]).sum()), len(rows)


def _early(trace: Trace, launches: Launches) -> Ints:
    paired = launches.work_call >= 0
    starts = trace.events.ts_ns[trace.work.row[paired]]
    early = trace.events.ts_ns[launches.work_call[paired]] - starts
    found: Ints = early[early > SKEW_NS]
    return found
