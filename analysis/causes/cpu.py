"""Runs without a GPU: operators, what runs between them, threads that get in each other's way, exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stallscope.analysis.causes import scatter
from stallscope.analysis.causes.case import MOSTLY, Case, Claim
from stallscope.analysis.units import count, microseconds, percent

SMALL_US: Final = 20.0  # an operator, below which sharing it out among threads costs more than it saves


def find(case: Case) -> Iterator[Claim]:
    """What a step on the CPU does."""
    facts = case.facts
    if not case.on_cpu or not facts.has_rows or facts.recording.cut_short:
        return
    yield from _between(case)
    yield from _operators(case)
    if facts.communication_ns:
        yield case.claim(
            "communication",
            "exchanging data between processes",
            cost_us=facts.us(facts.communication_ns),
            evidence=f"{percent(facts.share(facts.communication_ns))} of the time is in collectives.",
            advice="Exchange less often: accumulate gradients over several batches under model.no_sync() "
            "(DistributedDataParallel)."
            if facts.host.trains
            else "Exchange less often, or several values at once.",
        )


def _between(case: Case) -> Iterator[Claim]:
    facts = case.facts
    if facts.share(facts.rest_ns) < MOSTLY:
        return
    yield case.claim(
        "python",
        "Python between the operators",
        cost_us=facts.us(facts.rest_ns),
        evidence=f"{percent(facts.share(facts.rest_ns))} of the time is in no recorded operator.",
        advice="Most of the time is in no recorded operator: look at what Python does between them (data preparation, "
        "logging), and move it out of the step.",
    )


def _operators(case: Case) -> Iterator[Claim]:
    """Threads first where operators are small, or scatter from step to step; else the operators themselves."""
    facts, host = case.facts, case.facts.host
    if not host.operators:
        return
    spent, mean_us = min(host.operator_ns, facts.window_ns), host.operator_ns / host.operators / 1000
    evidence = (
        f"{count(facts.per_step(host.operators))} operators a step of {microseconds(mean_us)} each, "
        f"{percent(facts.share(spent))} of the time."
    )
    small, scattered = mean_us < SMALL_US, scatter.advice(host.scatter, host.threads)
    if scattered or (small and host.threads != 1):
        where = "" if host.threads is None else f" instead of {host.threads}"
        yield case.claim(
            "too_many_threads",
            "operators shared out among too many threads",
            saves_us=facts.us(spent * (host.scatter or 0.0)) if scattered else None,
            cost_us=facts.us(spent),
            evidence=evidence,
            advice=scattered
            or f"torch.set_num_threads(1){where} may help: sharing out such small work costs more than it saves.",
            confidence="ok" if scattered else "low",
        )
    if small or (facts.share(spent) >= MOSTLY and not scattered):
        larger = f"The operators are small ({microseconds(mean_us)} each): a larger batch does more work for as many."
        yield case.claim(
            "operators",
            "many small operators" if small else "the operators themselves",
            cost_us=facts.us(spent),
            evidence=evidence,
            advice=larger if small else "The time is in the operators themselves: see the table below for the largest.",
        )
