"""Random trainings: a network, its backward pass, an optimizer, a loader, what is read; and the program of each."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from tests.evidence.simulator.program import (
    COMPUTE_STREAM,
    SIDE_STREAM,
    Await,
    Backward,
    Every,
    Fetch,
    Instruction,
    Kernel,
    Launch,
    Loader,
    Loop,
    Op,
    Record,
    Replay,
    Work,
    item,
    kernels_in,
    to_device,
)

Reads = Literal["none", "loss", "layers"]
Optimizer = Literal["for-loop", "foreach", "fused"]

ELEMENTWISE = "void at::native::vectorized_elementwise_kernel<4, at::native::{}>"
REDUCE = "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, {}> >"


@dataclass(frozen=True, slots=True)
class Layer:
    """One module call: its operator with the kernels it starts, and its autograd node with those."""

    operator: str
    forward: tuple[tuple[str, Kernel], ...]  # (inner operator, kernel)
    node: str
    backward: tuple[tuple[str, Kernel], ...]
    before: float  # µs of host work in the operator, before each launch …
    after: float  # … and after it
    python: float  # µs of Python around the call
    parameters: int = 0
    side: bool = False  # its forward runs on a side stream


@dataclass(frozen=True, slots=True)
class Training:
    """All that a fix may change, and what it may not."""

    layers: tuple[Layer, ...]
    optimizer: Optimizer
    states: int  # kernels per parameter (for-loop) or per group (foreach): SGD 1, momentum 2, Adam 6
    update: Kernel
    loader: Loader | None
    python: float  # µs of the script's own Python per step
    reads: Reads = "none"
    read_every: int = 1
    read_pinned: bool = False
    non_blocking: bool = False
    graph: bool = False
    log_every: int = 0  # steps; 0: it never logs
    log_us: float = 0.0
    uneven: float = 0.0

    @property
    def parameters(self) -> int:
        """How many parameter tensors the network has."""
        return sum(layer.parameters for layer in self.layers)


# --- networks ---------------------------------------------------------------------------------------

KINDS = {
    # operator, forward (inner operator, kernel, weight)…, node, backward…, parameters
    "linear": ("aten::linear", (("aten::addmm", "ampere_sgemm_64x64_tn", 1.0),), "AddmmBackward0",
               (("aten::mm", "ampere_sgemm_64x64_nn", 1.0), ("aten::mm", "ampere_sgemm_64x64_nt", 1.0),
                ("aten::sum", REDUCE.format("sum"), 0.3)), 2),
    "relu": ("aten::relu", (("aten::clamp_min", ELEMENTWISE.format("relu"), 0.2),), "ReluBackward0",
             (("aten::threshold_backward", ELEMENTWISE.format("threshold"), 0.25),), 0),
    "gelu": ("aten::gelu", (("aten::gelu", ELEMENTWISE.format("gelu"), 0.25),), "GeluBackward0",
             (("aten::gelu_backward", ELEMENTWISE.format("gelu_backward"), 0.3),), 0),
    "dropout": ("aten::dropout", (("aten::native_dropout", "fused_dropout_kernel_vec", 0.25),),
                "NativeDropoutBackward0", (("aten::mul", ELEMENTWISE.format("mul"), 0.2),), 0),
    "conv": ("aten::conv2d", (("aten::cudnn_convolution", "sm80_xmma_fprop_implicit_gemm", 2.0),
                              ("aten::add_", ELEMENTWISE.format("add"), 0.2)), "ConvolutionBackward0",
             (("aten::convolution_backward", "sm80_xmma_dgrad_implicit_gemm", 2.0),
              ("aten::convolution_backward", "sm80_xmma_wgrad_implicit_gemm", 2.2)), 2),
    "batch_norm": ("aten::batch_norm", (("aten::cudnn_batch_norm", "cudnn::bn_fw_tr_1C11_kernel", 0.5),),
                   "CudnnBatchNormBackward0", (("aten::cudnn_batch_norm_backward", "cudnn::bn_bw_1C11", 0.7),), 2),
    "pool": ("aten::max_pool2d", (("aten::max_pool2d_with_indices", "max_pool_forward_nchw", 0.3),),
             "MaxPool2DWithIndicesBackward0",
             (("aten::max_pool2d_with_indices_backward", "max_pool_backward_nchw", 0.5),), 0),
    "layer_norm": ("aten::layer_norm", (("aten::native_layer_norm", "vectorized_layer_norm_kernel", 0.3),),
                   "NativeLayerNormBackward0",
                   (("aten::native_layer_norm_backward", "layer_norm_grad_input_kernel", 0.35),
                    ("aten::native_layer_norm_backward", "GammaBetaBackwardCUDAKernel", 0.3)), 2),
    "attention": ("aten::scaled_dot_product_attention",
                  (("aten::_scaled_dot_product_flash_attention", "pytorch_flash::flash_fwd_kernel", 1.5),),
                  "ScaledDotProductFlashAttentionBackward0",
                  (("aten::_flash_attention_backward", "flash_bwd_dot_do_o_kernel", 0.3),
                   ("aten::_flash_attention_backward", "flash_bwd_dq_dk_dv_kernel", 2.5)), 0),
    "add": ("aten::add", (("aten::add", ELEMENTWISE.format("add"), 0.2),), "AddBackward0", (), 0),
    "loss": ("aten::cross_entropy_loss", (("aten::_log_softmax", "softmax_warp_forward", 0.2),
                                          ("aten::nll_loss_forward", "nll_loss_forward_reduce", 0.1)),
             "NllLossBackward0", (("aten::nll_loss_backward", "nll_loss_backward_reduce", 0.1),
                                  ("aten::_log_softmax_backward_data", "softmax_warp_backward", 0.2)), 0),
}  # fmt: skip

BLOCKS = {
    "mlp": ("linear", "relu"),
    "mlp-dropout": ("linear", "gelu", "dropout"),
    "cnn": ("conv", "batch_norm", "relu"),
    "residual": ("conv", "batch_norm", "relu", "conv", "batch_norm", "add", "relu"),
    "transformer": ("layer_norm", "linear", "attention", "linear", "add", "layer_norm", "linear", "gelu", "linear",
                    "add"),
}  # fmt: skip


def network(made: random.Random, launches: int, branches: bool = False) -> tuple[Layer, ...]:
    """Layers of a random family, about ``launches`` kernels in a forward and backward pass."""
    family = made.choice(("mlp", "mlp-dropout", "cnn", "residual", "transformer"))
    spread, found, count = made.uniform(0.1, 0.8), [], 5
    while count < launches:
        for kind in BLOCKS[family]:
            side = branches and made.random() < 0.25
            found.append(layer(made, kind, spread, side=side))
            count += len(found[-1].forward) + len(found[-1].backward)
        if family == "cnn" and made.random() < 0.3:
            found.append(layer(made, "pool", spread))
    if family in ("cnn", "residual"):
        found.append(layer(made, "linear", spread))
    return (*found, layer(made, "loss", spread))


def layer(made: random.Random, kind: str, spread: float, *, side: bool = False) -> Layer:
    """One layer of ``kind``, its kernels and host times varied; kernels have weights that ``scaled`` turns into µs."""
    operator, forward, node, backward, parameters = KINDS[kind]
    size = made.lognormvariate(0.0, spread)
    blocks = made.choice((1, 4, 16, 128, 1024))

    def kernels(given: tuple[tuple[str, str, float], ...]) -> tuple[tuple[str, Kernel], ...]:
        return tuple(
            (inner, Kernel(name, weight * size * made.lognormvariate(0.0, 0.2), (blocks, 1, 1), (256, 1, 1)))
            for inner, name, weight in given
        )

    return Layer(
        operator, kernels(forward), node, kernels(backward), made.uniform(3.0, 9.0), made.uniform(1.0, 3.0),
        made.uniform(3.0, 12.0), parameters, side,
    )  # fmt: skip


# --- programs ---------------------------------------------------------------------------------------


def loop(training: Training) -> Loop:
    """The training as a loop: what each step executes."""
    body = compute(training)
    if training.graph:
        body = (Op("graph.replay", (Replay(tuple(kernels_in(body))),), before=3.0, after=1.0),)
    read = (Work(2.0), reading(training), Work(1.5)) if training.reads != "none" else ()
    log = (Every(training.log_every, (Work(training.log_us),)),) if training.log_every else ()
    return Loop((*batch(training), *body, *read, *log, Work(training.python)), training.loader, training.uneven)


def batch(training: Training) -> tuple[Instruction, ...]:
    """Fetch a batch and copy its inputs and targets to the device."""
    loader = training.loader
    if loader is None:
        return ()
    sizes = (loader.bytes, max(512, loader.bytes // 500))
    how = {"pinned": loader.pin_memory, "non_blocking": training.non_blocking}
    return (Fetch(), *(to_device(size, **how) for size in sizes))


def reading(training: Training) -> Instruction:
    """``loss.item()``, in every step or every k-th."""
    read = item(pinned=training.read_pinned)
    return read if training.read_every == 1 else Every(training.read_every, (read,))


def compute(training: Training) -> tuple[Instruction, ...]:
    """Forward, backward and the optimizer's step."""
    zero = Op("Optimizer.zero_grad#SGD.zero_grad", before=4.0 + 0.4 * training.parameters, category="user_annotation")
    return (Work(4.0), zero, *forward(training), *backward(training), *optimizer(training))


