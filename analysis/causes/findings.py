"""Stage 9b: what costs time, by name: each with its cost a step, its evidence and one piece of advice with code.

A cost is what a thing takes now, not what removing it saves: a wait may only move to the next place that waits. Of a
wait it is the time the host is blocked; where the GPU is the limit, only the time the GPU idles after it. Of what the
host does it is the GPU's idle time meanwhile. Nothing below 1 % of the step is a finding. Costs may overlap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from stallscope.analysis.causes import advice
from stallscope.analysis.causes.facts import Facts
from stallscope.analysis.causes.wait_kinds import find_wait_kinds
from stallscope.analysis.causes.waits import WAITS
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
MOVES: Final = " The wait may only move to the next place that waits."
_STEPPED: Final = "Optimizer.step#"
_ZEROED: Final = matches(re.compile(r"Optimizer\.zero_grad#"))


def find_findings(stages: Stages, facts: Facts, kind: str) -> list[CostFinding]:
    """Most cost first; [] where the verdict abstains, for figures that cannot be trusted support no advice."""
    if kind in ("refused", "unknown") or not facts.step_us:
        return []
    found = [*_waits(stages, facts, kind), *_allocations(stages), *_input(facts), *_host(stages, facts, kind)]
    found += _gpu(facts, kind)
    worth = [each for each in found if facts.share(each.cost_us_per_step) >= advice.WORTH]
    return sorted(worth, key=lambda each: (-each.cost_us_per_step, each.name))


def _finding(name: str, title: str, cost_us: float, step_us: float, evidence: str, what: str) -> CostFinding:
    return CostFinding(
        name=name,
        title=title,
        cost_us_per_step=cost_us,
        share=cost_us / step_us if step_us else 0.0,
        evidence=evidence,
        advice=what,
    )


# -- waits ----------------------------------------------------------------------------------------------------------


def _waits(stages: Stages, facts: Facts, kind: str) -> Iterator[CostFinding]:
    """One finding for each kind of wait, all places of it together."""
    groups: dict[str, list[Site]] = {}
    for site, name in find_wait_kinds(stages).items():
        groups.setdefault(name, []).append(site)
    for name, sites in groups.items():
        wait = WAITS[name]
        blocked = sum(site.blocked_ns for site in sites)
        idle = sum(site.idle_after_ns or 0 for site in sites)
        cost = idle if kind in advice.GPU_KINDS else blocked
        yield _finding(
            f"wait_{name}", wait.title, stages.us(cost), facts.step_us, _evidence(stages, sites), wait.advice + MOVES
        )


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


def _allocations(stages: Stages) -> Iterator[CostFinding]:
    sites = [site for site in stages.syncs.sites if site.kind == "allocation"]
    blocked = sum(site.blocked_ns for site in sites)
    if not blocked:
        return
    number = stages.per_step(sum(site.calls for site in sites))
    calls, takes = _times(number, "call"), "takes" if number == 1 else "take"
    yield _finding(
        "allocations",
        "allocating GPU memory in the loop",
        stages.us(blocked),
        stages.us(stages.window.length),
        f"{calls} of cudaMalloc and its like {takes} {microseconds(stages.us(blocked))}; PyTorch's cache should hold "
        "the memory after the first steps.",
        "Keep shapes the same from step to step, or set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True.",
    )


# -- input, host, GPU -----------------------------------------------------------------------------------------------


def _input(facts: Facts) -> Iterator[CostFinding]:
    on_cpu = facts.vendor == "cpu"
    cost = facts.dataloader_us if on_cpu else facts.input_us
    idle = "" if on_cpu else f"; the GPU does nothing for {microseconds(facts.input_us)} of it"
    evidence = f"{microseconds(facts.dataloader_us)} in the DataLoader{idle}."
    yield _finding("input", "waiting for data", cost, facts.step_us, evidence, advice.for_kind("input-bound", facts)[0])


def _host(stages: Stages, facts: Facts, kind: str) -> Iterator[CostFinding]:
    """Optimizer and zero_grad by the GPU's idle time in them; the rest of the host's work as a whole."""
    if not (facts.measured and facts.launches_known):
        return
    many = max(advice.FUSED_LAUNCHES, OPTIMIZER_SHARE * facts.launches)
    if facts.optimizer in advice.FUSABLE and facts.optimizer_launches > many:
        cost, _ = _idle_in(stages, lambda name: name.startswith(_STEPPED))
        yield _finding(
            "optimizer",
            f"the optimizer, {facts.optimizer}, launches many small kernels",
            cost,
            facts.step_us,
            f"{_times(facts.optimizer_launches, 'launch', 'es')} of {count(facts.launches)} "
            f"are the optimizer's; the GPU idles {microseconds(cost)} meanwhile.",
            f"torch.optim.{facts.optimizer}(model.parameters(), ..., fused=True) needs one or two.",
        )
    cost, launches = _idle_in(stages, _ZEROED)
    if launches:
        yield _finding(
            "zero_grad",
            "zero_grad() fills gradients with zeros",
            cost,
            facts.step_us,
            f"{_times(launches, 'launch', 'es')} there, to fill memory; the GPU idles {microseconds(cost)} meanwhile.",
            "optimizer.zero_grad(set_to_none=True) frees them instead, with no launch.",
        )
    if kind not in advice.GPU_KINDS:
        name = "launching" if "launch-bound" in advice.causes(facts, kind) else "host"
        title = "starting many small kernels" if name == "launching" else "the CPU's work between the launches"
        if facts.long_calls is not None and name == "host":
            title = "few long calls to the GPU's software, and the CPU's work between them"
        evidence = (
            f"{_times(facts.launches, 'launch', 'es')}; the GPU idles {microseconds(facts.host_us)} while the CPU "
            f"prepares them, {microseconds(facts.host_us_per_launch)} of CPU work for each."
        )
        yield _finding(
            name, title, facts.host_us, facts.step_us, evidence,
            advice.for_kind("launch-bound" if name == "launching" else "host-bound", facts)[0],
        )  # fmt: skip


def _idle_in(stages: Stages, accept: Callable[[str], bool]) -> tuple[float, float]:
    """(µs in which no device works inside the ranges of such names, launches inside them), per step."""
    trace, window = stages.trace, stages.window
    ranges = window.cover(trace, rows_named(trace, trace.events.rows(Category.ANNOTATION), accept))
    idle = intervals.total(intervals.subtract(ranges, stages.activity.busy))
    inside = intervals.covers(ranges, trace.events.ts_ns[stages.launches.calls])
    return stages.us(idle), stages.per_step(int(inside.sum()))


def _gpu(facts: Facts, kind: str) -> Iterator[CostFinding]:
    """What the GPU itself is busy with, where it is the limit, or with nothing else running."""
    on_cpu = facts.vendor == "cpu"
    whose = "processes" if on_cpu else "GPUs"
    alone = ", whatever else runs meanwhile" if on_cpu else " while nothing else runs on the GPU"
    computing = facts.compute_us if "compute-bound" in advice.causes(facts, kind) else 0.0
    parts = (
        (
            "communication",
            f"exchanging data between {whose}",
            facts.communication_us,
            f"{microseconds(facts.communication_us)} in collectives{alone}.",
        ),
        (
            "copy",
            "copies while the GPU computes nothing",
            facts.copy_us,
            f"{microseconds(facts.copy_us)} of copies and memory fills while no kernel runs.",
        ),
        (
            "compute",
            "the kernels themselves",
            computing,
            f"{_times(facts.kernels, 'kernel')} of {microseconds(facts.mean_kernel_us)} each.",
        ),
    )
    for name, title, cost, evidence in parts:
        yield _finding(name, title, cost, facts.step_us, evidence, advice.for_kind(f"{name}-bound", facts)[0])
