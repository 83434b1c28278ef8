"""The Iris workload as a program for the simulator; running this module writes the sample in ``traces/samples``.

    python -m tests.simulated_iris

Operators, their nesting and their kernels are those of torch's own profile of this training (4-10-3, cross-entropy,
SGD over all parameters at once): 16 kernels a step. Host times are chosen so that each launch costs about 27 µs of host
work, the estimate for the machine this workload is known from; they are no measurement.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests import ROOT
from tests.sample_simulator import Instruction, Launch, OnThread, Op, Simulator, Sync, Work, item, steps
from tests.sample_trace import BASE_NS, trace_bytes

STEPS, WARMUP, FIRST_STEP = 20, 5, 25
START_NS = 3_600_000_000_000  # after BASE_NS
SAMPLE = ROOT / "traces" / "samples" / f"iris_mlp_simulated.{BASE_NS + START_NS}.pt.trace.json.gz"

ELEMENTWISE = "void at::native::vectorized_elementwise_kernel<4, at::native::{}>"
GEMM = "ampere_sgemm_32x32_sliced1x4_{}"
SOFTMAX = "void (anonymous namespace)::softmax_warp_{}<float, float, float, 2, true, false>"
REDUCE = "void at::native::reduce_kernel<128, 4, at::native::ReduceOp<float, at::native::func_wrapper_t<float, {}> > >"
NLL = "void at::native::(anonymous namespace)::nll_loss_{}_reduce_cuda_kernel_2d<float, float, long>"
FOREACH = (
    "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<TensorListMetadata<2>, BinaryOpListAlphaFunctor>"
)


def op(name: str, *body: Instruction, before: int = 0, after: int = 0, **args: object) -> Op:
    """An operator with ``before`` and ``after`` ns of its own host work around ``body``."""
    named = {key.replace("_", " ").capitalize(): value for key, value in args.items()}
    return Op(name, [Work(before), *body, Work(after)], args=named)


def transpose() -> Op:
    """``aten::t``, a view: host work only."""
    view = op("aten::transpose", op("aten::as_strided", before=500), before=900, after=400)
    return op("aten::t", view, before=1_000, after=600)


def linear(sequence: int) -> Op:
    """``nn.Linear``: one matrix product with the bias added in the same kernel."""
    product = Launch(GEMM.format("tn"), 1_900, grid=(4, 1, 1), block=(128, 1, 1))
    addmm = op("aten::addmm", product, before=13_000, after=3_500, sequence_number=sequence + 1, fwd_thread_id=0)
    return op("aten::linear", transpose(), addmm, before=1_500, after=1_200, sequence_number=sequence, fwd_thread_id=0)


def forward(first: int) -> list[Instruction]:
    """Model and loss: five kernels. ``first`` is the first autograd sequence number of the step."""
    relu = Launch(ELEMENTWISE.format("relu_kernel"), 1_200, grid=(2, 1, 1))
    log_softmax = Launch(SOFTMAX.format("forward"), 1_500, grid=(30, 1, 1), block=(32, 4, 1))
    nll = Launch(NLL.format("forward"), 1_900, block=(32, 1, 1))
    clamp = op("aten::clamp_min", relu, before=5_000, after=2_500)
    softmax = op("aten::_log_softmax", log_softmax, before=5_500, after=2_500)
    inner = op("aten::nll_loss", op("aten::nll_loss_forward", nll, before=6_500, after=3_000), before=1_600, after=900)
    loss = op(
        "aten::cross_entropy_loss",
        op("aten::log_softmax", softmax, before=2_500, after=1_200),
        op("aten::nll_loss_nd", inner, before=1_500, after=800),
        before=3_500,
        after=1_500,
    )
    return [
        Work(9_000),
        linear(first),
        Work(9_500),
        op("aten::relu", clamp, before=2_200, after=1_000, sequence_number=first + 2, fwd_thread_id=0),
        Work(8_500),
        linear(first + 3),
        Work(10_000),
        loss,
        Work(4_000),
    ]


def node(name: str, sequence: int, *body: Instruction) -> Op:
    """One autograd node as its engine runs it."""
    link = {"sequence_number": sequence, "fwd_thread_id": 1}
    inner = op(name, *body, before=1_800, after=1_200, **link)
    return op(f"autograd::engine::evaluate_function: {name}", inner, before=1_400, after=1_300, **link)


def accumulate() -> Op:
    """A parameter's gradient is kept: host work only."""
    name = "torch::autograd::AccumulateGrad"
    return op(f"autograd::engine::evaluate_function: {name}", op(name, before=1_300), before=700, after=500)


