"""The GPU's own work, looked at: in which type it computes, what repeats, what dominates, what slows down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from stallscope.analysis.causes.case import Case, Claim
from stallscope.analysis.columns.rows import grouped
from stallscope.analysis.stages.gpu.kernel_names import spoken_name
from stallscope.analysis.stages.where.places import Place
from stallscope.analysis.units import count, microseconds, percent
from stallscope.traces.model.fields import CallKind, Category
from stallscope.traces.model.trace import Bools, Ints
from stallscope.traces.vendors.kernels import Family, KernelKind, kernel_kind

MOST: Final = 0.5  # of the kernels' time, from which one thing is what the GPU does
PART: Final = 0.10
SOME: Final = 0.05
CHAINS: Final = 0.3  # of the kernels' time in kernels that can be merged, from which merging them is worth it
ITSELF: Final = ("product", "convolution", "attention", "collective")  # the work that was asked for
TF32_FROM: Final = 8.0  # compute capability
KEPT_F32: Final = 0.5  # of the time of float64 kernels, at least, where they run in float32 (1:2 on A100 and H100)
CLOCKS: Final = {"cuda": "nvidia-smi -q -d PERFORMANCE,CLOCK", "rocm": "rocm-smi --showclocks --showtemp"}
KEPT_TF32: Final = 0.4  # of the time of float32 products, where tensor cores do them
SLOWER: Final = 1.15  # times the first third's duration in the last third
FEW_STEPS: Final = 6
TRIES: Final = 3  # kernels of one convolution, from which it was tried out
HALF: Final = ("f16", "bf16")  # in float32 without tensor cores any size will do
ALIGNED: Final = ("_align1", "_align2")


@dataclass(frozen=True)
class Kernels:
    """The kernels of the steps, k of them, with what their names tell."""

    case: Case

    @cached_property
    def work(self) -> Ints:
        """Index into ``trace.work``, (k,)."""
        trace = self.case.trace
        is_kernel = trace.events.category[trace.work.row] == Category.KERNEL
        return np.flatnonzero(is_kernel & self.case.stages.device_window.holds(trace.events.ts_ns[trace.work.row]))

    @cached_property
    def rows(self) -> Ints:
        """Event rows, (k,)."""
        return self.case.trace.work.row[self.work]

    @cached_property
    def ns(self) -> Ints:
        """Durations, (k,)."""
        return self.case.trace.events.dur_ns[self.rows]

    @cached_property
    def total_ns(self) -> int:
        """All of them."""
        return max(1, int(self.ns.sum()))

    @cached_property
    def names(self) -> Ints:
        """Index into ``trace.strings``, (k,)."""
        return self.case.trace.events.name[self.rows].astype(np.int64)

    @cached_property
    def kinds(self) -> dict[int, KernelKind]:
        """What each name tells."""
        return {name: kernel_kind(self.case.trace.strings[name]) for name in np.unique(self.names).tolist()}

    def of(self, *families: Family, **told: object) -> Bools:
        """The kernels of any of the families (none: all) whose name tells so: ``type="f64"``, (k,)."""
        chosen = [
            name
            for name, kind in self.kinds.items()
            if (not families or kind.family in families)
            and all(getattr(kind, what) == value for what, value in told.items())
        ]
        return np.isin(self.names, chosen)

    def share(self, chosen: Bools) -> float:
        """Part of the kernels' time."""
        return float(self.ns[chosen].sum() / self.total_ns)

    def us(self, chosen: Bools) -> float:
        """Their time a step, µs."""
        return self.case.stages.device_us(int(self.ns[chosen].sum()))

    def nodes(self, chosen: Bools) -> Bools:
        """Their nodes in the graph."""
        return self.case.nodes_of(self.rows[chosen])

    def largest(self, chosen: Bools) -> str:
        """The short name of the one that takes most."""
        names, ns = self.names[chosen], self.ns[chosen]
        distinct, at = np.unique(names, return_inverse=True)
        return spoken_name(self.case.trace.strings[int(distinct[np.argmax(np.bincount(at, weights=ns))])])

    def places(self, chosen: Bools) -> list[str]:
        """Where most of their time was asked for: lines, else functions, modules, operators."""
        calls = self.case.stages.launches.work_call[self.work[chosen]]
        known = calls >= 0
        weights: dict[str, int] = {}
        places: list[Place] = self.case.stages.places.of(calls[known])
        for place, ns in zip(places, self.ns[chosen][known].tolist(), strict=True):
            told = place.call_site or place.function or place.module or place.operator
            if told:
                weights[told] = weights.get(told, 0) + ns
        return sorted(weights, key=lambda told: -weights[told])[:3]


