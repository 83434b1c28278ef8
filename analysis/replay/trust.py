"""How far a replay of this trace can be trusted: said first, in words, before any forecast is made of it.

Replaying a trace unchanged must give its own time back (*identity*), and what the trace leaves unexplained must be
little: waits of the host during which nothing that was recorded ran, device work that started late for no recorded
reason, device work without a launch. Limits are those of the reference measurements on 32 traces: the three that
cannot be replayed leave 8 to 60 % unexplained, all others 1 % at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec
import numpy as np

from stallscope.analysis.replay.graph import Graph, Link
from stallscope.analysis.replay.replay import Times
from stallscope.analysis.stages.issues import DOUBT, REFUSE
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.units import percent

Level = Literal["ok", "low confidence", "refused"]

REFUSE_IDENTITY: Final = 0.05  # error of an unchanged replay, share of the window
DOUBT_IDENTITY: Final = 0.02
REFUSE_ORPHANS: Final = 0.50  # share of the device work that no recorded call launched
DOUBT_ORPHANS: Final = 0.05
FEW_STEPS: Final = 3
UNEVEN: Final = 0.15  # distance of the quartiles of step times ÷ their median
ENOUGH_STEPS: Final = 4  # for quartiles to mean something
PLAUSIBLE: Final = (0.4, 1.1)  # time without ÷ under the profiler; outside, the two windows saw different things


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay is worth."""

    level: Level
    reasons: tuple[str, ...]  # why it is not "ok", as clauses
    identity_error: float  # replayed ÷ measured time − 1
    unexplained_share: float  # of the window: waits of the host for nothing that was recorded
    late_share: float  # of the window: device work that started late for no recorded reason, summed
    orphan_share: float  # of the device work


def find_trust(
    stages: Stages, graph: Graph, times: Times, *, inflation: float | None = None, batched: bool = False
) -> Trust:
    """Judge a replay by its identity ``times``; ``batched``: a driver that collects launches (Windows' WDDM)."""
    whole = int(graph.measured_completion_ns[-1])
    launched = np.zeros(len(graph), dtype=np.bool_)
    launched[graph.edges.target[graph.edges.link == Link.LAUNCH]] = True
    orphans = graph.on_device & ~graph.carried & ~launched
    identity = times.span_ns / whole - 1 if whole else 0.0
    unexplained, late = stages.unexplained_share or 0.0, graph.late_ns / whole if whole and not batched else 0.0
    work = max(1, int(graph.on_device.sum()))
    share, before = float(orphans.sum() / work), float(graph.carried.sum() / work)
    refusals = [*_unexplained(unexplained, late, REFUSE), *_misses(identity, REFUSE_IDENTITY)]
    refusals += _orphans(share, REFUSE_ORPHANS)
    doubts = [*_unexplained(unexplained, late, DOUBT), *_misses(identity, DOUBT_IDENTITY)]
    doubts += [
        *_orphans(share, DOUBT_ORPHANS),
        *_carried(before),
        *_steps(stages),
        *_profiler(inflation, batched=batched),
    ]
    return Trust(
        level="refused" if refusals else "low confidence" if doubts else "ok",
        reasons=tuple(refusals or doubts),
        identity_error=identity,
        unexplained_share=unexplained,
        late_share=late,
        orphan_share=share,
    )


def _unexplained(waits: float, late: float, limit: float) -> Iterator[str]:
    if waits > limit:
        yield f"in {percent(waits)} of the time the CPU waited while no recorded GPU work ran"
    if late > limit:
        yield f"GPU work started late, by {percent(late)} of the time, for reasons that the trace does not hold"


def _misses(identity: float, limit: float) -> Iterator[str]:
    if abs(identity) > limit:
        yield f"replaying the trace unchanged misses its time by {percent(abs(identity))}"


def _orphans(share: float, limit: float) -> Iterator[str]:
    if share > limit:
        yield f"{percent(share)} of the GPU work has no launch in the trace"


def _carried(share: float) -> Iterator[str]:
    if share > DOUBT_ORPHANS:
        yield f"{percent(share)} of the GPU work was launched before the recording, or before its first step"


def _steps(stages: Stages) -> Iterator[str]:
    window = stages.window
    if not window.from_steps:
        yield "the trace marks no steps, so it may hold start-up work as well"
        return
    if window.count < FEW_STEPS:
        yield f"only {window.count} step{'s were' if window.count > 1 else ' was'} recorded"
    lengths = (window.step_ends - window.step_starts)[window.whole]
    if len(lengths) >= ENOUGH_STEPS:
        low, middle, high = np.percentile(lengths, (25, 50, 75)).tolist()
        if middle and (high - low) / middle > UNEVEN:
            spread = percent((high - low) / middle)
            yield f"the steps are uneven: the middle half of them spans {spread} of their median"


def _profiler(inflation: float | None, *, batched: bool) -> Iterator[str]:
    if inflation is not None and not 1 / PLAUSIBLE[1] <= inflation <= 1 / PLAUSIBLE[0]:
        yield f"under the profiler a step took {inflation:.2g} times as long as without it"
    if batched:
        yield "Windows' WDDM driver starts kernels in batches, which no trace shows"