def forward(training: Training) -> tuple[Instruction, ...]:
    """Every layer's operator; layers on the side stream are fenced by events."""
    body: list[Instruction] = []
    for number, each in enumerate(training.layers):
        stream = SIDE_STREAM if each.side else COMPUTE_STREAM
        inner = tuple(inside(name, kernel, each, stream) for name, kernel in each.forward)
        called = Op(each.operator, inner, before=1.5, after=1.0, forward=number)
        if each.side:
            body += [Record(1, COMPUTE_STREAM), Await(1, SIDE_STREAM), called,
                     Record(2, SIDE_STREAM), Await(2, COMPUTE_STREAM)]  # fmt: skip
        else:
            body.append(called)
        body.append(Work(each.python))
        if training.reads == "layers" and number % 3 == 2:
            body += [reading(training), Work(2.0)]
    return tuple(body)


def inside(name: str, kernel: Kernel, layer: Layer, stream: int = COMPUTE_STREAM) -> Op:
    """The operator that starts one kernel."""
    return Op(name, (Work(layer.before), Launch(kernel, stream)), before=0.5, after=layer.after)


def backward(training: Training) -> tuple[Instruction, ...]:
    """``loss.backward()``: a gradient of one, then every node on the autograd thread."""
    fill = Launch(Kernel(ELEMENTWISE.format("FillFunctor"), 1.1))
    ones = Op("aten::ones_like", (Op("aten::fill_", (fill,), before=3.0, after=1.0),), before=3.0, after=1.0)
    nodes: list[Instruction] = []
    for number in range(len(training.layers) - 1, -1, -1):
        each = training.layers[number]
        inner = tuple(inside(name, kernel, each) for name, kernel in each.backward)
        node = Op(each.node, inner, before=1.5, after=1.0, backward=number)
        nodes.append(
            Op(f"autograd::engine::evaluate_function: {each.node}", (node,), before=1.2, after=1.0, backward=number)
        )
        accumulate = Op("torch::autograd::AccumulateGrad", before=1.2)
        engine = "autograd::engine::evaluate_function: torch::autograd::AccumulateGrad"
        nodes += [Op(engine, (accumulate,), before=0.7, after=0.4)] * each.parameters
    return (Work(3.0), ones, Backward(tuple(nodes)), Work(3.0))