def find(case: Case) -> Iterator[Claim]:
    """Causes in the kernels of a run whose device rows can be trusted."""
    if not case.stages.measured or not len(case.trace.work):
        return
    kernels = Kernels(case)
    if not len(kernels.rows):
        return
    for rule in RULES:
        yield from rule(case, kernels)


def capability(case: Case) -> float | None:
    """Compute capability of an NVIDIA GPU; None: of another vendor, or not told."""
    told = [device.compute_capability for device in case.trace.devices if device.compute_capability]
    return float(told[0]) if told and case.trace.vendor == "cuda" else None


def _float64(case: Case, kernels: Kernels) -> Iterator[Claim]:
    double = kernels.of(type="f64")
    if kernels.share(double) < MOST:
        return
    yield case.claim(
        "float64",
        "computing in double precision",
        nodes=kernels.nodes(double),
        kept=KEPT_F32,
        cost_us=kernels.us(double),
        evidence=f"{percent(kernels.share(double))} of the kernels' time is in float64, most of it in "
        f"{kernels.largest(double)}.",
        where=kernels.places(double),
        advice="Make it float32 at the source: numpy arrays are float64 unless told, so "
        "torch.as_tensor(array, dtype=torch.float32), or model.float().",
    )


def _fp32_products(case: Case, kernels: Kernels) -> Iterator[Claim]:
    cc = capability(case)
    names = [
        name
        for name, kind in kernels.kinds.items()
        if (kind.family, kind.type, kind.tensor_cores) == ("product", "f32", False)
        and "gemm" in case.trace.strings[name].lower()
        and "gemmk1" not in case.trace.strings[name]
    ]
    plain = np.isin(kernels.names, names)
    if cc is None or cc < TF32_FROM or kernels.share(plain) < PART:
        return
    yield case.claim(
        "fp32_products",
        "matrix products in float32 without tensor cores",
        nodes=kernels.nodes(plain),
        kept=KEPT_TF32,
        cost_us=kernels.us(plain),
        evidence=f"{percent(kernels.share(plain))} of the kernels' time is in {kernels.largest(plain)} and its like; "
        f"this GPU (compute capability {cc:g}) has tensor cores for them.",
        where=kernels.places(plain),
        advice='torch.set_float32_matmul_precision("high") lets products use TF32; or '
        'with torch.autocast("cuda", dtype=torch.bfloat16): around forward'
        f"{' and loss' if case.facts.host.trains else ''}.",
    )


def _layout(case: Case, kernels: Kernels) -> Iterator[Claim]:
    layout = kernels.of("layout")
    if kernels.share(layout) < PART or not kernels.of("convolution", "product").any():
        return
    yield case.claim(
        "layout_conversion",
        "converting the layout of images, from channels first to channels last and back",
        nodes=kernels.nodes(layout),
        cost_us=kernels.us(layout),
        evidence=f"{percent(kernels.share(layout))} of the kernels' time only moves data, in "
        f"{kernels.largest(layout)}: the convolutions want channels last.",
        where=kernels.places(layout),
        advice="Keep channels last throughout: model = model.to(memory_format=torch.channels_last) and "
        "x = x.to(memory_format=torch.channels_last).",
    )


_INSTEAD: Final = {
    "embedding": "nn.Embedding(..., sparse=True) with an optimizer that takes sparse gradients, or sorted indices",
    "index": "sorted indices, or a product with a one-hot matrix where there are few",
    "sort": "torch.topk where a few are wanted, or sort once and reuse the order",
    "cumsum": "a coarser scan, or one over the last dimension",
    "nonzero": "torch.where with three arguments",
    "scatter": "index_add_ on sorted indices",
    "unique": "torch.bincount where values are small integers",
}


def _dominant(case: Case, kernels: Kernels) -> Iterator[Claim]:
    distinct, at = np.unique(kernels.names, return_inverse=True)
    time = np.bincount(at, weights=kernels.ns)
    first = int(distinct[np.argmax(time)])
    mine = kernels.names == first
    if kernels.share(mine) < MOST or kernels.kinds[first].family in ITSELF or kernels.kinds[first].type == "f64":
        return
    where, name = kernels.places(mine), case.trace.strings[first]
    text = " ".join([name, *where]).lower()
    instead = next((told for word, told in _INSTEAD.items() if word in text), "another operator with that result")
    yield case.claim(
        "dominant_kernel",
        "one kernel is most of what the GPU does",
        nodes=kernels.nodes(mine),
        cost_us=kernels.us(mine),
        evidence=f"{spoken_name(name)} takes {percent(kernels.share(mine))} of the kernels' time, "
        f"{microseconds(kernels.us(mine))} a step.",
        where=where,
        advice=f"Call it less often, or use {instead}. torch.compile does not merge it with others.",
    )


