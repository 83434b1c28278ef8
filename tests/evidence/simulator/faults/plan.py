"""A training script as faults change it: a network on a card, and what the script does at each place of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.evidence.simulator import program as p
from tests.evidence.simulator.faults.cards import Card, Type, elementwise, renamed
from tests.evidence.simulator.machine import Machine
from tests.evidence.simulator.models import Layer, inside, op_of
from tests.evidence.simulator.program import Instruction, Kernel, Loader, Op, Work
from tests.evidence.simulator.run import Process

Body = tuple[Instruction, ...]

WORDS = {"f64": "double", "f32": "float", "tf32": "float", "f16": "c10::Half", "bf16": "c10::BFloat16"}


@dataclass(frozen=True, slots=True)
class Plan:
    """One script on one machine. Bodies are what the script does beside a plain step, by their place in it."""

    card: Card
    machine: Machine
    of: Type
    layers: tuple[Layer, ...]  # their kernels under the rough names of `models`
    tiles: tuple[str, ...]  # of each layer's products
    update: float  # µs of the optimizer's one kernel
    python: float = 10.0  # µs of the script's own Python at the end of a step
    tensors: int = 0  # parameters beyond those of the layers
    step_us: float = 30.0  # host time of ``optimizer.step()`` around its kernels
    loader: Loader | None = None
    pinned: bool = True  # batches lie in pinned memory and are copied without waiting
    fetch: Body = ()  # before the batch is on the device
    between: tuple[Body, ...] = ()  # spread evenly over the layers of the forward pass
    loss: Body = ()  # after the forward pass
    gradients: Body = ()  # after the backward pass
    updates: Body | None = None  # inside ``optimizer.step()``, instead of one fused kernel
    end: Body = ()
    whole: Body = ()  # instead of all of this
    around: Body = ()  # inside each operator of the forward pass, before its kernels

    @property
    def parameters(self) -> int:
        """How many parameter tensors the network has."""
        return self.tensors + sum(layer.parameters for layer in self.layers)


def loop(plan: Plan) -> p.Loop:
    """The training as a loop."""
    return p.Loop((p.Frame("train.py(38): train_step", plan.whole or step(plan)),), plan.loader)


def step(plan: Plan) -> Body:
    """Fetch, forward, backward, optimizer, each with what the script does there."""
    zero = Op("Optimizer.zero_grad#Adam.zero_grad", before=5.0, category="user_annotation")
    return (
        *batch(plan), *plan.fetch, Work(4.0), zero, *forward(plan), *plan.loss, *backward(plan), *plan.gradients,
        optimizer(plan), *plan.end, Work(plan.python),
    )  # fmt: skip


def batch(plan: Plan) -> Body:
    """Fetch a batch and copy it."""
    if plan.loader is None:
        return ()
    return (p.Fetch(), upload(plan.loader.bytes, pinned=plan.pinned)) if plan.loader.bytes else (p.Fetch(),)


def upload(size: int, *, pinned: bool) -> Instruction:
    """``batch.to("cuda")``: from pinned memory without waiting, from pageable memory as everybody writes it."""
    copy = p.Copy("HtoD", size, pinned=True) if pinned else p.Transfer("HtoD", size)
    dims = f'"Input Dims": [[{size // 4}]], "Input type": ["float"]'
    empty, copied = Op("aten::empty_strided", before=3.0), Op("aten::copy_", (copy,), before=4.0, after=1.5)
    return Op("aten::to", (Op("aten::_to_copy", (empty, copied), before=2.5, after=1.0),), before=1.2, inputs=dims)


def download(size: int) -> Op:
    """``tensor.cpu()``."""
    inner = Op("aten::copy_", (p.Transfer("DtoH", size),), before=4.0, after=1.5)
    copied = Op("aten::_to_copy", (Op("aten::empty_strided", before=3.0), inner), before=2.5, after=1.0)
    return Op("aten::to", (copied,), before=1.2, after=0.8, inputs=f'"Input Dims": [[{size // 4}]]')


def item(plan: Plan) -> Op:
    """``tensor.item()``."""
    read = p.Transfer("DtoH", 4, pinned=plan.machine.pinned_scalar)
    return Op("aten::item", (Op("aten::_local_scalar_dense", (read,), before=6.0, after=1.5),), before=2.5, after=1.5)


def forward(plan: Plan) -> Body:
    """Every module's operators, and the bodies between them."""
    count, bodies = len(plan.layers), plan.between
    due = [number * len(bodies) // count for number in range(count + 1)]
    found: list[Instruction] = []
    for number, layer in enumerate(plan.layers):
        inner = tuple(inside(vendors(plan, name), real(plan, number, kernel), layer) for name, kernel in layer.forward)
        called = Op(
            layer.operator, (*plan.around, *inner), before=1.5, after=1.0, forward=number, inputs=shapes(plan, number)
        )
        found.append(p.Frame(module(layer, number), (called, Work(layer.python))))
        found += [each for body in bodies[due[number] : due[number + 1]] for each in body]
    return tuple(found)


def real(plan: Plan, number: int, kernel: Kernel) -> Kernel:
    """The kernel of a layer under its real name."""
    return renamed(kernel, plan.card, plan.of, plan.tiles[number])


def vendors(plan: Plan, operator: str) -> str:
    """The operator under the name that it has for the card's vendor."""
    return operator.replace("cudnn", "miopen") if plan.card.rocm else operator


def module(layer: Layer, number: int) -> str:
    """The module's name in a recording with stacks."""
    kind = {"aten::linear": "Linear", "aten::conv2d": "Conv2d", "aten::batch_norm": "BatchNorm2d"}.get(layer.operator)
    return f"nn.Module: {kind or layer.operator.rpartition('::')[2].title().replace('_', '')}_{number}"


def shapes(plan: Plan, number: int, sizes: tuple[int, int] | None = None) -> str:
    """What a recording with shapes says of the operator of a layer."""
    rows, columns = sizes or (64 << number % 3, 128 << number % 4)
    word = WORDS[plan.of]
    return (
        f'"Input Dims": [[{rows}, {columns}], [{columns}, {columns}]], "Input type": ["{word}", "{word}"], '
        f'"Input Strides": [[{columns}, 1], [{columns}, 1]], "Concrete Inputs": ["", ""]'
    )


def backward(plan: Plan) -> Body:
    """``loss.backward()`` on the autograd thread."""
    fill = p.Launch(Kernel(elementwise("f32", "FillFunctor"), 1.1))
    ones = Op("aten::ones_like", (Op("aten::fill_", (fill,), before=3.0, after=1.0),), before=3.0, after=1.0)
    nodes: list[Instruction] = []
    engine = "autograd::engine::evaluate_function: "
    accumulate = Op("torch::autograd::AccumulateGrad", before=1.2)
    for number in range(len(plan.layers) - 1, -1, -1):
        layer = plan.layers[number]
        inner = tuple(inside(vendors(plan, name), real(plan, number, kernel), layer) for name, kernel in layer.backward)
        node = Op(layer.node, inner, before=1.5, after=1.0, backward=number)
        nodes.append(Op(f"{engine}{layer.node}", (node,), before=1.2, after=1.0, backward=number))
        count = layer.parameters + (plan.tensors if number == 0 else 0)
        nodes += [Op(f"{engine}torch::autograd::AccumulateGrad", (accumulate,), before=0.7, after=0.4)] * count
    return (Work(3.0), ones, p.Backward(tuple(nodes)), Work(3.0))


def optimizer(plan: Plan) -> Instruction:
    """``optimizer.step()``: one fused kernel, or what the plan says."""
    fused = Kernel("void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedAdamMathFunctor<float, 4> >",
                   plan.update, (320, 1, 1), (512, 1, 1))  # fmt: skip
    body = (op_of("aten::_fused_adam_", fused, 8.0),) if plan.updates is None else plan.updates
    called = Op("Optimizer.step#Adam.step", body, before=plan.step_us, after=4.0, category="user_annotation")
    return p.Frame("torch/optim/adam.py(212): step", (called,))


def built_in(name: str, *body: Instruction) -> p.Frame:
    """A method of a tensor, as stacks show it."""
    return p.Frame(f"<built-in method {name} of Tensor object at 0x7f3a5c0e2b10>", body)


def scaled(plan: Plan, factor: float, only: Callable[[str], bool] = lambda _: True) -> Plan:
    """The plan with kernels ``factor`` times as long, those whose operator is ``only`` some."""

    def bigger(kernels: tuple[tuple[str, Kernel], ...]) -> tuple[tuple[str, Kernel], ...]:
        return tuple((o, replace(k, us=max(1.1, factor * k.us)) if only(o) else k) for o, k in kernels)

    layers = tuple(replace(each, forward=bigger(each.forward), backward=bigger(each.backward)) for each in plan.layers)
    return replace(plan, layers=layers)


def step_us(plan: Plan, seed: str, steps: int, free: frozenset[str] = frozenset()) -> float:
    """Mean step under the profiler, the device synchronized at both ends; ``free`` kinds of work cost nothing."""
    return process(plan, seed, free).profiled_ns(steps) / 1000


def slope_us(plan: Plan, seed: str, steps: int, free: frozenset[str] = frozenset(), *, opened: bool = True) -> float:
    """What a recorded step takes by completion; ``free`` kinds of work cost nothing."""
    return process(plan, seed, free).slope_ns(steps, opened=opened) / 1000


def process(plan: Plan, seed: str, free: frozenset[str] = frozenset()) -> Process:
    """A run of the plan, the same for the same seed."""
    return Process(loop(plan), plan.machine, seed, free=free)
