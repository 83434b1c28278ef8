"""Trainings in which nothing is wrong: the GPU is the limit, or they are small by nature."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tests.evidence.simulator import program as p
from tests.evidence.simulator.faults.base import Wish
from tests.evidence.simulator.faults.fault import Change, Fault, Scene
from tests.evidence.simulator.faults.plan import Plan, built_in, item, loop
from tests.evidence.simulator.program import Loader

MOST = 0.4  # of the device's time, in kernels of one name: more would be a cause of its own


def plain(scene: Scene, *, fetches: bool = True) -> Change:
    """Batches come in time, from pinned memory; some scripts read the loss now and then."""
    plan, made = scene.plan, scene.made
    if fetches and made.random() < 0.6:
        machine = replace(plan.machine, cores=32, host_copy_rate=40_000.0)
        size = int(made.uniform(0.002, 0.02) * scene.step_us * machine.pinned_rate)
        loader = Loader(made.uniform(0.1, 1.5) * scene.step_us, max(4_096, size), workers=4, pin_memory=True)
        plan = replace(plan, machine=machine, loader=loader)
    if made.random() < 0.4:
        plan = replace(plan, end=(p.Every(made.choice((10, 20)), (built_in("item", item(plan)),)),))
    return lambda _: (plan, plan)


def small(scene: Scene) -> Change:
    """All data lie on the GPU: a loader's hand-over alone would be a cause in so short a step.

    In half of them the products are float32, as they are where nobody chose.
    """
    plan = replace(scene.plan, of="f32") if scene.made.random() < 0.5 else scene.plan
    return plain(Scene(scene.made, plan, scene.step_us, scene.steps), fetches=False)


def uneven(plan: Plan) -> bool:
    """Whether kernels of one name hold so much of the device's time that an expert would name them."""
    by_name: Counter[str] = Counter()
    for kernel in p.kernels_in(loop(plan).step):
        by_name[kernel.name] += round(1000 * kernel.us)
    return max(by_name.values()) > MOST * by_name.total()


HEALTHY = (
    Fault("healthy", plain, Wish(launches=(40, 90)), first=("pointwise",), cost=False),
    Fault("healthy", plain, Wish(launches=(40, 90), ratio=(2.5, 8.0)), first=("pointwise",), cost=False),
    Fault("healthy", small, Wish(launches=(40, 90), ratio=(0.12, 0.5)), first=("launching", "pointwise"), cost=False),
)
