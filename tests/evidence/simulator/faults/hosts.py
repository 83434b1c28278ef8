"""The host's side: Python, loops over tensors, compiling, and settings that make the host wait."""

from __future__ import annotations

from dataclasses import replace

from tests.evidence.simulator import program as p
from tests.evidence.simulator.faults.base import Wish, device_us
from tests.evidence.simulator.faults.cards import elementwise
from tests.evidence.simulator.faults.fault import Change, Fault, Scene
from tests.evidence.simulator.faults.plan import Body, Plan, built_in, download, forward, item, scaled
from tests.evidence.simulator.models import op_of
from tests.evidence.simulator.program import Frame, Kernel, Launch, Op, Work

CLOSE = Wish(ratio=(1.35, 1.8))  # the GPU is the limit, and not far ahead of the host
LAUNCH_US = 11.0  # what one small operator with its launch costs under the profiler, about


def launching(scene: Scene) -> Change:
    """A recurrent cell in a Python loop over time, beside one kernel for all of it."""
    plan = scene.plan
    functors = ("sigmoid_functor", "tanh_functor", "BinaryFunctor", "CUDAFunctor_add", "BinaryFunctor")
    small = tuple(Kernel(elementwise(plan.of, functor), scene.made.uniform(1.4, 2.6)) for functor in functors)
    names = ("aten::sigmoid", "aten::tanh", "aten::mul", "aten::add", "aten::mul")
    cell: Body = tuple(op_of(name, kernel, 4.0) for name, kernel in zip(names, small, strict=True))
    rnn = Kernel("void cudnn::rnn::GRU_elementWise_fp<float>", 0.06 * device_us(plan))

    def plans(us: float) -> tuple[Plan, Plan]:
        times = max(4, round(us / plan.machine.host_scale / (LAUNCH_US * len(cell))))
        loop = tuple(Frame("model.py(24): cell", cell) for _ in range(times))
        return replace(plan, between=((op_of("aten::_cudnn_rnn", rnn, 12.0),),)), replace(plan, between=(loop,))

    return plans


def python(scene: Scene) -> Change:
    """A metric in Python over values that were read, or bookkeeping that reads nothing."""
    plan, made = scene.plan, scene.made
    reads = made.random() < 0.5
    names = ("metrics.py(14): confusion", "tracker.py(88): log", "utils.py(31): to_records")
    read: Body = (built_in("cpu", download(4_096)), Work(1.0)) if reads else ()

    def plans(us: float) -> tuple[Plan, Plan]:
        metric = Frame(made_name, (Work(us / plan.machine.host_scale),))
        return replace(plan, end=read), replace(plan, end=(*read, metric))

    made_name = made.choice(names)
    return plans


def optimizer(scene: Scene) -> Change:
    """``Adam(foreach=False)``: six kernels for every parameter tensor."""
    plan = scene.plan
    names = ("aten::lerp_", "aten::mul_", "aten::addcmul_", "aten::sqrt", "aten::div", "aten::addcdiv_")
    update = Kernel(elementwise("f32", "BinaryFunctor"), scene.made.uniform(1.3, 2.4))

    def plans(us: float) -> tuple[Plan, Plan]:
        count = max(3, round(us / plan.machine.host_scale / (LAUNCH_US * len(names))))
        more = replace(plan, tensors=max(0, count - plan.parameters))
        one: Body = tuple(op_of(name, update, 2.5) for name in names)
        return more, replace(more, updates=one * count)

    return plans


def ema(scene: Scene) -> Change:
    """An average of the weights, one ``lerp_`` for each tensor."""
    plan = scene.plan
    update = Kernel(elementwise("f32", "lerp_functor"), scene.made.uniform(1.3, 2.4))
    whole = Kernel("void at::native::(anonymous namespace)::multi_tensor_apply_kernel<LerpFunctor>", 8.0)

    def plans(us: float) -> tuple[Plan, Plan]:
        count = max(4, round(us / plan.machine.host_scale / (LAUNCH_US + 1)))
        more = replace(plan, tensors=max(0, count - plan.parameters))
        each = Frame("ema.py(19): update", (op_of("aten::lerp_", update, 3.5),) * count)
        at_once = Frame("ema.py(19): update", (op_of("aten::_foreach_lerp_", whole, 10.0),))
        return replace(more, end=(at_once,)), replace(more, end=(each,))

    return plans


