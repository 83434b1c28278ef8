"""The general family, what no specific cause explains: launching, Python, operators, kernels, copies, exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stallscope.analysis.causes.case import MOSTLY, Case, Claim
from stallscope.analysis.causes.facts import GpuFacts
from stallscope.analysis.causes.python_time import python_nodes
from stallscope.analysis.replay.graph import Graph, Work
from stallscope.analysis.stages.gpu.room import ROOM
from stallscope.analysis.units import count, microseconds, percent, times_as_large
from stallscope.traces.model.trace import Bools

SMALL_STEP_US: Final = 1000.0  # of GPU work in a step …
SMALL_KERNEL_US: Final = 5.0  # … in kernels of this length, up to which a CPU may train as fast


def find(case: Case) -> Iterator[Claim]:
    """What is left of each class of work."""
    graph = case.graph
    if not isinstance(case.facts, GpuFacts):
        return
    if graph is None:
        yield from _by_rule(case, case.facts)
        return
    claimed = case.none() if case.claimed is None else case.claimed
    left = ~claimed
    host = left & ~graph.on_device & (graph.work == Work.HOST)
    recorded = len(case.stages.operators.rows) > 0  # else what lies between the calls may be operators as well
    python = host & recorded & (python_nodes(case.replayed.part, graph) if case.replayed is not None else False)
    exchanged, copied = left & (graph.work == Work.COMMUNICATION), left & (graph.work == Work.COPY)
    yield from (_python(case, graph, python),) if python.any() else ()
    yield from (_host(case, case.facts, host & ~python),) if (host & ~python).any() else ()
    yield from (_communication(case, exchanged),) if exchanged.any() else ()
    yield from (_copies(case, copied),) if copied.any() else ()


def _by_rule(case: Case, facts: GpuFacts) -> Iterator[Claim]:
    """Without a replay: what the verdict names, at what it costs."""
    if case.kind in ("launch-bound", "host-bound"):
        yield _host(case, facts, None)
    elif case.kind == "communication-bound":
        yield _communication(case, None)
    elif case.kind == "copy-bound":
        yield _copies(case, None)


def _cost(graph: Graph, nodes: Bools) -> float:
    """Time of the nodes a step, µs."""
    return float(graph.duration_ns[nodes].sum()) / (1000 * graph.steps)


def _python(case: Case, graph: Graph, nodes: Bools) -> Claim:
    cost = _cost(graph, nodes)
    longest = float(graph.duration_ns[nodes].max(initial=0)) / 1000
    return case.claim(
        "python",
        "Python between the operators, with nothing asked of the GPU meanwhile",
        nodes=nodes,
        cost_us=cost,
        evidence=f"The main thread runs no operator and makes no call, up to {microseconds(longest)} at a time.",
        advice="Look at what the script does there (metrics, logging, preparing data): move it out of the loop, do it "
        "every 100 steps, or in another process. Neither torch.compile nor a CUDA graph makes it faster.",
        bars=("larger_batch",) if cost > MOSTLY * case.step_us else (),  # who knows whether it grows with the batch
    )


def _host(case: Case, facts: GpuFacts, nodes: Bools | None) -> Claim:
    launches = facts.per_step(facts.calls.launches)
    each = facts.host_ns_per_launch
    evidence = (
        f"{count(launches)} launches a step; the CPU works {microseconds((each or 0.0) / 1000)} for each, and the GPU "
        f"is busy {percent(facts.share(facts.device.busy_ns))} of the time."
    )
    cost = facts.us(facts.host_ns)
    if facts.launches_dominate:
        return case.claim(
            "launching",
            "starting many small kernels",
            nodes=nodes,
            cost_us=cost,
            evidence=evidence,
            advice="Start fewer, larger pieces of work. Least effort: model = torch.compile(model, "
            f'mode="reduce-overhead") replays the kernels as one CUDA graph. {_larger(case, facts)}',
            fix="cuda_graph",
        )
    return case.claim(
        "operators",
        "the CPU's work in operators and calls",
        nodes=nodes,
        cost_us=cost,
        evidence=evidence,
        advice="Look at what runs on the CPU between the launches (the operators below, data preparation) and move it "
        "out of the step: to DataLoader workers, or to the GPU.",
    )


def _fits(case: Case) -> str:
    """How much larger a batch the memory holds, where that is known."""
    times = None if case.stages.room is None else case.stages.room.times
    if times is None:
        return ""
    return f" ({times_as_large(*times)} as large would fit)" if times[1] >= ROOM else " (the memory is full, though)"


def _larger(case: Case, facts: GpuFacts) -> str:
    """A larger batch; or the CPU, where it may do the little GPU work in the time of the launches."""
    larger = f"Or use a larger batch: the same launches then do more work{_fits(case)}"
    mean_us = facts.device.mean_kernel_us
    short = mean_us is None or mean_us <= SMALL_KERNEL_US
    trains = facts.host.trains and facts.recording.from_steps
    alone = facts.device.gpus == 1 and not facts.communication_ns
    if short and facts.us(facts.device.busy_ns) <= SMALL_STEP_US and trains and alone:
        larger += "; if the batch cannot grow, a model this small may train faster on the CPU: measure both"
    return f"{larger}."


def _communication(case: Case, nodes: Bools | None) -> Claim:
    cost = case.facts.us(case.facts.communication_ns)
    return case.claim(
        "communication",
        "exchanging data between GPUs",
        nodes=nodes,
        cost_us=cost,
        evidence=f"{microseconds(cost)} a step in exchanges (collectives) while nothing else runs on the GPU.",
        advice="Let it overlap with the backward pass, or exchange less: larger buckets, gradients in bfloat16.",
    )


def _copies(case: Case, nodes: Bools | None) -> Claim:
    device = case.facts.device
    cost = 0.0 if device is None else case.facts.us(device.copy_ns)
    return case.claim(
        "copy",
        "copies between CPU and GPU",
        nodes=nodes,
        cost_us=cost,
        evidence=f"{microseconds(cost)} a step of copies and memory fills while no kernel runs.",
        advice="Keep data on the GPU between steps, and copy each batch once, in the smallest type that works.",
    )