def optimizer(training: Training) -> tuple[Instruction, ...]:
    """``optimizer.step()``: kernels for each parameter, for groups of them, or one for all."""
    parameters, states, update = training.parameters, training.states, training.update
    groups = -(-parameters // 60)
    if training.optimizer == "for-loop":
        body = tuple(op_of("aten::add_", update, 2.5) for _ in range(parameters * states))
    elif training.optimizer == "foreach":
        whole = Kernel("multi_tensor_apply_kernel", update.us * max(1.0, parameters / groups / 4))
        body = tuple(op_of("aten::_foreach_add_", whole, 4.0 + 0.15 * parameters) for _ in range(groups * states))
    else:
        whole = Kernel("fused_multi_tensor_apply", update.us * max(1.0, parameters / groups / 4) * states * 0.5)
        body = tuple(op_of("aten::_fused_adam_", whole, 6.0 + 0.2 * parameters) for _ in range(groups))
    name = "Optimizer.step#SGD.step" if states < 6 else "Optimizer.step#Adam.step"
    step = Op(name, body, before=12.0 + 0.9 * parameters, after=4.0, category="user_annotation")
    return (step, Work(2.0))


def op_of(name: str, kernel: Kernel, before: float) -> Op:
    """An operator that starts one kernel."""
    return Op(name, (Launch(kernel),), before=before, after=1.5)
