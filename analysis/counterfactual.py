"""What a step would take if one class of work cost nothing: the replay that a verdict rests on.

Each class of ``graph.Work`` is made free by itself and the step replayed; its *saving* is the share of the replayed
step that this takes off. The two that save most are also freed together, and where that is not worth much, the first
with each of the others: where the *joint* saving exceeds the sum of the two, either alone only uncovers the other. A
step is timed in a steady state (two passes over the window),
a trace without steps from its beginning to its end. Savings are bounds: nothing can be made quite free, and the time of
collective kernels includes waiting for other ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stallscope.analysis.contract import Savings
from stallscope.analysis.graph import Graph, Work
from stallscope.analysis.graph_build import build
from stallscope.analysis.replay import Program, replay
from stallscope.analysis.trust import Trust, find_trust

if TYPE_CHECKING:
    from stallscope.analysis.summary import Stages

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

    @property
    def ranked(self) -> list[str]:
        """The classes, most saved first."""
        return sorted(self.savings, key=lambda name: -self.savings[name])

    def saved_us(self, name: str) -> float:
        """What a class would save."""
        return self.savings[name] * self.step_us

    def without_us(self, name: str) -> float:
        """The step with that class free."""
        return self.step_us - self.saved_us(name)

    @property
    def contract(self) -> Savings:
        """As the JSON says it."""
        return Savings(**self.savings)


def find_replayed(stages: Stages, *, inflation: float | None = None, batched: bool = False) -> Replayed | None:
    """Replay the window; None where the trace gives no graph."""
    graph = build(stages)
    if graph is None:
        return None
    program, passes = Program(graph), 2 if stages.window.from_steps else 1
    times = program.run(graph.duration_ns)
    trust = find_trust(stages, graph, times, inflation=inflation, batched=batched)
    base = program.run(graph.duration_ns, passes=passes).step_ns if passes > 1 else times.step_ns
    if trust.level == "refused" or base <= 0:
        return Replayed(trust=trust, step_us=base / 1000, savings={}, second="", joint=0.0, graph=graph)
    savings = {name: _saving(graph, (work,), passes, base) for work, name in NAMES.items()}
    second, joint = _joint(graph, savings, passes, base)
    return Replayed(trust=trust, step_us=base / 1000, savings=savings, second=second, joint=joint, graph=graph)


def _joint(graph: Graph, savings: dict[str, float], passes: int, base: float) -> tuple[str, float]:
    """(what is named beside the class that saves most, what both save together)."""
    first, *others = sorted(NAMES, key=lambda work: -savings[NAMES[work]])
    alone, most = savings[NAMES[first]], savings[NAMES[others[0]]]

    def together(other: Work) -> float:
        return max(alone, savings[NAMES[other]], _saving(graph, (first, other), passes, base))

    joint = together(others[0])
    if alone >= CLEAR * most > 0 or joint >= JOINT or alone < PART:
        return NAMES[others[0]], joint
    best = max(others, key=together)
    return NAMES[best], together(best)


def _saving(graph: Graph, classes: tuple[Work, ...], passes: int, base: float) -> float:
    if not any((graph.work == int(each)).any() for each in classes) and Work.SYNC not in classes:
        return 0.0
    return max(0.0, 1 - replay(graph.free(classes), passes=passes).step_ns / base)
