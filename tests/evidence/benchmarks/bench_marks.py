"""What marks cost: a marked call, a call that is only seen, a module call, and a whole step of the Iris network."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from stallscope.profiling.mark.marks import Marks
from tests.evidence.benchmarks.measure import Row

ROUNDS = 15
CALLS = 300  # a round; a recording of more would only fill the memory
STEPS = 40


def run() -> list[Row]:
    """Interleave bare and marked rounds of one process, both inside a running ``torch.profiler``; medians of pairs."""
    import torch

    torch.set_num_threads(1)
    value, vector = torch.tensor(1.0), torch.rand(8)
    leaf = torch.nn.Identity()
    rows = [
        _row("item(), marked as a call site", torch, value.item, CALLS),
        _row("a mask, x[x > 0], marked", torch, lambda: vector[vector > 0], CALLS),
        _row("x + x, seen by the function mode and not marked", torch, lambda: vector + vector, CALLS),
        _row("a module call (Identity), as root: a site and a module", torch, lambda: leaf(vector), CALLS),
    ]
    step = _iris_step(torch)
    return [
        *rows,
        _row("a step of the Iris network, loss.item() in it", torch, step, STEPS),
        _row("the same, module ranges only", torch, step, STEPS, call_sites=False),
    ]


def _iris_step(torch: Any) -> Callable[[], None]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 10), torch.nn.ReLU(), torch.nn.Linear(10, 3))
    criterion, x, y = torch.nn.CrossEntropyLoss(), torch.rand(120, 4), torch.randint(0, 3, (120,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def _row(what: str, torch: Any, work: Callable[[], object], times: int, **options: bool) -> Row:
    """Time ``work`` bare and marked, in pairs: the ratio's median over the pairs, and what a single one takes more."""
    pairs = [(_time(torch, work, times), _time(torch, work, times, Marks(torch, **options))) for _ in range(ROUNDS)]
    ratio = statistics.median(marked / bare for bare, marked in pairs)
    more_us = statistics.median(marked - bare for bare, marked in pairs) / 1000
    return Row(what, f"{ratio:.2f} × recorded without marks ({more_us:+.1f} µs)")


def _time(torch: Any, work: Callable[[], object], times: int, marks: Marks | None = None) -> float:
    """Return the median ns of one ``work()`` under a recording profiler; the first tenth only warms up."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]):
        if marks is not None:
            marks.install()
        taken = []
        for _ in range(times):
            begun = time.perf_counter_ns()
            work()
            taken.append(time.perf_counter_ns() - begun)
        if marks is not None:
            marks.remove()
    return statistics.median(taken[times // 10 :])
