"""The ranks of one run side by side: who each is and how long its steps take. Step times come from the manifests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stallscope.analysis.contract.rows import RankRow
from stallscope.analysis.contract.summary import Summary
from stallscope.traces.model.manifest import ROUNDS, Manifest, Window

NS_PER_US = 1000


@dataclass(frozen=True, slots=True)
class RankSpread:
    """The slowest and the fastest rank, and how far they are apart: (slowest - fastest) / fastest, of step times."""

    slowest: RankRow
    fastest: RankRow
    share: float
    profiled: bool  # the times are those under the profiler


def row_of_manifest(manifest: Manifest) -> RankRow:
    """One rank by its manifest alone; its trace need not be read."""
    unprofiled, timing = _window(manifest, "unprofiled"), _window(manifest, "timing")
    return RankRow(
        rank=manifest.rank,
        worker=manifest.worker,
        steps=manifest.steps.count,
        unprofiled_us=None if unprofiled is None else unprofiled.duration_ns / unprofiled.steps / NS_PER_US,
        step_us=None if timing is None else timing.duration_ns / timing.steps / NS_PER_US,
        complete=manifest.complete,
    )


def row_of_summary(summary: Summary, worker: str) -> RankRow:
    """One rank by its trace, where there is no manifest."""
    unprofiled = summary.steps.unprofiled_us
    return RankRow(
        rank=summary.trace.rank,
        worker=worker,
        steps=None,
        unprofiled_us=None if unprofiled is None else unprofiled.mean,
        step_us=summary.steps.time_us if summary.steps.count else None,
        complete=None,
    )


def _window(manifest: Manifest, kind: str) -> Window | None:
    for wanted in ROUNDS:
        for window in manifest.windows:
            if window.kind == kind and window.round == wanted and window.steps:
                return window
    return None


def are_of_one_job(ranks: Sequence[int | None], worlds: Iterable[int | None]) -> bool:
    """Whether these can be the ranks of one job: each known, none twice, one world size."""
    return None not in ranks and len(set(ranks)) == len(ranks) and len({size for size in worlds if size}) <= 1


def rank_spread(rows: Sequence[RankRow]) -> RankSpread | None:
    """Compare the ranks' step times: those without the profiler if all have them; None if there are no two to compare.

    Ranks that wait for each other in each step take equally long, whoever is late.
    """
    for profiled in (False, True):
        times = [row.step_us if profiled else row.unprofiled_us for row in rows]
        known = [time for time in times if time]
        if len(known) == len(rows) > 1:
            slowest, fastest = times.index(max(known)), times.index(min(known))
            return RankSpread(rows[slowest], rows[fastest], max(known) / min(known) - 1, profiled)
    return None
