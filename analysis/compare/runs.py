"""The runs of one side of a comparison: which summaries are one run, its step time, and how far it drifts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stallscope.analysis.contract.summary import Summary
from stallscope.traces.model.manifest import ROUNDS, Manifest

FEWEST_SAMPLES = 4  # below this a run has no two halves to set side by side


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One trace's summary, with its manifest where there is one, under the name the user knows it by."""

    summary: Summary
    manifest: Manifest | None
    name: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its ranks. The unit of every statistic; ranks of one run are no repeats of it."""

    name: str
    ranks: tuple[RunFigures, ...]

    @property
    def first(self) -> RunFigures:
        """The rank that speaks for the run where only one can."""
        return self.ranks[0]

    def value(self, pick: Callable[[Summary], float | None]) -> float | None:
        """One figure of the run: the mean over its ranks, None where any rank does not know it."""
        return mean(pick(rank.summary) for rank in self.ranks)

    @property
    def device(self) -> str:
        """What did the work, "cpu" or "gpu". A trace of a GPU machine whose GPU did nothing is a CPU run."""
        summary = self.first.summary
        work = (summary.per_step.kernels, summary.per_step.kernel_launches, summary.per_step.memcpys)
        idle = all(count == 0 for count in work)
        return "cpu" if summary.trace.vendor == "cpu" or idle else "gpu"


def mean(values: Iterable[float | None]) -> float | None:
    """Arithmetic mean; None where there are no values or any is unknown."""
    numbers = list(values)
    known = [number for number in numbers if number is not None]
    return statistics.fmean(known) if numbers and len(known) == len(numbers) else None


def group_runs(figures: Sequence[RunFigures]) -> tuple[Run, ...]:
    """The runs among ``figures``, in order: ranks of one run carry one name and different rank numbers."""
    groups: list[list[RunFigures]] = []
    for one in figures:
        home = next((group for group in groups if _same_run(group, one)), None)
        if home is None:
            groups.append([one])
        else:
            home.append(one)
    return tuple(Run(group[0].name, tuple(group)) for group in groups)


def _same_run(group: Sequence[RunFigures], one: RunFigures) -> bool:
    ranks = {None, *map(_rank, group)}
    return group[0].name == one.name and _rank(one) not in ranks


def _rank(figures: RunFigures) -> int | None:
    return figures.manifest.rank if figures.manifest else figures.summary.trace.rank


def _world_size(figures: RunFigures) -> int | None:
    return figures.manifest.world_size if figures.manifest else figures.summary.trace.world_size


def world_size(run: Run) -> int:
    """How many ranks the run had; 1 where it does not say."""
    return _world_size(run.first) or 1


def unprofiled_mean(summary: Summary) -> float | None:
    """Step time without the profiler, µs: the truth about time."""
    return summary.steps.unprofiled_us.mean if summary.steps.unprofiled_us else None


def profiled_step(summary: Summary) -> float | None:
    """The step under the profiler, µs; None without steps."""
    return summary.steps.time_us if summary.steps.count else None


def drift(run: Run) -> tuple[float | None, str]:
    """How far a run lies from itself, as a share, and where that was seen: "windows", "halves" or "unknown".

    Between its unprofiled windows (short round, full round): ``(max - min) / mean`` of their step times; else between
    the medians of the first and second half of its step samples.
    """
    windows = run.first.manifest.windows if run.first.manifest else []
    rounds = [window for window in windows if window.kind == "unprofiled" and window.round in ROUNDS]
    times = [window.duration_ns / window.steps for window in rounds if window.steps]
    if len(times) > 1:
        return _spread(times), "windows"
    unprofiled = run.first.summary.steps.unprofiled_us
    samples = unprofiled.host_samples.samples if unprofiled else run.first.summary.steps.wall_us.samples
    if len(samples) < FEWEST_SAMPLES:
        return None, "unknown"
    middle = len(samples) // 2
    return _spread([statistics.median(samples[:middle]), statistics.median(samples[middle:])]), "halves"


def _spread(values: Sequence[float]) -> float:
    centre = statistics.fmean(values)
    return (max(values) - min(values)) / centre if centre > 0 else 0.0


def noise_floor(runs: Sequence[Run], times: Sequence[Sequence[float]]) -> tuple[float | None, str]:
    """The share by which step times differ with nothing changed, and where that was seen.

    ``runs``: all of both sides; ``times``: the step times of each side. The largest drift inside any run and the
    spread between the runs of a side that has several. None where a run cannot say.
    """
    drifts = [drift(run) for run in runs]
    spreads = [_spread(side) for side in times if len(side) > 1]
    if any(share is None for share, _ in drifts):
        return None, "unknown"
    largest, source = max((share or 0.0, source) for share, source in drifts)
    if spreads and max(spreads) > largest:
        return max(spreads), "runs"
    return largest, source