def clip(scene: Scene) -> Change:
    """``clip_grad_norm_(foreach=False)``: a norm and a product for each tensor."""
    plan = scene.plan
    norm = op_of(
        "aten::linalg_vector_norm", Kernel("void at::native::reduce_kernel<512, 1, NormTwoOps<float> >", 2.2), 4.0
    )
    scale = op_of("aten::mul_", Kernel(elementwise("f32", "BinaryFunctor"), 1.5), 3.0)
    total = (
        op_of("aten::stack", Kernel("void at::native::(anonymous namespace)::CatArrayBatchedCopy<float>", 2.0), 9.0),
        norm,
        op_of("aten::clamp", Kernel(elementwise("f32", "clamp_functor"), 1.4), 4.0),
    )
    whole = Kernel("void at::native::(anonymous namespace)::multi_tensor_apply_kernel<LpNormFunctor>", 8.0)
    at_once = (op_of("aten::_foreach_norm", whole, 10.0), *total, op_of("aten::_foreach_mul_", whole, 8.0))
    place = "torch/nn/utils/clip_grad.py(179): clip_grad_norm_"

    def plans(us: float) -> tuple[Plan, Plan]:
        count = max(4, round(us / plan.machine.host_scale / (2 * LAUNCH_US + 2)))
        more = replace(plan, tensors=max(0, count - plan.parameters))
        each = (*((norm,) * count), *total, *((scale,) * count))
        return replace(more, gradients=(Frame(place, at_once),)), replace(more, gradients=(Frame(place, each),))

    return plans


def recompiling(scene: Scene) -> Change:
    """``torch.compile`` meets a new shape in each step."""
    plan = scene.plan
    kernel = Launch(Kernel("triton_poi_fused_add_mul_relu_0", 0.05 * device_us(plan)))

    def region(name: str) -> Body:
        return (
            Op("TorchDynamo Cache Lookup", before=6.0),
            Op(name, (Op("## Call CompiledFxGraph fxq ##", (kernel,), before=14.0, after=3.0),), before=6.0, after=2.0),
        )

    def plans(us: float) -> tuple[Plan, Plan]:
        part = us / plan.machine.host_scale / 10
        lowering = timed("GraphLowering.run", before=3 * part, after=part)
        inner = timed("compile_fx_inner", lowering, before=part, after=part)
        outer = timed("_compile.compile_inner", inner, before=3 * part, after=part)
        compiles = Frame("torch/_dynamo/convert_frame.py(688): _compile", (outer,))
        return replace(plan, fetch=region("Torch-Compiled Region: 0/0")), replace(
            plan, fetch=(compiles, *region("Torch-Compiled Region: 0/{step}"))
        )

    return plans


def timed(name: str, *body: p.Instruction, before: float, after: float) -> Op:
    """A part of compiling, as the compiler itself names it for the profiler."""
    return Op(f"{name} (dynamo_timed)", body, before=before, after=after, category="user_annotation")


def launch_blocking(scene: Scene) -> Change:
    """``CUDA_LAUNCH_BLOCKING=1``: the same script, each call returning when its work has ended."""
    plan = scene.plan
    busy = scene.made.uniform(60.0, 140.0) * sum(len(each.forward) + len(each.backward) for each in plan.layers)

    def plans(us: float) -> tuple[Plan, Plan]:
        more = max(0.0, us / plan.machine.host_scale / len(plan.layers) / 2)
        layers = tuple(replace(each, python=each.python + more) for each in plan.layers)
        long = scaled(replace(plan, layers=layers), busy / device_us(plan))
        return long, replace(long, machine=replace(plan.machine, blocking=True))

    return plans


