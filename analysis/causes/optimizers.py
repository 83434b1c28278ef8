"""What follows the backward pass: the optimizer, its groups, zero_grad, clipping, averages of the weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from stallscope.analysis.causes.case import Case, Claim
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import NameTest, matches, rows_named
from stallscope.analysis.units import count, microseconds
from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Ints

PER_TENSOR: Final = 20  # calls a step, from which it is done tensor by tensor
FUSABLE: Final = ("Adam", "AdamW", "SGD", "Adagrad")
FUSED_LAUNCHES: Final = 2  # an optimizer that starts no more than this is fused already
OPTIMIZER_SHARE: Final = 0.05  # of the launches, from which the optimizer's are many
is_step: Final = matches(re.compile(r"Optimizer\.step#"))
is_product: Final = matches(re.compile(r"aten::mul_$"))
is_zero_grad: Final = matches(re.compile(r"Optimizer\.zero_grad#"))
_PER_TENSOR: Final = (
    (
        "ema",
        matches(re.compile(r"aten::lerp_$")),
        "an average of the weights is updated tensor by tensor",
        "torch._foreach_lerp_(averages, list(model.parameters()), 1 - decay) does it in a few launches.",
    ),
    (
        "clip",
        matches(re.compile(r"aten::(linalg_vector_norm|norm|clamp_)$")),
        "gradients are clipped tensor by tensor",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), limit, foreach=True).",
    ),
)


def find(case: Case) -> Iterator[Claim]:
    """The optimizer and zero_grad, by what they launch."""
    facts = case.facts
    if facts.calls is None or facts.device is None:
        return
    yield from _optimizer(case)
    yield from _zero_grad(case)
    yield from _per_tensor(case)


def _optimizer(case: Case) -> Iterator[Claim]:
    facts = case.facts
    name, calls = facts.host.optimizer, facts.calls
    if name not in FUSABLE or calls is None:
        return
    launches, mine = facts.per_step(calls.launches), facts.per_step(calls.optimizer_launches)
    if mine <= max(FUSED_LAUNCHES, OPTIMIZER_SHARE * launches):
        return
    times = ranges(case, is_step)
    yield case.claim(
        "optimizer",
        f"the optimizer, {name}, launches many small kernels",
        nodes=case.with_launched(case.nodes_inside(times)),
        cost_us=idle_us(case, times),
        evidence=f"{count(mine)} of {count(launches)} launches a step are the optimizer's; the GPU idles "
        f"{microseconds(idle_us(case, times))} meanwhile.",
        advice=f"torch.optim.{name}(model.parameters(), ..., fused=True) needs one or two.",
        fix="fused_optimizer",
    )


def _zero_grad(case: Case) -> Iterator[Claim]:
    times = ranges(case, is_zero_grad)
    inside = intervals.covers(times, case.trace.events.ts_ns[case.stages.launches.calls])
    launches = case.stages.per_step(int(inside.sum()))
    if not launches:
        return
    yield case.claim(
        "zero_grad",
        "zero_grad() fills gradients with zeros",
        nodes=case.with_launched(case.nodes_inside(times)),
        cost_us=idle_us(case, times),
        evidence=f"{count(launches)} launches a step there, to fill memory.",
        advice="optimizer.zero_grad(set_to_none=True) frees them instead, with no launch.",
    )


def _per_tensor(case: Case) -> Iterator[Claim]:
    """Averages of weights, and clipping, tensor by tensor, outside the optimizer."""
    trace, operators, window = case.trace, case.stages.operators, case.stages.window
    outer = operators.rows[operators.parent[operators.rows] < 0]
    outer = outer[window.holds(trace.events.ts_ns[outer])]
    outer = outer[~intervals.covers(ranges(case, is_step), trace.events.ts_ns[outer])]
    for name, pattern, title, told in _PER_TENSOR:
        mine = rows_named(trace, outer, pattern)
        number = case.stages.per_step(len(mine))
        if number < PER_TENSOR:
            continue
        mine = np.union1d(mine, _scaled(case, outer, mine)) if name == "clip" else mine
        times = window.cover(trace, mine)
        yield case.claim(
            name,
            title,
            nodes=case.with_launched(case.nodes_inside(times, np.unique(trace.events.thread[mine]).tolist())),
            cost_us=case.stages.us(intervals.total(times)),
            evidence=f"{count(number)} calls a step of {trace.name_of(int(mine[0]))} and its like, "
            f"{microseconds(case.stages.us(intervals.total(times)))}.",
            advice=told,
        )


def _scaled(case: Case, outer: Ints, norms: Ints) -> Ints:
    """The products with which clipping scales gradients: those after a step's first norm, if one for each tensor."""
    events, starts = case.trace.events, case.stages.window.step_starts
    products = rows_named(case.trace, outer, is_product)
    products = products[np.isin(events.thread[products], events.thread[norms])]
    first = np.full(len(starts), np.iinfo(np.int64).max)
    np.minimum.at(first, np.searchsorted(starts, events.ts_ns[norms], side="right") - 1, events.ts_ns[norms])
    step = np.searchsorted(starts, events.ts_ns[products], side="right") - 1
    later = products[events.ts_ns[products] > first[step]]
    return later if len(later) >= PER_TENSOR * len(starts) else later[:0]


def ranges(case: Case, accept: NameTest) -> Intervals:
    """When any annotation of such a name was open, in the window."""
    trace = case.trace
    return case.stages.window.cover(trace, rows_named(trace, trace.events.rows(Category.ANNOTATION), accept))


def idle_us(case: Case, times: Intervals) -> float:
    """How long no device works meanwhile, µs a step."""
    return case.stages.us(intervals.total(intervals.subtract(times, case.stages.activity.busy)))
