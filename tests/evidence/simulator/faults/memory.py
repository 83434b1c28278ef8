"""The allocator: memory given back and asked for again, and what each of that makes the device wait for."""

from __future__ import annotations

from dataclasses import replace

from tests.evidence.simulator.faults.fault import Change, Fault, Scene
from tests.evidence.simulator.faults.plan import Body, Plan
from tests.evidence.simulator.program import Call, Frame, Op, Work


def malloc(us: float) -> Call:
    """``cudaMalloc``."""
    return Call("cudaMalloc", us)


def free(us: float) -> Call:
    """``cudaFree``: the device has to be done with everything first."""
    return Call("cudaFree", us, drains=True)


def empty_cache(scene: Scene) -> Change:
    """``torch.cuda.empty_cache()`` in each step: a burst of frees outside operators, and memory asked for again."""
    frees = scene.made.randint(5, 14)
    mallocs = scene.made.randint(max(3, frees // 2), frees)

    def plans(us: float) -> tuple[Plan, Plan]:
        one = us / scene.plan.machine.host_scale / (frees + mallocs)
        again: Body = (Op("aten::empty", (malloc(one),), before=2.0, after=1.0),)
        burst = Frame("torch/cuda/memory.py(222): empty_cache", (Work(4.0), *((free(one),) * frees), Work(2.0)))
        return scene.plan, replace(scene.plan, between=(again,) * mallocs, end=(burst,))

    return plans


def allocation_retries(scene: Scene) -> Change:
    """Memory is nearly full: an operator asks, all that is cached is freed, and it asks again."""
    retries, frees = scene.made.randint(1, 4), scene.made.randint(3, 8)

    def plans(us: float) -> tuple[Plan, Plan]:
        one = us / scene.plan.machine.host_scale / (retries * (frees + 2))
        retry = (malloc(one), Work(5.0), *((free(one),) * frees), malloc(one))
        body: Body = (Op("aten::empty", retry, before=2.0, after=1.0),)
        return scene.plan, replace(scene.plan, between=(body,) * retries)

    return plans


def no_caching_allocator(scene: Scene) -> Change:
    """Every operator asks the driver for its memory and gives it back."""
    count = len(scene.plan.layers)

    def plans(us: float) -> tuple[Plan, Plan]:
        one = us / scene.plan.machine.host_scale / (2 * count)
        around = (Op("aten::empty", (malloc(one),), before=2.0, after=1.0), free(one))
        return scene.plan, replace(scene.plan, around=around)

    return plans


FAULTS = (
    Fault("empty_cache", empty_cache, also=("allocations",)),
    Fault("allocation_retries", allocation_retries, also=("allocations",)),
    Fault("no_caching_allocator", no_caching_allocator, also=("allocations",)),
)