def model_on_cpu(scene: Scene) -> Change:
    """``model.to("cuda")`` was forgotten: the same network on the processor."""
    plan, us = scene.plan, 1000 * scene.made.uniform(0.3, 8.0)
    scalar = Op("aten::item", (Op("aten::_local_scalar_dense", before=0.5),), before=1.0)
    heavy = {"aten::cudnn_convolution": "aten::mkldnn_convolution", "aten::cudnn_batch_norm": "aten::native_batch_norm"}
    calls: list[p.Instruction] = []
    for number, layer in enumerate(plan.layers):
        inner = tuple(Op(heavy.get(name, name), before=us * scene.made.uniform(0.3, 1.5)) for name, _ in layer.forward)
        calls.append(Frame(f"nn.Module: Layer_{number}", (Op(layer.operator, inner, before=2.0, forward=number),)))
    for number, layer in reversed(list(enumerate(plan.layers))):
        inner = tuple(Op(heavy.get(name, name), before=us * scene.made.uniform(0.3, 1.5)) for name, _ in layer.backward)
        node = Op(layer.node, inner, before=2.0, backward=number)
        calls.append(Op(f"autograd::engine::evaluate_function: {layer.node}", (node,), before=1.0, backward=number))
    update = Op("Optimizer.step#Adam.step", (Op("aten::_fused_adam_", before=us),), 20.0, category="user_annotation")
    whole = (Op("Optimizer.zero_grad#Adam.zero_grad", before=5.0, category="user_annotation"), *calls, update, scalar)
    return lambda _: (plan, replace(plan, whole=(*whole, Work(plan.python))))


def gc_pause(scene: Scene) -> Change:
    """The garbage collector walks through a large heap, when it is its time and not the script's."""
    plan, made, steps = scene.plan, scene.made, scene.steps
    chosen = frozenset(made.sample(list(steps)[1:], max(3, len(steps) // 4)))

    def plans(us: float) -> tuple[Plan, Plan]:
        pause = us * len(steps) / len(chosen) / plan.machine.host_scale
        collects = p.Sometimes(chosen, (Frame("Python GC", (Work(pause),)),))
        return plan, replace(plan, loss=(collects,))

    return plans


def periodic(scene: Scene) -> Change:
    """Every k-th step evaluates, sends all weights to a tracker, or writes a checkpoint."""
    plan, made = scene.plan, scene.made
    k = len(scene.steps) // 3
    kind = made.choice(("evaluation", "tracker", "checkpoint"))

    def plans(us: float) -> tuple[Plan, Plan]:
        host_us = us * k / plan.machine.host_scale
        if kind == "evaluation":
            once = forward(replace(plan, between=()))
            times = max(1, round(us * k / (0.4 * scene.step_us)))
            body: Body = (Frame("evaluate.py(9): evaluate", (*(once * times), item(plan))),)
        elif kind == "tracker":
            body = (Frame("tracker.py(52): watch", (download(16_384), Work(9.0)) * max(2, round(host_us / 60))),)
        else:
            body = (download(2_000_000), Frame("torch/serialization.py(931): save", (Work(host_us),)))
        return plan, replace(plan, end=(p.Every(k, body),))

    return plans


def growth(scene: Scene) -> Change:
    """Each step goes through all that earlier ones kept."""
    plan, steps = scene.plan, scene.steps
    kept = op_of("aten::add", Kernel(elementwise("f32", "CUDAFunctor_add"), 1.5), 4.0)
    mean = sum(steps) / len(steps)

    def plans(us: float) -> tuple[Plan, Plan]:
        each = us / plan.machine.host_scale / (LAUNCH_US + 1) / mean
        return plan, replace(plan, loss=(Frame("train.py(57): history", (p.Growing(each, (kept,)),)),))

    return plans


FAULTS = (
    Fault("launching", launching, CLOSE, share=(0.3, 0.57)),
    Fault("python", python, CLOSE, share=(0.35, 0.57), no_launching=True),
    Fault("optimizer", optimizer, CLOSE, also=("launching",)),
    Fault("ema", ema, CLOSE, also=("launching",)),
    Fault("clip", clip, CLOSE, also=("launching",)),
    Fault("recompiling", recompiling, CLOSE, no_launching=True),
    Fault("launch_blocking", launch_blocking, Wish(launches=(24, 60)), judged=False, steps=(6, 16)),
    Fault("model_on_cpu", model_on_cpu, Wish(launches=(40, 80)), judged=False, cost=False, steps=(10, 20)),
    Fault("gc_pause", gc_pause, CLOSE, steps=(12, 20), stacks=True, no_launching=True, recurs=True),
    Fault("periodic", periodic, CLOSE, steps=(12, 18), no_launching=True, recurs=True),
    Fault("growth", growth, CLOSE, steps=(10, 20), recurs=True, also=("launching",)),
)
