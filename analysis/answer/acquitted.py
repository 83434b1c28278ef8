"""What is not the cause: usual suspects, each with this run's figures, and what a replay says without them."""

from __future__ import annotations

from typing import Final

from stallscope.analysis.causes.facts import Facts, GpuFacts
from stallscope.analysis.replay.counterfactual import Replayed
from stallscope.analysis.units import percent

MOSTLY: Final = 0.5
INNOCENT: Final = 0.15  # share of the step below which a usual suspect is "not the cause"
GPU_KINDS: Final = ("compute-bound", "communication-bound", "copy-bound")
LOADING: Final = "Loading data (DataLoader)"
COPYING: Final = "Copies to and from the GPU"
EXCHANGING: Final = "Communication between GPUs"
SLOW_GPU: Final = "A slow GPU (time in its kernels)"


def not_the_cause(facts: Facts, kind: str, replayed: Replayed | None = None) -> list[str]:
    """Usual suspects that hold too little of the step to explain it, or whose absence would save too little."""
    suspects: dict[str, tuple[str, float]] = {"input-bound": (LOADING, facts.input.dataloader_ns)}
    if isinstance(facts, GpuFacts):
        if replayed is not None and replayed.savings:
            return _acquitted(facts, _named(facts, kind), replayed)
        suspects = {"sync-bound": (_waits(facts), facts.calls.stall_ns), **suspects, **_gpu_suspects(facts, kind)}
    said = [
        _innocent(what, ns, facts)
        for name, (what, ns) in suspects.items()
        if name != kind and facts.share(ns) < INNOCENT and (ns > 0 or name in ("sync-bound", "input-bound"))
    ]
    return said + (_moving_waits(facts) if isinstance(facts, GpuFacts) and kind in GPU_KINDS else [])


def _named(facts: Facts, kind: str) -> list[str]:
    """The kinds that a verdict names: two for ``mixed(host, input)``."""
    if not kind.startswith("mixed("):
        return [kind]
    launching = isinstance(facts, GpuFacts) and facts.launches_dominate
    named = [f"{name}-bound" for name in kind.removeprefix("mixed(").removesuffix(")").split(", ")]
    return ["launch-bound" if name == "host-bound" and launching else name for name in named]


def _gpu_suspects(facts: GpuFacts, kind: str) -> dict[str, tuple[str, float]]:
    suspects: dict[str, tuple[str, float]] = {
        "copy-bound": (COPYING, sum(group.ns for group in facts.device.copies)),
        "communication-bound": (EXCHANGING, facts.communication_ns),
    }
    if facts.calls.launches and kind not in ("launch-bound", "host-bound"):
        suspects["launch-bound"] = ("Starting kernels (CPU work while the GPU idles)", facts.host_ns)
    if kind in ("launch-bound", "host-bound", "input-bound", "sync-bound"):
        suspects["compute-bound"] = (SLOW_GPU, facts.device.compute_ns)
    return suspects


def _acquitted(facts: GpuFacts, named: list[str], replayed: Replayed) -> list[str]:
    """Those of the suspects that a replay clears: without them the step would take almost as long."""
    suspects: dict[str, tuple[str, float]] = {
        "sync": (_waits(facts), facts.calls.stall_ns),
        "input": (LOADING, facts.input.dataloader_ns),
        "copy": (COPYING, sum(group.ns for group in facts.device.copies)),
        "communication": (EXCHANGING, facts.communication_ns),
        "host": ("The CPU's own work (Python, starting kernels)", facts.working_host_ns),
        "compute": (SLOW_GPU, facts.device.compute_ns),
    }
    blamed = {"host" if name == "launch-bound" else name.removesuffix("-bound") for name in named}
    said = [
        _innocent(what, ns, facts) + (_saves(name, ns, facts, replayed) if ns else "")
        for name, (what, ns) in suspects.items()
        if name not in blamed and replayed.savings[name] < INNOCENT and (ns > 0 or name in ("sync", "input"))
    ]
    return [*said, *(_slow_launches(facts) if blamed & {"compute", "communication", "copy"} else [])]


def _saves(name: str, ns: float, facts: GpuFacts, replayed: Replayed) -> str:
    """What would be saved if it cost nothing; and where that is far less than its time, why."""
    saved = replayed.savings[name]
    if name == "sync" and facts.drained:
        return (
            " The GPU had already finished when the CPU came to wait; doing without saves "
            f"{facts.time(saved * facts.window_ns)} ({percent(saved)}), "
            "the calls' own cost and what PyTorch does around them."
        )
    moves = ""
    if facts.share(ns) >= INNOCENT and saved < facts.share(ns) / 2:
        busy = facts.share(facts.device.busy_ns) >= MOSTLY
        moves = {"sync": ": the CPU would wait elsewhere", "host": ": the GPU works meanwhile" if busy else None}.get(
            name
        ) or ": something else takes as long meanwhile"
    return f" If it cost nothing, {percent(saved)} would be saved{moves}."


def _innocent(what: str, ns: float, facts: Facts) -> str:
    if not ns:
        return f"{what}: none recorded."
    return f"{what}: {facts.time(ns)} of {facts.step}, {facts.part(ns)} of {facts.each}."


def _waits(facts: GpuFacts) -> str:
    """The waits by the name under which people know them."""
    operators = {line.most.operator for line in facts.calls.waits}
    return "Waiting in .item()" if operators == {"aten::item"} else "Waiting for the GPU (.item(), .cpu(), synchronize)"


def _moving_waits(facts: GpuFacts) -> list[str]:
    """Long waits and slow launch calls under a busy GPU cost little: without them the host would wait elsewhere."""
    stall_ns, said = facts.calls.stall_ns, []
    if facts.share(stall_ns) >= INNOCENT:
        said.append(
            f"Waiting for the GPU: {facts.time(stall_ns)} of {facts.step}, "
            "but the GPU works meanwhile; without these waits the CPU would wait elsewhere."
        )
    return [*said, *_slow_launches(facts)]


def _slow_launches(facts: GpuFacts) -> list[str]:
    """Launch calls that take long because the GPU has enough to do."""
    launch_ns = facts.calls.launch_ns
    if facts.share(launch_ns) < INNOCENT:
        return []
    calls = f"Launch calls: {facts.time(launch_ns)} of {facts.step}"
    return [f"{calls}, but the GPU works meanwhile; a launch takes long when the GPU's queue is full."]