def _tried(case: Case, kernels: Kernels) -> Iterator[Claim]:
    """Several kernels of one convolution, timed against each other by events, in most steps."""
    trace, operators = case.trace, case.stages.operators
    is_convolution = [i for i, name in enumerate(trace.strings) if "convolution" in name and name.startswith("aten::")]
    calls = case.stages.launches.work_call[kernels.work]
    parent = np.where(calls >= 0, operators.parent[np.maximum(calls, 0)], -1)
    inside = np.flatnonzero((parent >= 0) & np.isin(trace.events.name[np.maximum(parent, 0)], is_convolution))
    tried = np.zeros(len(kernels.rows), dtype=np.bool_)
    timed = np.unique(operators.parent[trace.events.calls(CallKind.EVENT_RECORD)], return_counts=True)
    recorded = dict(zip(timed[0].tolist(), timed[1].tolist(), strict=True))
    times = 0
    for operator, mine in grouped(parent[inside]):
        members = inside[mine]
        if (
            recorded.get(operator, 0) >= TRIES
            and len(np.unique(kernels.names[members])) >= TRIES
            and len(members) > TRIES
        ):
            tried[members[:-1]] = True
            times += 1
    if kernels.share(tried) < PART or times < case.stages.device_window.count / 2:
        return
    yield case.claim(
        "cudnn_benchmark",
        "cuDNN tries out algorithms again and again",
        nodes=kernels.nodes(tried),
        cost_us=kernels.us(tried),
        evidence=f"In {count(case.stages.per_device_step(times))} convolutions a step several kernels run one after "
        f"the other, {microseconds(kernels.us(tried))} a step: cuDNN tries them for each new shape.",
        where=kernels.places(tried),
        advice="torch.backends.cudnn.benchmark = False, or keep shapes the same: DataLoader(..., drop_last=True), "
        "images of one size.",
    )


def _slowdown(case: Case, kernels: Kernels) -> Iterator[Claim]:
    """Kernels of one name and grid that take longer and longer, over most of the time."""
    window, trace = case.stages.device_window, case.trace
    if window.count < FEW_STEPS or kernels.of("collective").any():
        return
    step = np.searchsorted(window.step_starts, trace.events.ts_ns[kernels.rows], side="right") - 1
    third = window.count // 3
    blocks = trace.work.blocks.values[kernels.work]
    _, kind = np.unique(np.stack((kernels.names, blocks)), axis=1, return_inverse=True)
    slower_ns, more_ns = 0.0, 0.0
    for _, mine in grouped(kind.reshape(-1).astype(np.int64)):
        early, late = mine[step[mine] < third], mine[step[mine] >= window.count - third]
        if not len(early) or not len(late):
            continue
        middle = mine[(step[mine] >= third) & (step[mine] < window.count - third)]
        before, after = float(np.median(kernels.ns[early])), float(np.median(kernels.ns[late]))
        between = float(np.median(kernels.ns[middle])) if len(middle) else before
        if after >= SLOWER * before and before <= between <= after:
            slower_ns += float(kernels.ns[mine].sum())
            more_ns += float(kernels.ns[mine].sum()) - before * len(mine)
    if slower_ns < MOST * kernels.total_ns:
        return
    more = case.stages.device_us(more_ns)
    yield case.claim(
        "kernel_slowdown",
        "the same kernels take longer and longer",
        nodes=kernels.nodes(np.ones(len(kernels.rows), dtype=np.bool_)),
        kept=1 - more_ns / kernels.total_ns,
        cost_us=more,
        evidence=f"Kernels of the same name and size, {percent(slower_ns / kernels.total_ns)} of the time, take "
        f"longer from step to step; at the pace of the first steps a step would be {microseconds(more)} shorter.",
        advice=f"The GPU's clocks probably fall: look at heat and power, "
        f"{CLOCKS.get(case.trace.vendor, 'its clocks')} while it runs.",
    )


