"""What a step would take if one class of work cost nothing: the replay that a verdict rests on.

Each class of ``graph.Work`` is made free by itself and the step replayed; its *saving* is the share of the replayed
step that this takes off. The two that save most are also freed together, and where that is not worth much, the first
with each of the others: where the *joint* saving exceeds the sum of the two, either alone only uncovers the other. A
step is timed in a steady state (two passes over the window),
a trace without steps from its beginning to its end. Savings are bounds: nothing can be made quite free, and the time of
collective kernels includes waiting for other ranks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from stallscope.analysis.replay.graph import Graph, Link, Work
from stallscope.analysis.replay.graph_build import build
from stallscope.analysis.replay.replay import Program
from stallscope.analysis.replay.run import find_run
from stallscope.analysis.replay.trust import Trust, find_trust
from stallscope.analysis.stages.stages import Stages

CLEAR: Final = 1.5  # times the second's saving: the first stands out
PART: Final = 0.10  # saving that is worth naming
JOINT: Final = 0.25  # saving of two together that is
NAMES: Final = {
    Work.HOST: "host",
    Work.SYNC: "sync",
    Work.INPUT: "input",
    Work.COPY: "copy",
    Work.COMMUNICATION: "communication",
    Work.COMPUTE: "compute",
}


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """A step replayed, and with one class of work free at a time."""

    trust: Trust
    step_us: float
    savings: dict[str, float]  # class → share of the step, 0 to 1; empty where refused
    second: str  # what saves most together with the class that saves most
    joint: float  # what both save
    graph: Graph
    part: Stages  # with the run of steps that was replayed as its window
    passes: int  # over the run, that time a step

    @property
    def ranked(self) -> list[str]:
        """The classes, most saved first."""
        return _ranked(self.savings)

    def saved_us(self, name: str) -> float:
        """What a class would save."""
        return self.savings[name] * self.step_us

    def without_us(self, name: str) -> float:
        """The step with that class free."""
        return self.step_us - self.saved_us(name)


def find_replayed(stages: Stages, *, inflation: float | None = None, batched: bool = False) -> Replayed | None:
    """Replay the run of steps that stands for the window (``run.py``); None where the trace gives no graph."""
    run = find_run(stages.trace, stages.window, stages.completion)
    part = replace(stages, window=run)
    graph = build(part)
    if graph is None:
        return None
    program, passes = Program(graph), 1 if run.source == "whole_trace" else 2
    times = program.run(graph.duration_ns)
    trust = find_trust(stages, graph, times, inflation=inflation, batched=batched)
    base = program.run(graph.duration_ns, passes=passes).step_ns if passes > 1 else times.step_ns
    if trust.level == "refused" or base <= 0:
        return Replayed(
            trust=trust, step_us=base / 1000, savings={}, second="", joint=0.0, graph=graph, part=part, passes=passes
        )
    step = _Step(graph, program, passes, base)
    savings = {name: step.saving(work) for work, name in NAMES.items()}
    second, joint = _joint(step, savings)
    return Replayed(
        trust=trust,
        step_us=base / 1000,
        savings=savings,
        second=second,
        joint=joint,
        graph=graph,
        part=part,
        passes=passes,
    )


def _ranked(savings: dict[str, float]) -> list[str]:
    """The classes, most saved first; of those that save the same the host last: it is what has no name of its own."""
    return sorted(savings, key=lambda name: (-round(savings[name], 2), name == "host"))


class _Step(msgspec.Struct, frozen=True):
    """A step, to be replayed with classes of work free; no replay takes longer than ``base``."""

    graph: Graph
    program: Program
    passes: int
    base: float  # ns

    def saving(self, *classes: Work) -> float:
        """The share of the step that it would take less."""
        if Work.SYNC not in classes and not np.isin(self.graph.work, [int(each) for each in classes]).any():
            return 0.0
        freed = self.graph.free(classes)
        program = self.program.of(msgspec.structs.replace(freed, edges=self.graph.edges))
        dropped = [Link.SYNC, Link.COPY] if Work.SYNC in classes else []  # as ``free`` does
        dropped += [Link.LOADER] if Work.INPUT in classes else []
        return max(0.0, 1 - program.run(freed.duration_ns, dropped, self.passes).step_ns / self.base)


def _joint(step: _Step, savings: dict[str, float]) -> tuple[str, float]:
    """(what is named beside the class that saves most, what both save together)."""
    first, *others = (work for name in _ranked(savings) for work in NAMES if NAMES[work] == name)
    alone, most = savings[NAMES[first]], savings[NAMES[others[0]]]

    def together(other: Work) -> float:
        return max(alone, savings[NAMES[other]], step.saving(first, other))

    joint = together(others[0])
    if alone >= CLEAR * most > 0 or joint >= JOINT or alone < PART:
        return NAMES[others[0]], joint
    joints = {other: together(other) for other in others}
    best = max(others, key=lambda other: joints[other])
    return NAMES[best], joints[best]
