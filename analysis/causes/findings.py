"""What costs time, by name: each with its cost a step, its evidence and one piece of advice with code.

A cost is what a thing takes now, not what removing it saves: a wait may only move to the next place that waits. Of a
wait it is the time the host is blocked; where the GPU is the limit, only the time the GPU idles after it. Of what the
host does it is the GPU's idle time meanwhile. Nothing below 1 % of the step is a finding. Costs may overlap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from stallscope.analysis.causes import advice
from stallscope.analysis.causes.facts import Facts, GpuFacts
from stallscope.analysis.causes.waits import MOVES, WAITS
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import matches, rows_named
from stallscope.analysis.contract.rows import CostFinding
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.sync import Site
from stallscope.analysis.stages.where.places import Place
from stallscope.analysis.units import count, microseconds
from stallscope.traces.model.fields import Category

OPTIMIZER_SHARE: Final = 0.05  # of the launches, from which the optimizer's are many
HALF: Final = 0.5
_STEPPED: Final = "Optimizer.step#"
_ZEROED: Final = matches(re.compile(r"Optimizer\.zero_grad#"))


def find_findings(stages: Stages, facts: Facts, kind: str) -> list[CostFinding]:
    """Most cost first; [] where the verdict abstains, for figures that cannot be trusted support no advice."""
    if kind in ("refused", "unknown") or not facts.has_rows:
        return []
    found = [*_waits(stages, facts, kind), *_allocations(stages, facts), *_input(facts), *_exchanging(facts)]
    if isinstance(facts, GpuFacts):
        found += [*_host(stages, facts, kind), *_gpu(facts, kind)]
    worth = [finding for finding in found if finding.share >= advice.WORTH]
    return sorted(worth, key=lambda finding: (-finding.cost_us_per_step, finding.name))


def _finding(facts: Facts, name: str, title: str, cost_ns: float, evidence: str, what: str) -> CostFinding:
    cost_us, step_us = facts.us(cost_ns), facts.us(facts.window_ns)
    return CostFinding(
        name=name,
        title=title,
        cost_us_per_step=cost_us,
        share=cost_us / step_us,
        evidence=evidence,
        advice=what,
    )


# -- waits ----------------------------------------------------------------------------------------------------------


def _waits(stages: Stages, facts: Facts, kind: str) -> Iterator[CostFinding]:
    """One finding for each kind of wait, all places of it together."""
    groups: dict[str, list[Site]] = {}
    for site, name in facts.calls.kinds.items() if facts.calls is not None else ():
        groups.setdefault(name, []).append(site)
    for name, sites in groups.items():
        wait = WAITS[name]
        blocked = sum(site.blocked_ns for site in sites)
        idle = sum(site.idle_after_ns or 0 for site in sites)
        cost = idle if kind in advice.GPU_KINDS else blocked
        yield _finding(facts, f"wait_{name}", wait.title, cost, _evidence(stages, sites), wait.advice + MOVES)


def _evidence(stages: Stages, sites: list[Site]) -> str:
    """How often, how long, where most, and how long the GPU idles after."""
    calls, blocked = sum(site.calls for site in sites), sum(site.blocked_ns for site in sites)
    most = max(sites, key=lambda site: site.blocked_ns)
    idle = sum(site.idle_after_ns or 0 for site in sites)
    where = _where(most.place, len({_told(site.place) for site in sites}))
    block = "blocks" if calls == stages.window.count else "block"
    for_work = sum(site.waited_ns for site in sites if site.drained_share is not None and site.drained_share < HALF)
    queued = " Most of the blocking is waiting for work that the GPU still had to do."
    queued = queued if for_work > HALF * blocked else ""
    return (
        f"{_times(stages.per_step(calls), 'call')} {block} the CPU for "
        f"{microseconds(stages.us(blocked))}{where}; the GPU then idles {microseconds(stages.us(idle))}.{queued}"
    )


def _where(place: Place, places: int) -> str:
    """``, most of it at train.py:47``: line, else function, else module, else operators."""
    told = _told(place)
    if told is None:
        return ""
    return f", {'most of it ' if places > 1 else ''}{'at' if place.call_site else 'in'} {told}"


def _told(place: Place) -> str | None:
    return place.call_site or place.function or place.module or place.chain


def _times(number: float, what: str, plural: str = "s") -> str:
    return f"{count(number)} {what}" if number == 1 else f"{count(number)} {what}{plural}"


def _allocations(stages: Stages, facts: Facts) -> Iterator[CostFinding]:
    sites = [site for site in stages.syncs.sites if site.kind == "allocation"]
    blocked = sum(site.blocked_ns for site in sites)
    if not blocked:
        return
    number = stages.per_step(sum(site.calls for site in sites))
    calls, takes = _times(number, "call"), "takes" if number == 1 else "take"
    yield _finding(
        facts,
        "allocations",
        "allocating GPU memory in the loop",
        blocked,
        f"{calls} of cudaMalloc and its like {takes} {microseconds(stages.us(blocked))}; PyTorch's cache should hold "
        "the memory after the first steps.",
        "Keep shapes the same from step to step, or set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True.",
    )


# -- input, host, GPU -----------------------------------------------------------------------------------------------


def _input(facts: Facts) -> Iterator[CostFinding]:
    cost, idle = facts.input.dataloader_ns, ""
    if isinstance(facts, GpuFacts):
        cost = facts.device.input_ns
        idle = f"; the GPU does nothing for {facts.time(cost)} of it"
    evidence = f"{facts.time(facts.input.dataloader_ns)} in the DataLoader{idle}."
    yield _finding(facts, "input", "waiting for data", cost, evidence, advice.for_kind("input-bound", facts))


def _exchanging(facts: Facts) -> Iterator[CostFinding]:
    whose, alone = "processes", ", whatever else runs meanwhile"
    if isinstance(facts, GpuFacts):
        whose, alone = "GPUs", " while nothing else runs on the GPU"
    cost = facts.communication_ns
    evidence = f"{facts.time(cost)} in collectives{alone}."
    what = advice.for_kind("communication-bound", facts)
    yield _finding(facts, "communication", f"exchanging data between {whose}", cost, evidence, what)


def _host(stages: Stages, facts: GpuFacts, kind: str) -> Iterator[CostFinding]:
    """Optimizer and zero_grad by the GPU's idle time in them; the rest of the host's work as a whole."""
    optimizer = facts.host.optimizer
    launches, optimizers = facts.per_step(facts.calls.launches), facts.per_step(facts.calls.optimizer_launches)
    if optimizer in advice.FUSABLE and optimizers > max(advice.FUSED_LAUNCHES, OPTIMIZER_SHARE * launches):
        cost, _ = _idle_in(stages, lambda name: name.startswith(_STEPPED))
        yield _finding(
            facts,
            "optimizer",
            f"the optimizer, {optimizer}, launches many small kernels",
            cost,
            f"{_times(optimizers, 'launch', 'es')} of {count(launches)} "
            f"are the optimizer's; the GPU idles {facts.time(cost)} meanwhile.",
            f"torch.optim.{optimizer}(model.parameters(), ..., fused=True) needs one or two.",
        )
    cost, zeroed = _idle_in(stages, _ZEROED)
    if zeroed:
        yield _finding(
            facts,
            "zero_grad",
            "zero_grad() fills gradients with zeros",
            cost,
            f"{_times(facts.per_step(zeroed), 'launch', 'es')} there, to fill memory; the GPU idles "
            f"{facts.time(cost)} meanwhile.",
            "optimizer.zero_grad(set_to_none=True) frees them instead, with no launch.",
        )
    if kind not in advice.GPU_KINDS:
        yield _preparing(facts, kind)


def _preparing(facts: GpuFacts, kind: str) -> CostFinding:
    """The host's own work while the GPU idles: launching, where that is what it does."""
    name = "launching" if "launch-bound" in advice.causes(facts, kind) else "host"
    title = "starting many small kernels" if name == "launching" else "the CPU's work between the launches"
    if facts.calls.long_calls is not None and name == "host":
        title = "few long calls to the GPU's software, and the CPU's work between them"
    cost_ns = facts.host_ns_per_launch
    for_each = "" if cost_ns is None else f", {microseconds(cost_ns / 1000)} of CPU work for each"
    evidence = (
        f"{_times(facts.per_step(facts.calls.launches), 'launch', 'es')}; the GPU idles "
        f"{facts.time(facts.host_ns)} while the CPU prepares them{for_each}."
    )
    what = advice.for_kind("launch-bound" if name == "launching" else "host-bound", facts)
    return _finding(facts, name, title, facts.host_ns, evidence, what)