def _misaligned(case: Case, kernels: Kernels) -> Iterator[Claim]:
    names = [
        i
        for i, kind in kernels.kinds.items()
        if kind.type in HALF and any(word in case.trace.strings[i] for word in ALIGNED)
    ]
    odd = np.isin(kernels.names, names)
    if kernels.share(odd) < SOME:
        return
    yield case.claim(
        "misaligned_products",
        "matrix products of sizes that are no multiples of 8",
        nodes=kernels.nodes(odd),
        kept=MOST,
        cost_us=kernels.us(odd),
        evidence=f"{percent(kernels.share(odd))} of the kernels' time is in products reading a number or two at once, "
        f"{kernels.largest(odd)}.",
        where=kernels.places(odd),
        advice="Make sizes multiples of 8: pad the vocabulary, the hidden size or the sequence.",
    )


def _fills(case: Case, kernels: Kernels) -> Iterator[Claim]:
    """Fills of memory under ``aten::empty``: deterministic mode writes what nobody asked for."""
    trace, operators = case.trace, case.stages.operators
    calls = case.stages.launches.work_call[kernels.work]
    parent = np.where(calls >= 0, operators.parent[np.maximum(calls, 0)], -1)
    above = np.where(parent >= 0, operators.parent[np.maximum(parent, 0)], -1)
    empty = [i for i, name in enumerate(trace.strings) if name.startswith("aten::empty")]
    under = (above >= 0) & np.isin(trace.events.name[np.maximum(above, 0)], empty)
    under |= (parent >= 0) & np.isin(trace.events.name[np.maximum(parent, 0)], empty)
    if not under.any():
        return
    yield case.claim(
        "deterministic_fill",
        "new memory is filled first, since deterministic algorithms are on",
        nodes=kernels.nodes(under),
        cost_us=kernels.us(under),
        evidence=f"{count(case.stages.per_device_step(int(under.sum())))} times a step torch.empty fills new memory.",
        where=kernels.places(under),
        advice="torch.utils.deterministic.fill_uninitialized_memory = False turns the filling off, and nothing else.",
    )


def _math_attention(case: Case, kernels: Kernels) -> Iterator[Claim]:
    trace, operators = case.trace, case.stages.operators
    math = [i for i, name in enumerate(trace.strings) if name == "aten::_scaled_dot_product_attention_math"]
    if not math:
        return
    calls = case.stages.launches.work_call[kernels.work]
    at = np.where(calls >= 0, operators.parent[np.maximum(calls, 0)], -1)
    under = np.zeros(len(calls), dtype=np.bool_)
    while (at >= 0).any():
        under |= (at >= 0) & np.isin(trace.events.name[np.maximum(at, 0)], math)
        at = np.where(at >= 0, operators.parent[np.maximum(at, 0)], -1)
    if kernels.share(under) < SOME:
        return
    yield case.claim(
        "math_attention",
        "attention in separate steps: product, softmax, product",
        nodes=kernels.nodes(under),
        kept=MOST,
        cost_us=kernels.us(under),
        evidence=f"{percent(kernels.share(under))} of the kernels' time is in the plain form of "
        "scaled_dot_product_attention.",
        where=kernels.places(under),
        advice="Let it use the fused form: half precision (autocast), a head size up to 256, and no mask, or "
        "is_causal=True in place of one.",
    )


def _pointwise(case: Case, kernels: Kernels) -> Iterator[Claim]:
    """Kernels that go through memory for a little arithmetic each, and that a compiler would merge."""
    chains = kernels.of("pointwise", "reduction", "normalisation")
    if len(np.unique(kernels.names[chains])) < TRIES:  # one kernel, however long, has no neighbour to be merged with
        return
    if kernels.share(chains) < CHAINS or kernels.share(kernels.of("triton")) > kernels.share(chains):
        return
    yield case.claim(
        "pointwise",
        "element-wise work in many kernels, each reading and writing memory",
        nodes=kernels.nodes(chains),
        kept=MOST,
        cost_us=kernels.us(chains),
        evidence=f"{percent(kernels.share(chains))} of the kernels' time is in {count(_number(case, chains))} "
        f"element-wise kernels and reductions a step, most of it in {kernels.largest(chains)}.",
        where=kernels.places(chains),
        advice="model = torch.compile(model) merges neighbours into one kernel.",
        fix="compile_reduce_overhead",
    )


def _number(case: Case, chosen: Bools) -> float:
    return case.stages.per_device_step(int(chosen.sum()))


RULES: Final = (
    *(_float64, _fp32_products, _layout, _dominant, _tried, _slowdown, _misaligned, _fills, _math_attention),
    _pointwise,
)
