"""The verdict that is true of a run: the machine itself executes it with one kind of work free, and says what is saved.

A step is the slope of completion over the recorded steps, as the catalogue has it: no synchronize at its end, which
would add the time that queues take to drain.

The rule is the one of the design: what saves at least 20 % and 1.5 times the second is what the step is bound by; else
two are mixed, from 10 % and 25 % together: the second, or where these two are not worth that much, the one that saves
most together with the first; else it is balanced. Near a limit both sides of it are right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from tests.evidence.simulator import program as p
from tests.evidence.simulator.faults.fault import Fault
from tests.evidence.simulator.faults.plan import Plan, loop, slope_us
from tests.evidence.simulator.host import READS

BOUND, MIXED, JOINT, LEAD = 0.20, 0.10, 0.25, 1.5
DOUBT = 0.03  # of a step: savings are told apart no better
CLASSES = ("host", "sync", "input", "copy", "communication", "compute")
# kinds of work that the design gives to no class by name: each may go with either
EITHER = {"reads": ("host", "sync"), "allocator": ("host", "sync"), "staging": ("copy", "sync")}

Kinds = frozenset[str]


def verdicts(plan: Plan, seed: str, steps: int, fault: Fault, *, opened: bool) -> frozenset[str]:
    """Every verdict that may be said of the plan's run."""
    known: dict[Kinds, float] = {}
    there = present(plan)

    def step(free: Kinds) -> float:
        free &= there
        if free not in known:
            known[free] = slope_us(plan, seed, steps, free, opened=opened)
        return known[free]

    whole = step(frozenset())
    matter = [kind for kind in EITHER if 1 - step(frozenset({kind})) / whole > 0.01]
    found: set[str] = set()
    for sides in itertools.product(*(EITHER[kind] for kind in matter)):
        kinds = {name: frozenset({name}) for name in CLASSES}
        for kind, side in zip(matter, sides, strict=True):
            kinds[side] |= {kind}
        found |= set(judged(kinds, lambda free: 1 - step(free) / whole))
    return frozenset(name for kind in found for name in spoken(kind, plan, step(HOST_ONLY), fault))


def present(plan: Plan) -> Kinds:
    """The kinds of work that the plan's script has at all."""
    kinds = {"host", "compute"}
    for each in p.within(loop(plan).step):
        match each:
            case p.Fetch():
                kinds |= {"input"}
            case p.Call():
                kinds |= {"allocator"}
            case p.Wait():
                kinds |= {"sync"}
            case p.Transfer() | p.Copy():
                kinds |= {"copy", "sync", "staging"}
            case p.Launch(kernel) if kernel.name.startswith("nccl"):
                kinds |= {"communication"}
            case p.Op() if each.name in READS:
                kinds |= {"reads"}
            case _:
                pass
    return frozenset(kinds | ({"sync"} if plan.machine.blocking else set()))


HOST_ONLY = frozenset({"compute", "sync", "staging", "copy", "input", "communication"})


def judged(kinds: dict[str, Kinds], saving: Callable[[Kinds], float]) -> Iterator[str]:
    """Every verdict that the rule gives where each saving is a little more or less than it is."""
    saves = {name: saving(kinds[name]) for name in CLASSES}
    most = sorted(CLASSES, key=lambda name: -saves[name])[:3]
    known: dict[frozenset[str], float] = {}

    def joint(one: str, other: str) -> float:
        pair = frozenset((one, other))
        if pair not in known:
            known[pair] = saving(kinds[one] | kinds[other])
        return known[pair]

    for more in itertools.product((-DOUBT, 0.0, DOUBT), repeat=3):
        near = {name: saves[name] + change for name, change in zip(most, more, strict=True)}
        one, other, _ = sorted(near, key=lambda name: -near[name])
        for doubt in (-DOUBT, 0.0, DOUBT):
            yield from verdict(one, other, near, lambda one, other, doubt=doubt: joint(one, other) + doubt)


def verdict(one: str, other: str, near: dict[str, float], joint: Callable[[str, str], float]) -> Iterator[str]:
    """The rule."""
    if near[one] >= BOUND and near[one] >= LEAD * near[other]:
        yield f"{one}-bound"
    elif near[one] < MIXED:
        yield "balanced"
    elif joint(one, other) >= JOINT:
        yield f"mixed({one}, {other})"
    else:
        joints = {name: joint(one, name) for name in CLASSES if name != one}
        best = [name for name in joints if joints[name] >= max(JOINT, max(joints.values()) - DOUBT)]
        yield from [f"mixed({one}, {name})" for name in best] or ["balanced"]


def spoken(kind: str, plan: Plan, host_us: float, fault: Fault) -> tuple[str, ...]:
    """The verdict's names: either order of two, and launch-bound where kernels are shorter than what starts them."""
    if kind.startswith("mixed("):
        one, other = kind.removeprefix("mixed(").removesuffix(")").split(", ")
        return (kind, f"mixed({other}, {one})")
    if kind != "host-bound" or fault.no_launching:
        return (kind,)
    kernels = p.kernels_in(loop(plan).step)
    if not kernels:
        return (kind,)
    mean, launch = sum(kernel.us for kernel in kernels) / len(kernels), host_us / len(kernels)
    if mean < launch / 1.3:
        return ("launch-bound",)
    return ("host-bound",) if mean > launch * 1.3 else ("host-bound", "launch-bound")
