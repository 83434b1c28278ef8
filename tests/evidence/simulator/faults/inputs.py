"""Batches that come late, and copies that are slow."""

from __future__ import annotations

from dataclasses import replace

from tests.evidence.simulator import program as p
from tests.evidence.simulator.faults.base import Wish
from tests.evidence.simulator.faults.cards import NVIDIA
from tests.evidence.simulator.faults.fault import Change, Fault, Scene
from tests.evidence.simulator.faults.plan import Plan, download, upload
from tests.evidence.simulator.models import op_of
from tests.evidence.simulator.program import Kernel, Loader, Op

SMALL = 150_000  # bytes of a batch that is copied in no time


def roomy(scene: Scene) -> Plan:
    """The training with processors to spare: workers take none from it."""
    return replace(scene.plan, machine=replace(scene.plan.machine, cores=32, host_copy_rate=40_000.0))


def main_process(scene: Scene) -> Change:
    """``num_workers=0``: batches are made while the GPU waits."""
    plan, operators = roomy(scene), scene.made.choice((0, 8, 32))

    def plans(us: float) -> tuple[Plan, Plan]:
        loader = Loader(us / plan.machine.host_scale, SMALL, operators=operators, pin_memory=True)
        workers = min(12, 2 + int(2 * us / scene.step_us))
        return replace(plan, loader=replace(loader, workers=workers)), replace(plan, loader=loader)

    return plans


def workers_slow(scene: Scene) -> Change:
    """Workers that make a batch more slowly than the GPU needs it."""
    plan, workers = roomy(scene), scene.made.randint(1, 4)

    def plans(us: float) -> tuple[Plan, Plan]:
        slow = workers * (scene.step_us + us) / plan.machine.host_scale / (1 + plan.machine.worker_overhead)
        loader = Loader(slow, SMALL, workers=workers, pin_memory=True)
        return replace(plan, loader=replace(loader, batch_us=0.1 * slow)), replace(plan, loader=loader)

    return plans


def restart(scene: Scene) -> Change:
    """Short epochs, and workers that end with each of them."""
    plan, workers = roomy(scene), scene.made.randint(2, 4)
    epoch = len(scene.steps) // 3
    first = scene.steps[0] + scene.made.randrange(1, epoch)

    def plans(us: float) -> tuple[Plan, Plan]:
        loader = Loader(0.3 * scene.step_us, SMALL, workers=workers, pin_memory=True, first=first)
        start_us = us * epoch / plan.machine.host_scale
        return replace(plan, loader=loader), replace(plan, loader=replace(loader, epoch=epoch, start_us=start_us))

    return plans


def first_fetch(scene: Scene) -> Change:
    """The recording begins with the loader: its workers start once, in its first step."""
    plan, workers = roomy(scene), scene.made.randint(2, 8)
    never = 10_000

    def plans(us: float) -> tuple[Plan, Plan]:
        loader = Loader(0.3 * scene.step_us, SMALL, workers=workers, pin_memory=True, first=scene.steps[0])
        start_us = us * len(scene.steps) / plan.machine.host_scale
        return replace(plan, loader=loader), replace(plan, loader=replace(loader, epoch=never, start_us=start_us))

    return plans


def row_by_row(scene: Scene) -> Change:
    """A data set that lies on the GPU already, fetched a sample at a time."""
    plan = scene.plan
    take = op_of("aten::index", Kernel("void at::native::index_elementwise_kernel<128, 4>", 1.8), 4.0)
    whole = op_of("aten::index", Kernel("void at::native::index_elementwise_kernel<128, 4>", 6.0), 4.0)
    stack = op_of("aten::cat", Kernel("void at::native::(anonymous namespace)::CatArrayBatchedCopy<float>", 3.0), 9.0)
    sample = (Op("aten::select", (Op("aten::as_strided", before=1.0),), before=3.0, after=1.0), take)

    def plans(us: float) -> tuple[Plan, Plan]:
        samples = max(4, round(us / plan.machine.host_scale / 22.0))
        rows = (*sample * samples, Op("aten::stack", (stack,), before=4.0 + 0.3 * samples))
        off = replace(plan, loader=Loader(0.0, 0, body=(whole,)))
        return off, replace(plan, loader=Loader(0.0, 0, body=rows))

    return plans


def slow_link(scene: Scene) -> Change:
    """Pinned copies that nobody waits for, over a link of few lanes or of an old generation."""
    plan, rate = roomy(scene), scene.made.uniform(500.0, 2_400.0)

    def plans(us: float) -> tuple[Plan, Plan]:
        loader = Loader(50.0, max(1_100_000, int(us * rate)), workers=4, pin_memory=True)
        fast = replace(plan, loader=loader)
        return fast, replace(fast, machine=replace(fast.machine, pinned_rate=rate))

    return plans


def partly_on_cpu(scene: Scene) -> Change:
    """One part of the model stayed on the CPU: down, products there, up again."""
    plan, size = scene.plan, scene.made.choice((65_536, 400_000))
    name = scene.made.choice(("aten::addmm", "aten::mkldnn_convolution", "aten::mm"))

    def plans(us: float) -> tuple[Plan, Plan]:
        half = us / plan.machine.host_scale / 2
        outer = "aten::conv2d" if "conv" in name else "aten::linear"
        heavy = (p.Frame("nn.Module: Linear_900", (Op(outer, (Op(name, before=half),), before=2.0),)),) * 2
        body = (download(size), p.Work(3.0), *heavy, upload(size, pinned=False))
        return plan, replace(plan, between=(body,))

    return plans


FAULTS = (
    Fault("loader_main_process", main_process),
    Fault("loader_workers_slow", workers_slow),
    Fault("loader_restart", restart, steps=(12, 20)),
    Fault("loader_first_fetch", first_fetch, steps=(5, 12), recurs=True, judged=False),
    Fault("loader_row_by_row", row_by_row),
    Fault("slow_link", slow_link, Wish(NVIDIA)),  # rows of ROCm do not say whether memory is pinned
    Fault("partly_on_cpu", partly_on_cpu, no_launching=True, judged=False),
)
