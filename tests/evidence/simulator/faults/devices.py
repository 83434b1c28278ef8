"""More than one GPU: in one process, or one in each."""

from __future__ import annotations

from dataclasses import replace

from tests.evidence.simulator import program as p
from tests.evidence.simulator.faults.base import Wish
from tests.evidence.simulator.faults.cards import NVIDIA, elementwise
from tests.evidence.simulator.faults.fault import Change, Fault, Scene
from tests.evidence.simulator.faults.plan import Body, Plan, backward, forward, optimizer, upload
from tests.evidence.simulator.models import op_of
from tests.evidence.simulator.program import (
    COMPUTE_STREAM,
    STREAMS_OF_A_DEVICE,
    Await,
    Instruction,
    Kernel,
    Launch,
    Op,
    Record,
    Work,
)

NCCL_STREAM, WORLD = 20, 8


def collective(us: float, elements: int) -> Body:
    """One bucket of gradients: its call, and a kernel on the stream of collectives that waits for the gradients."""
    more = (
        f'"Collective name": "allreduce", "In msg nelems": {elements}, "Out msg nelems": {elements}, '
        f'"Group size": {WORLD}, "dtype": "Float", "Process Group Name": "0", "Process Group Description": "default_pg"'
    )
    kernel = Kernel(
        "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)", us, (16, 1, 1), more=more
    )
    inner = (Record(1, COMPUTE_STREAM), Await(1, NCCL_STREAM), Launch(kernel, NCCL_STREAM), Record(2, NCCL_STREAM))
    comms = Op("record_param_comms", inner, before=5.0, after=3.0)
    called = Op("c10d::allreduce_", (comms,), before=6.0, after=3.0)
    return (Op("nccl:all_reduce", (called,), before=2.0, after=1.0, category="user_annotation"),)


def communication(scene: Scene) -> Change:
    """Gradients are exchanged after the backward pass, over a slow network; the optimizer waits for them."""
    plan, buckets = scene.plan, scene.made.randint(2, 8)

    def plans(us: float) -> tuple[Plan, Plan]:
        def exchanged(total: float) -> Plan:
            body = collective(total / buckets, 6_553_600) * buckets
            return replace(plan, gradients=(*body, Await(2, COMPUTE_STREAM)))

        return exchanged(0.05 * us), exchanged(us)

    return plans


def moved(body: Body, device: int) -> Body:
    """The same work on another GPU."""

    def one(each: Instruction) -> Instruction:
        match each:
            case p.Launch() | p.Copy():
                return replace(each, stream=device * STREAMS_OF_A_DEVICE + COMPUTE_STREAM)
            case p.Op():
                return replace(each, body=moved(each.body, device), forward=None, backward=None)
            case p.Frame() | p.Backward():
                return replace(each, body=moved(each.body, device))
            case _:
                return each

    return tuple(map(one, body))


def peer_copy(size: int, source: int) -> Body:
    """A copy from one GPU to the other, which waits for it."""
    streams = [device * STREAMS_OF_A_DEVICE + COMPUTE_STREAM for device in (source, 1 - source)]
    return (p.Copy("PtoP", size, pinned=True, stream=streams[0]), Record(30 + source, streams[0]),
            Await(30 + source, streams[1]))  # fmt: skip


def data_parallel(scene: Scene) -> Change:
    """``nn.DataParallel``: weights are sent out in each step, replicas are threads of one process."""
    plan = replace(scene.plan, loader=None)
    own = scene.made.random() < 0.5  # whether the operators of other threads are recorded
    batch = upload(400_000, pinned=True)

    def plans(us: float) -> tuple[Plan, Plan]:
        sent = Kernel("ncclDevKernel_Broadcast_RING_LL(ncclDevKernelArgsStorage<4096ul>)", 0.25 * us, (2, 1, 1))
        broadcast = tuple(Launch(sent, device * STREAMS_OF_A_DEVICE + COMPUTE_STREAM) for device in (0, 1))
        gradients = int(0.2 * us * plan.machine.pinned_rate) + 10_000
        add = op_of("aten::add_", Kernel(elementwise("f32", "CUDAFunctor_add"), 4.0), 4.0)
        layers = forward(plan)
        replicas = tuple(
            p.Elsewhere(f"replica {device}", moved(layers, device) if device else layers, operators=own)
            for device in (0, 1)
        )
        back = backward(plan)
        whole = (
            batch, Op("Optimizer.zero_grad#Adam.zero_grad", before=5.0, category="user_annotation"),
            Op("Scatter", peer_copy(200_000, 0), before=14.0, after=4.0),
            p.Frame("torch/nn/parallel/replicate.py(78): replicate", (Op("Broadcast", broadcast, 20.0, 8.0),)),
            *replicas, Op("Gather", peer_copy(40_000, 1), before=12.0, after=4.0), *back, *moved(back, 1),
            Op("BroadcastBackward", (Op("ReduceAddCoalesced", (*peer_copy(gradients, 1), add), 20.0),), 6.0),
            optimizer(plan), Work(plan.python),
        )  # fmt: skip
        return replace(plan, fetch=(batch,)), replace(plan, whole=whole)

    return plans


FAULTS = (
    Fault("communication", communication, world=WORLD),
    Fault("data_parallel", data_parallel, Wish(NVIDIA, ratio=(1.6, 3.2), launches=(24, 50)), devices=2,
          also=("communication", "launching"), judged=False),
)  # fmt: skip