def _idle_in(stages: Stages, accept: Callable[[str], bool]) -> tuple[int, int]:
    """(ns in which no device works inside the ranges of such names, launches inside them), in the window."""
    trace, window = stages.trace, stages.window
    ranges = window.cover(trace, rows_named(trace, trace.events.rows(Category.ANNOTATION), accept))
    idle = intervals.total(intervals.subtract(ranges, stages.activity.busy))
    return idle, int(intervals.covers(ranges, trace.events.ts_ns[stages.launches.calls]).sum())


def _gpu(facts: GpuFacts, kind: str) -> Iterator[CostFinding]:
    """What the GPU itself is busy with: copies with nothing else running, kernels where they are the limit."""
    device = facts.device
    evidence = f"{facts.time(device.copy_ns)} of copies and memory fills while no kernel runs."
    what = advice.for_kind("copy-bound", facts)
    yield _finding(facts, "copy", "copies while the GPU computes nothing", device.copy_ns, evidence, what)
    if "compute-bound" in advice.causes(facts, kind):
        kernels = _times(facts.per_step(device.kernels), "kernel")
        evidence = f"{kernels} of {microseconds(device.mean_kernel_us)} each."
        what = advice.for_kind("compute-bound", facts)
        yield _finding(facts, "compute", "the kernels themselves", device.compute_ns, evidence, what)