def product(layout: str) -> Op:
    """``aten::mm`` in a backward pass."""
    return op("aten::mm", Launch(GEMM.format(layout), 1_800, grid=(1, 2, 1)), before=11_500, after=3_000)


def addmm_backward(sequence: int, *products: Instruction) -> list[Instruction]:
    """Backward of a linear layer: the given products, then the bias gradient as a sum."""
    total = Launch(REDUCE.format("at::native::sum_functor"), 2_000, block=(4, 32, 1))
    bias = op("aten::sum", total, before=9_500, after=3_500)
    return [
        node("AddmmBackward0", sequence, transpose(), *products, bias),
        accumulate(),
        node("TBackward0", sequence - 1, transpose()),
        accumulate(),
    ]


def backward(first: int) -> list[Instruction]:
    """``loss.backward()``: ten kernels, nine of them from the autograd thread."""
    fill = Launch(ELEMENTWISE.format("FillFunctor<float>"), 1_100)
    zero = Launch(ELEMENTWISE.format("FillFunctor<float>"), 1_100)
    nll = Launch(NLL.format("backward"), 1_500, block=(32, 1, 1))
    softmax = Launch(SOFTMAX.format("backward"), 1_500, grid=(30, 1, 1), block=(32, 4, 1))
    threshold = Launch(ELEMENTWISE.format("threshold_kernel_impl"), 1_200, grid=(2, 1, 1))
    zeroed = op("aten::zero_", op("aten::fill_", zero, before=4_000, after=1_500), before=1_200, after=800)
    ones = op("aten::fill_", fill, before=4_000, after=1_800)
    engine = [
        node("NllLossBackward0", first + 6, op("aten::nll_loss_backward", zeroed, nll, before=6_500, after=2_500)),
        node(
            "LogSoftmaxBackward0", first + 5, op("aten::_log_softmax_backward_data", softmax, before=6_500, after=2_500)
        ),
        *addmm_backward(first + 4, product("nt"), transpose(), product("nn")),
        node("ReluBackward0", first + 2, op("aten::threshold_backward", threshold, before=6_500, after=2_500)),
        *addmm_backward(first + 1, product("nt")),
    ]
    return [
        Work(5_000),
        op("aten::ones_like", ones, before=4_500, after=1_500),
        OnThread("autograd", engine),
        Work(4_000),
    ]


def optimizer() -> list[Instruction]:
    """``optimizer.step()``: all four parameters in one kernel."""
    add = op("aten::_foreach_add_", Launch(FOREACH, 1_900, block=(512, 1, 1)), before=9_000, after=3_500)
    return [
        Work(4_000),
        Op("Optimizer.step#SGD.step", [Work(17_000), add, Work(6_000)], "user_annotation"),
        Work(3_000),
    ]


def step(number: int, *, read_loss: bool = True) -> list[Instruction]:
    """One training step, from forward to the gradients' reset at the head of the next iteration."""
    first = 7 * number
    loss = item() if read_loss else []
    reset = Op("Optimizer.zero_grad#SGD.zero_grad", [Work(8_000)], "user_annotation")
    return [*forward(first), *backward(first), *optimizer(), *loss, Work(4_000), reset, Work(2_000)]


def sample_bytes(every: int = 1) -> bytes:
    """The sample: 20 steps after a warm-up that is not recorded, closed by the profiler's own synchronize.

    ``every``: the loss is read in every so manieth step; the sample reads it in each.
    """
    simulator = Simulator(seed=2026, start_ns=START_NS)
    simulator.recording = False
    simulator.run(steps(bodies(FIRST_STEP - WARMUP, WARMUP, every), FIRST_STEP - WARMUP))
    simulator.recording = True
    simulator.run(steps(bodies(FIRST_STEP, STEPS, every), FIRST_STEP))
    simulator.run([Work(20_000), Sync(None)])
    return trace_bytes(simulator.spans)


def bodies(first: int, count: int, every: int = 1) -> Sequence[list[Instruction]]:
    """``count`` steps from step ``first`` on, every so manieth reading its loss."""
    return [step(number, read_loss=number % every == 0) for number in range(first, first + count)]


if __name__ == "__main__":
    SAMPLE.write_bytes(sample_bytes())
