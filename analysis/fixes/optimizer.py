"""Optimizers that handle many tensors in one kernel: ``fused=True``, ``foreach=True``."""

from __future__ import annotations

from math import ceil

import numpy as np

from stallscope.analysis.causes.optimizers import FUSABLE, FUSED_LAUNCHES
from stallscope.analysis.fixes import constants
from stallscope.analysis.fixes.fix import Bound, Fix, cannot, scaled
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.replay.graph import Graph
from stallscope.analysis.units import count, microseconds

FOREACHABLE = (*FUSABLE, "RMSprop", "NAdam", "RAdam", "Adadelta", "Adamax", "Rprop", "ASGD")
PRIOR = 0.10  # reference: Daydream's fused Adam, error under 7 %, its class under 13 %


def fused_optimizer(subject: Subject, wanted: Wanted) -> Fix:
    """All tensors of the optimizer in a few kernels, with less Python around them."""
    return _optimizer(subject, wanted, "aten::_fused_", FUSABLE)


def foreach_optimizer(subject: Subject, wanted: Wanted) -> Fix:
    """The same for a loop over tensors; on a GPU foreach is PyTorch's default already."""
    if _uses(subject, "aten::_foreach_"):
        return cannot(
            wanted, "the optimizer handles its tensors together already (foreach, PyTorch's default on a GPU)"
        )
    return _optimizer(subject, wanted, "aten::_fused_", FOREACHABLE)


def _optimizer(subject: Subject, wanted: Wanted, done: str, known: tuple[str, ...]) -> Fix:
    optimizer = subject.facts.host.optimizer
    launches = subject.facts.per_step(subject.facts.calls.optimizer_launches)
    if optimizer is None:
        return cannot(wanted, "no optimizer step is marked in this trace")
    if optimizer not in known:
        return cannot(wanted, f"torch.optim.{optimizer} has no such form, as far as is known here")
    if _uses(subject, done) or launches <= FUSED_LAUNCHES:
        return cannot(wanted, f"{optimizer} needs {count(launches)} launches a step; that is fused already")
    host = subject.host & subject.optimizer
    kernels = subject.kernels & subject.optimizer
    number = subject.per_step(kernels)
    left = max(1, ceil(number / constants.TENSORS_A_LAUNCH.value))
    rest = _beyond_first(subject, kernels, left)

    def change(graph: Graph, bound: Bound) -> Graph:
        quicker = scaled(graph, host, bound.of(constants.OPTIMIZER_HOST))
        device = bound.of(constants.OPTIMIZER_DEVICE)
        total = graph.duration_ns[kernels].sum()
        first = kernels & ~rest
        whole = device * total / max(1, graph.duration_ns[first].sum())
        return scaled(quicker, first, max(1.0, whole)).without(rest)

    return Fix(
        wanted=wanted,
        why=f"{optimizer}'s step takes {count(launches)} launches and "
        f"{microseconds(subject.us_per_step(host))} of the CPU; {left} would do",
        change=change,
        prior=PRIOR,
        family="optimizer",
        bounded=True,
    )


def _uses(subject: Subject, prefix: str) -> bool:
    return any(row.name.startswith(prefix) for row in subject.stages.operators.totals)


def _beyond_first(
    subject: Subject, kernels: np.ndarray[tuple[int], np.dtype[np.bool_]], left: int
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The kernels that are merged into the first ``left`` of each step."""
    nodes = np.flatnonzero(kernels)
    nodes = nodes[np.lexsort((subject.graph.start_ns[nodes], subject.graph.step[nodes]))]
    steps = subject.graph.step[nodes]
    opens = np.concatenate(([True], steps[1:] != steps[:-1]))[: len(nodes)]
    first = np.flatnonzero(opens)
    nth = np.arange(len(nodes)) - np.repeat(first, np.diff(np.append(first, len(nodes))))
    found = np.zeros(len(kernels), dtype=np.bool_)
    found[nodes[nth >= left]] = True
    return found
