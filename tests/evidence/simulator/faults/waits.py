"""Reads that make the host wait: of each kind, so many in a step that the GPU runs dry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.evidence.simulator import program as p
from tests.evidence.simulator.faults.base import Wish
from tests.evidence.simulator.faults.cards import elementwise
from tests.evidence.simulator.faults.fault import Change, Fault, Scene
from tests.evidence.simulator.faults.plan import Body, Plan, built_in, download, item
from tests.evidence.simulator.models import op_of
from tests.evidence.simulator.program import Frame, Kernel, Loader, Op, Work

READ_US = 45.0  # what one read costs on a drained stream, about

Reading = Callable[[Scene], Body]


def spread(reading: Reading) -> Callable[[Scene], Change]:
    """A fault whose reads lie between the layers."""

    def change(scene: Scene) -> Change:
        body = reading(scene)

        def plans(us: float) -> tuple[Plan, Plan]:
            count = max(1, round(us / (READ_US * scene.plan.machine.host_scale)))
            return scene.plan, replace(scene.plan, between=(body,) * count)

        return plans

    return change


def compared(plan: Plan) -> Op:
    """``tensor > 0``: a small kernel."""
    return op_of("aten::gt", Kernel(elementwise(plan.of, "CompareGTFunctor"), 1.8), 4.0)


def read_item(scene: Scene) -> Body:
    """``losses += loss.item()``."""
    return (built_in("item", item(scene.plan)), Work(scene.made.uniform(0.5, 3.0)))


def read_if(scene: Scene) -> Body:
    """``if x > 0:``."""
    return (compared(scene.plan), Op("aten::is_nonzero", (item(scene.plan),), before=2.0, after=1.0), Work(1.0))


def read_to_host(scene: Scene) -> Body:
    """``output.cpu()``."""
    size = scene.made.choice((4_096, 65_536, 262_144))
    return (built_in("cpu", download(size)), Work(2.0))


def read_tolist(scene: Scene) -> Body:
    """``scores.tolist()``."""
    return (built_in("tolist", download(scene.made.choice((256, 2_048)))), Work(scene.made.uniform(2.0, 8.0)))


def read_print(scene: Scene) -> Body:
    """``print(loss)``."""
    text = Frame("torch/_tensor_str.py(701): _str", (Work(6.0), built_in("item", item(scene.plan)), Work(5.0)))
    return (Frame("torch/_tensor.py(577): __repr__", (text,)), Work(2.0))


def found(scene: Scene) -> Op:
    """``mask.nonzero()``: count on the device, read the count, select."""
    count = p.Launch(Kernel("void at_cuda_detail::cub::DeviceReduceSingleTileKernel<bool, int*>", 2.0))
    select = p.Launch(Kernel("void at_cuda_detail::cub::DeviceSelectSweepKernel<long, bool*, long*, int>", 2.4))
    read = p.Transfer("DtoH", 4, pinned=scene.plan.machine.pinned_scalar)
    return Op("aten::nonzero", (count, Work(2.0), read, Work(3.0), select), before=6.0, after=2.0)


def read_nonzero(scene: Scene) -> Body:
    """``(x > 0).nonzero()``."""
    return (compared(scene.plan), built_in("nonzero", found(scene)), Work(1.0))


def read_mask(scene: Scene) -> Body:
    """``x[x > 0]``."""
    gather = op_of("aten::index", Kernel("void at::native::index_elementwise_kernel<128, 4>", 2.2), 5.0)
    inner = (found(scene), *gather.body)
    return (compared(scene.plan), Op("aten::index", inner, before=5.0, after=2.0), Work(1.0))


def read_synchronize(_: Scene) -> Body:
    """``torch.cuda.synchronize()``, as a stopwatch."""
    return (Frame("torch/cuda/__init__.py(1083): synchronize", (Work(2.0), p.Wait(None))), Work(2.0))


def grad_scaler(scene: Scene) -> Change:
    """``GradScaler.step`` reads ``found_inf`` before an optimizer that takes the host a while."""
    plan = scene.plan
    finite = Kernel("void at::native::(anonymous namespace)::multi_tensor_apply_kernel<NonFiniteCheck>", 8.0)
    check = op_of("aten::_amp_foreach_non_finite_check_and_unscale_", finite, 6.0)
    update = op_of("aten::_amp_update_scale_", Kernel("at::native::amp_update_scale_cuda_kernel", 1.8), 4.0)
    read = Frame("torch/amp/grad_scaler.py(351): _maybe_opt_step", (built_in("item", item(plan)),))

    def plans(us: float) -> tuple[Plan, Plan]:
        slow = replace(plan, step_us=plan.step_us + us / plan.machine.host_scale, end=(update,))
        return replace(slow, gradients=(check,)), replace(slow, gradients=(check, read))

    return plans


def to_device(scene: Scene) -> Change:
    """``batch.to("cuda")`` from pageable memory, beside the same from pinned memory without waiting."""
    plan = scene.plan

    def plans(us: float) -> tuple[Plan, Plan]:
        size = max(200_000, int(us * plan.machine.pageable_rate))
        loader = Loader(50.0, size, workers=4, pin_memory=True)
        roomy = replace(plan, machine=replace(plan.machine, cores=32, host_copy_rate=40_000.0), loader=loader)
        return roomy, replace(roomy, pinned=False, loader=replace(loader, pin_memory=False))

    return plans


NVIDIA_F16 = Wish(types=("f16",), ratio=(2.2, 3.5))

FAULTS = (
    Fault("wait_item", spread(read_item)),
    Fault("wait_if_tensor", spread(read_if)),
    Fault("wait_to_host", spread(read_to_host)),
    Fault("wait_tolist", spread(read_tolist), without_stacks=("wait_to_host",)),
    Fault("wait_print", spread(read_print), without_stacks=("wait_item",)),
    Fault("wait_nonzero", spread(read_nonzero)),
    Fault("wait_boolean_mask", spread(read_mask), also=("wait_nonzero",)),
    Fault("wait_synchronize", spread(read_synchronize)),
    Fault("grad_scaler", grad_scaler, NVIDIA_F16, share=(0.18, 0.34)),
    Fault("wait_to_device", to_device, Wish(ratio=(1.3, 2.5))),
)
