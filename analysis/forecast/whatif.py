"""What a step would take after each fix: the graph changed, replayed, and set to the measured step.

    forecast step = step now × replayed step after the change ÷ replayed step now

*Step now* is the unprofiled mean where the manifest has it, else the profiled median. Both replays are made with what
recording costs taken off the host's time (``calibration.py``). A fix of which a share of the steps is left alone (reads
in every k-th step) is a blend: T(k) = T(never) + (T(now) − T(never)) × share.

The interval should hold the truth in four of five cases. Its halves are, each side for itself,

    √( constants² + recording² + (step × r)² )      r = √( spread² + identity² + prior² )

*constants* and *recording* are how far the forecast moves when what no trace tells (``constants.py``) and what
recording costs are at their bounds, times 0.65, for those bounds are taken to hold 95 % of all machines; *spread* is
the uncertainty of the steps' mean from their interquartile range; *identity* the replay's own error with nothing
changed; *prior* how far forecasts of this kind were off on simulated pairs (the development half of
``tests/evidence/simulator``) and, for the optimizer (Daydream, USENIX ATC 2020) and compilers, in publications.

Fixes are then added up in the order of their savings, each on top of those before it, the best of each family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from stallscope.analysis.contract.forecast import ForecastBase, StepRange, WhatIf
from stallscope.analysis.fixes.fix import EIGHTY, Bound, Fix, cannot
from stallscope.analysis.fixes.graphs import compile_reduce_overhead, cuda_graph
from stallscope.analysis.fixes.input import dataloader_workers, pinned_memory
from stallscope.analysis.fixes.names import STANDARD, Wanted
from stallscope.analysis.fixes.optimizer import foreach_optimizer, fused_optimizer
from stallscope.analysis.fixes.reads import deferred_read, record_every
from stallscope.analysis.fixes.size import cpu, fewer_launches, larger_batch
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.forecast.calibration import PROFILED, Calibration, calibrate
from stallscope.analysis.replay.graph import NEVER, Graph
from stallscope.analysis.replay.replay import Program
from stallscope.analysis.replay.trust import Trust
from stallscope.analysis.stages.step_times import StepTimes
from stallscope.analysis.units import percent
from stallscope.traces.model.trace import Ints

FIXES: Final[dict[str, Callable[[Subject, Wanted], Fix]]] = {
    "record_every": record_every,
    "deferred_read": deferred_read,
    "cuda_graph": cuda_graph,
    "compile_reduce_overhead": compile_reduce_overhead,
    "fused_optimizer": fused_optimizer,
    "foreach_optimizer": foreach_optimizer,
    "larger_batch": larger_batch,
    "pinned_memory": pinned_memory,
    "dataloader_workers": dataloader_workers,
    "cpu": cpu,
    "fewer_launches": fewer_launches,
}
NOTHING_BARRED: Final[Mapping[str, str]] = MappingProxyType({})
QUARTILES: Final = 1.349  # standard deviations between the quartiles of a normal distribution
SLOWER: Final = 0.01  # of the step, from which a fix that costs is called one
NARROWER: Final = 1.282 / 1.960  # from bounds that hold 95 % to such as hold 80 %


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a trace says of the future."""

    base: ForecastBase
    what_if: list[WhatIf] | None  # best first; None: the trace carries no forecast
    host_factor: float | None  # the host's time without the profiler ÷ under it; None: cannot be told


def forecast(
    subject: Subject,
    times: StepTimes,
    trust: Trust,
    fixes: Sequence[Wanted] = STANDARD,
    barred: Mapping[str, str] = NOTHING_BARRED,
) -> Forecast:
    """The forecasts of one trace, best first, and what they start from; ``barred``: fixes not made, and why."""
    return _Forecaster(subject, times, trust).made(fixes, barred)


def refusal(reasons: Sequence[str], host_factor: float | None = None) -> Forecast:
    """No forecast, and why."""
    base = ForecastBase(step_us=None, basis=PROFILED, confidence="refused", reasons=list(reasons))
    return Forecast(base, None, host_factor)


