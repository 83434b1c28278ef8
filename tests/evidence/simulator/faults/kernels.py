"""The GPU's own work: in a type that the card is slow at, in a layout that has to be turned, in one kernel."""

from __future__ import annotations

from dataclasses import replace

from tests.evidence.simulator.faults.base import Wish, device_us
from tests.evidence.simulator.faults.cards import AMPERE
from tests.evidence.simulator.faults.fault import Change, Fault, Scene
from tests.evidence.simulator.faults.plan import Plan, scaled
from tests.evidence.simulator.models import Layer, op_of
from tests.evidence.simulator.program import Kernel

PRODUCTS = frozenset({"aten::addmm", "aten::mm"})


def float64(scene: Scene) -> Change:
    """Data from numpy kept its type: everything is computed in float64."""
    plan = scene.plan

    def plans(us: float) -> tuple[Plan, Plan]:
        return plan, replace(scaled(plan, 1 + us / device_us(plan)), of="f64")

    return plans


def fp32_products(scene: Scene) -> Change:
    """Products in float32 on a card that has TF32 and bfloat16."""
    plan = scene.plan
    whole = sum(k.us for each in plan.layers for o, k in (*each.forward, *each.backward) if o in PRODUCTS)

    def plans(us: float) -> tuple[Plan, Plan]:
        return plan, replace(scaled(plan, 1 + us / whole, PRODUCTS.__contains__), of="f32")

    return plans


def layout_conversion(scene: Scene) -> Change:
    """Half-precision convolutions of tensors that are not channels_last."""
    plan = scene.plan
    count = sum("conv" in o for each in plan.layers for o, _ in (*each.forward, *each.backward))

    def plans(us: float) -> tuple[Plan, Plan]:
        turns = [Kernel(f"layout: {way}", us / count / 2) for way in ("nchwToNhwc", "nhwcToNchw")]
        return plan, replace(plan, layers=tuple(turned(each, turns) for each in plan.layers))

    return plans


def turned(layer: Layer, turns: list[Kernel]) -> Layer:
    """The layer with a conversion before and after each of its convolutions."""

    def around(kernels: tuple[tuple[str, Kernel], ...]) -> tuple[tuple[str, Kernel], ...]:
        before, after = turns
        return tuple(
            each for o, k in kernels for each in (((o, before), (o, k), (o, after)) if "conv" in o else ((o, k),))
        )

    return replace(layer, forward=around(layer.forward), backward=around(layer.backward))


HEAVY = (
    ("aten::sort", "void at_cuda_detail::cub::DeviceRadixSortOnesweepKernel<Policy900, float, long, int>"),
    (
        "aten::embedding_dense_backward",
        "void at::native::(anonymous namespace)::embedding_backward_feature_kernel<float>",
    ),
    ("aten::_index_put_impl_", "void at::native::indexing_backward_kernel<float, 4>"),
    ("aten::topk", "void at::native::sbtopk::gatherTopK<float, unsigned int, 2, false>"),
    ("aten::cumsum", "void at::native::tensor_kernel_scan_outer_dim<float, std::plus<float> >"),
)


def dominant_kernel(scene: Scene) -> Change:
    """One kernel runs longer than all others together."""
    plan, (operator, name) = scene.plan, scene.made.choice(HEAVY)

    def plans(us: float) -> tuple[Plan, Plan]:
        return plan, replace(plan, loss=(op_of(operator, Kernel(name, us, (4, 1, 1)), 8.0),))

    return plans


DENSE, CONVOLUTIONS = ("mlp", "mlp-dropout", "transformer"), ("cnn", "residual")

FAULTS = (
    Fault("float64", float64, Wish(families=("mlp", "mlp-dropout", "cnn", "residual"))),  # flash has no float64
    Fault("fp32_products", fp32_products, Wish(AMPERE, DENSE, types=("tf32",)), share=(0.25, 0.57)),
    Fault("layout_conversion", layout_conversion, Wish(families=CONVOLUTIONS, types=("f16", "bf16"))),
    Fault("dominant_kernel", dominant_kernel, share=(0.54, 0.58)),
)
