"""What the step is bound by.

Where the trace can be replayed (``counterfactual.py``), by what is saved if a class of work costs nothing: host, sync,
input, copy, communication, compute.

1. *a-bound* if a saves 20 % of the step or more, and 1.5 times as much as the second.
2. Else *mixed(a, b)* if a saves 10 % or more and both together 25 % or more: b is what saves most together with a.
3. Else *balanced*: nothing alone is worth 10 %, or the two together are not worth 25 %.
4. host-bound is called *launch-bound* when there are five launches or more, and the GPU work of a launch is shorter
   than the host's time for it; that time must not pass 300 µs, for launching costs some 5 to 250 µs (profiler, Python
   and autograd included) and what takes longer is other work.

What a replay is worth comes first (``trust.py``). Where the CPU waits for too much GPU work that was not recorded, or
the GPU idles too long with work that was launched and did not start, the verdict is *refused*.

Where most of what can be saved is the first calls of a process, it is *start-up*.

Without a replay, or where it misses the measured time, by rule from plain shares of the time (``confidence`` is then
"rule"):

1. No device: *input-bound* where the DataLoader holds 20 % of the step and more than the operators outside it, else
   *cpu*. Device work not recorded: *unknown*. Figures that contradict themselves: *refused*.
2. GPU busy for 80 % of the step or more: *communication-bound* or *copy-bound* where that class alone (nothing else
   running on the GPU) holds 20 % of the step, else *compute-bound*.
3. Otherwise the largest of these decides, from 20 % of the step on: the DataLoader while the GPU idles
   (*input-bound*), waits (*sync-bound*), copies, communication, the rest of the GPU's idle time (*host-bound*). Below
   20 %: *balanced*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stallscope.analysis.answer import verdict_text
from stallscope.analysis.answer.acquitted import GPU_KINDS, not_the_cause
from stallscope.analysis.answer.verdict_text import LARGE
from stallscope.analysis.causes.case import WORTH
from stallscope.analysis.causes.facts import Facts, GpuFacts
from stallscope.analysis.contract.causes import Cause
from stallscope.analysis.contract.summary import Savings, Verdict
from stallscope.analysis.replay.counterfactual import CLEAR, JOINT, PART, Replayed
from stallscope.analysis.stages.issues import REFUSE

NO_LAUNCHING: Final = (  # causes in the host's own work that are no launches
    *("python", "recompiling", "gc_pause", "periodic", "graph_capture", "model_on_cpu", "partly_on_cpu"),
)
MOST: Final = 3  # pieces of advice
STARTS: Final = ("first_calls", "module_loading")
GPU_BOUND: Final = 0.80  # GPU busy share of the step from which the GPU is the limit


def judge(facts: Facts, replayed: Replayed | None = None, causes: Sequence[Cause] = ()) -> Verdict:
    """The verdict of one step; ``replayed`` where its trace can be replayed; ``causes``, most saved first."""
    kind = _settled(find_kind(facts, replayed), causes)
    start = causes[0].evidence if kind == "start-up" else ""
    abstains = kind in ("refused", "unknown")
    return Verdict(
        kind=kind,
        confidence=_confidence(facts, kind, replayed),
        savings=Savings(**replayed.savings) if replayed is not None and not abstains else Savings(),
        text=verdict_text.text(facts, kind, replayed, start),
        not_the_cause=[] if abstains else not_the_cause(facts, kind, replayed),
        advice=_advice(causes, kind),
    )


def _settled(kind: str, causes: Sequence[Cause]) -> str:
    """A start is no step; a host that does something else than launching most of the time is not launch-bound."""
    if causes and causes[0].name in STARTS and kind not in ("refused", "unknown", "cpu"):
        share = causes[0].share if causes[0].saves_share is None else causes[0].saves_share
        kind = "start-up" if (share or 0.0) >= LARGE else kind
    return "host-bound" if kind == "launch-bound" and causes and causes[0].name in NO_LAUNCHING else kind


def _advice(causes: Sequence[Cause], kind: str) -> list[str]:
    """What to do about the causes that save most, where they save anything worth it.

    Where nothing tells what a wait would save, and the GPU is the limit, the CPU would only wait elsewhere.
    """
    told = [cause for cause in causes if cause.name != "memory_room"]  # it goes with the advice of a larger batch
    moves = kind in GPU_KINDS
    unknown = [cause for cause in told if cause.saves_share is None and not (moves and cause.name.startswith("wait_"))]
    worth = [cause for cause in told if cause in unknown or (cause.saves_share or 0.0) >= WORTH]
    return list(dict.fromkeys(cause.advice for cause in worth))[:MOST]


def _confidence(facts: Facts, kind: str, replayed: Replayed | None) -> str:
    if kind == "refused":
        return "refused"
    if kind == "unknown" or replayed is None or not replayed.savings:
        return "rule"
    return "low confidence" if verdict_text.doubts(facts, replayed) else "ok"


def find_kind(facts: Facts, replayed: Replayed | None) -> str:
    """What the step is bound by: the verdict in a word."""
    if facts.recording.refused or facts.recording.unknown_share > REFUSE:
        return "refused"
    if facts.recording.absent is not None:
        return "unknown"
    if facts.vendor == "cpu" and facts.has_rows:
        return "unknown" if facts.recording.cut_short else _cpu_kind(facts)
    if not (facts.has_rows and isinstance(facts, GpuFacts)):
        return "unknown"
    if replayed is not None and replayed.savings:
        return _replayed_kind(facts, replayed)
    return _kind_by_rule(facts, 0.0 if replayed is None else replayed.trust.late_share)


def _kind_by_rule(facts: GpuFacts, late_share: float) -> str:
    """By shares of the time; ``late_share``: by how much a replay of the work that was recorded misses the rest."""
    if min(late_share, facts.recording.late_share) > REFUSE:
        return "refused"
    return _gpu_kind(facts) if facts.share(facts.device.busy_ns) >= GPU_BOUND else _idle_kind(facts)


def _replayed_kind(facts: GpuFacts, replayed: Replayed) -> str:
    """By what is saved."""
    first, second = replayed.ranked[:2]
    a, b = replayed.savings[first], replayed.savings[second]
    if a >= LARGE and a >= CLEAR * b:
        return "launch-bound" if first == "host" and facts.launches_dominate else f"{first}-bound"
    return f"mixed({first}, {replayed.second})" if a >= PART and replayed.joint >= JOINT else "balanced"


def _cpu_kind(facts: Facts) -> str:
    """Without a GPU: whether loading data or computing holds more of the step."""
    loading = facts.input.dataloader_ns
    loads = facts.share(loading) >= LARGE and loading > facts.host.operator_ns
    return "input-bound" if loads else "cpu"


def _idle_kind(facts: GpuFacts) -> str:
    """What keeps the GPU from working."""
    classes = {
        "input-bound": facts.device.input_ns,
        "sync-bound": facts.sync_ns,
        "host-bound": facts.host_ns,
        "communication-bound": facts.communication_ns,
        "copy-bound": facts.device.copy_ns,
    }
    kind = max(classes, key=lambda name: classes[name])
    if facts.share(classes[kind]) < LARGE:
        return "balanced"
    return "launch-bound" if kind == "host-bound" and facts.launches_dominate else kind


def _gpu_kind(facts: GpuFacts) -> str:
    others = {"communication-bound": facts.communication_ns, "copy-bound": facts.device.copy_ns}
    kind = max(others, key=lambda name: others[name])
    return kind if facts.share(others[kind]) >= LARGE else "compute-bound"