class _Forecaster:
    """Replays of one trace at what recording costs."""

    def __init__(self, subject: Subject, times: StepTimes, trust: Trust) -> None:
        self._subject, self._times, self._trust = subject, times, trust
        program = Program(subject.graph)

        def step_of(duration_ns: Ints) -> float:
            return program.run(duration_ns, passes=subject.passes).step_ns / 1000

        self._calibration = calibrate(subject, step_of, times.unprofiled)
        self._step_of = step_of
        self._step_us = times.step_us if times.unprofiled is None else times.unprofiled.mean_us
        self._programs: dict[tuple[bytes, ...], Program] = {}
        self._done: dict[tuple[str, float, Bound], float] = {}
        self._at = {x: self._graph_at(x) for x in dict.fromkeys(self._xs(self._calibration))}

    @staticmethod
    def _xs(calibration: Calibration) -> tuple[float, ...]:
        return (calibration.x, calibration.least, calibration.most)

    def _graph_at(self, x: float) -> tuple[Graph, float]:
        """(the graph without ``x`` units of recording, its step in µs)."""
        durations = self._calibration.recording.without(x)
        return replace(self._subject.graph, duration_ns=durations), self._step_of(durations)

    def made(self, fixes: Sequence[Wanted], barred: Mapping[str, str]) -> Forecast:
        """Everything."""
        models = [
            cannot(wanted, barred[wanted.fix]) if wanted.fix in barred else FIXES[wanted.fix](self._subject, wanted)
            for wanted in fixes
        ]
        rows = [(fix, self._row(fix)) for fix in models]
        applying = sorted((row for row in rows if row[0].applies), key=lambda row: -(row[1].saving_share or 0.0))
        what_if = self._added_up(applying) + [row for fix, row in rows if not fix.applies]
        return Forecast(self._base(), what_if, self._calibration.told_factor if self._times.from_steps else None)

    def _base(self) -> ForecastBase:
        calibration = self._calibration
        doubts = [*self._trust.reasons, *calibration.doubts]
        return ForecastBase(
            step_us=self._step_us,
            basis=calibration.basis,
            confidence="low" if doubts else "ok",
            reasons=doubts,
            part=self._subject.part,
            host_factor=calibration.host_factor,
            host_factor_low=calibration.host_factor_low,
            identity_error=self._trust.identity_error,
        )

    def _row(self, fix: Fix) -> WhatIf:
        step = self._range(fix)
        share = None if step is None or not self._step_us else 1 - step.expected / self._step_us
        return WhatIf(
            fix=fix.wanted.name,
            applies=fix.applies,
            why=_why(fix, share),
            title=fix.title,
            step_us=step,
            saving_share=share,
            confidence=self._confidence(fix),
        )

    def _confidence(self, fix: Fix) -> str:
        if fix.measured:
            return "measured"
        return "low" if fix.doubts or self._base().confidence == "low" else "ok"

    def _range(self, fix: Fix) -> StepRange | None:
        """The forecast and its interval."""
        if fix.measured is not None or fix.change is None:
            return fix.measured
        expected = self._step_after(fix, self._calibration.x, Bound.EXPECTED)
        ends = [self._step_after(fix, self._calibration.x, bound) for bound in self._bounds(fix)]
        others = [self._step_after(fix, x, Bound.EXPECTED) for x in self._at if x != self._calibration.x]
        width = expected * self._relative(fix)
        down = [max(0.0, expected - min(found, default=expected)) for found in (ends, others)]
        up = [max(0.0, max(found, default=expected) - expected) for found in (ends, others)]
        return StepRange(
            low=max(0.0, expected - sqrt(width**2 + sum((NARROWER * each) ** 2 for each in down))),
            expected=expected,
            high=expected + sqrt(width**2 + sum((NARROWER * each) ** 2 for each in up)),
        )

    @staticmethod
    def _bounds(fix: Fix) -> tuple[Bound, ...]:
        return (Bound.LOW, Bound.HIGH) if fix.bounded else ()

    def _relative(self, fix: Fix) -> float:
        """``r``: spread of the steps, the replay's own error, and the fix's prior."""
        samples, median = self._times.samples_us, self._times.step_us
        spread = 0.0
        if len(samples) > 1 and median:
            low, high = np.percentile(samples, (25, 75))
            spread = EIGHTY * float(high - low) / (QUARTILES * sqrt(len(samples)) * median)
        return sqrt(spread**2 + self._trust.identity_error**2 + fix.prior**2)

    def _replayed(self, graph: Graph) -> float:
        """The step of a changed graph, µs. Making a program costs more than running it: one for each set of edges."""
        edges = graph.edges
        key = (edges.source.tobytes(), edges.target.tobytes(), (graph.release_ns > NEVER).tobytes())
        if key not in self._programs:
            self._programs[key] = Program(graph)
        program = self._programs[key].of(graph)
        return program.run(graph.duration_ns, passes=self._subject.passes).step_ns / 1000

    def _step_after(self, fix: Fix, x: float, bound: Bound) -> float:
        """Forecast step in µs at one estimate of what recording costs."""
        graph, now = self._at[x]
        if fix.change is None or not now:
            return self._step_us
        key = (fix.same_as or fix.wanted.name, x, bound)
        if key not in self._done:
            self._done[key] = self._replayed(fix.change(graph, bound))
        changed = self._done[key]
        blended = fix.kept * now + (1 - fix.kept) * changed
        return self._step_us * blended / now / fix.divide

    def _added_up(self, rows: Sequence[tuple[Fix, WhatIf]]) -> list[WhatIf]:
        """The rows, each with the step after it and those before it, and what it adds."""
        graph, now = self._at[self._calibration.x]
        without_reads, kept, reached = graph, 0.0, self._step_us
        families: set[str] = set()
        found = []
        for fix, row in rows:
            saves = (row.saving_share or 0.0) >= 0 and fix.family not in families
            if not (saves and fix.adds_up and now) or fix.change is None:
                found.append(row)
                continue
            families |= {fix.family} - {""}
            graph = fix.change(graph, Bound.EXPECTED)
            if fix.kept:
                kept = fix.kept
            else:
                without_reads = fix.change(without_reads, Bound.EXPECTED)
            after = self._replayed(graph)
            if kept:
                after = (1 - kept) * after + kept * self._replayed(without_reads)
            step = self._step_us * after / now
            found.append(_on_top(row, step, (reached - step) / self._step_us))
            reached = step
        return found


def _why(fix: Fix, share: float | None) -> str:
    """Why a fix applies, or does not; where it costs, that first."""
    if share is None or share > -SLOWER:
        return fix.why
    return f"it makes the step {percent(-share)} longer here; {fix.why}"


def _on_top(row: WhatIf, step_us: float, adds: float) -> WhatIf:
    return msgspec.structs.replace(row, with_those_before_us=step_us, adds_share=adds)
