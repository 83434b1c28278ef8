"""The catalogue of causes: one registry, a family a module. What costs time, most saved first.

A new cause is a function in the family it belongs to; a new family a module and one line here. Families come in the
order of the list: each sees what those before it have claimed, the general one last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from stallscope.analysis.causes import (
    copies,
    course,
    cpu,
    general,
    kernels,
    loading,
    memory,
    modes,
    optimizers,
    starting,
    waiting,
    whole,
)
from stallscope.analysis.causes.case import WORTH, Case, Claim
from stallscope.analysis.contract.causes import Cause
from stallscope.traces.model.trace import Bools

GENERAL_WORTH: Final = 0.05  # of the step: below it what no specific cause explains is no news
ON_ANY_CPU: Final = {"python", "operators"}  # that any step on a CPU has
Family = Callable[[Case], Iterator[Claim]]

FAMILIES: Final[tuple[Family, ...]] = (
    starting.find,
    modes.find,
    memory.find,
    loading.find,
    copies.find,
    kernels.find,
    optimizers.find,
    course.find,
    waiting.find,
    whole.find,
    cpu.find,
    general.find,
)
HIDE: Final[tuple[Family, ...]] = (starting.find, loading.find, waiting.find, general.find)


def find_causes(case: Case) -> list[Cause]:
    """The causes by what they save; what is not replayed by its cost, the general after the specific ones.

    Below 1 % of the step nothing is one, and a wait that saves nothing neither: the GPU works meanwhile.
    """
    claims: list[Claim] = []
    specific = 0
    for family in FAMILIES:
        seen = replace(case, claimed=_claimed(case, claims))
        least = GENERAL_WORTH if family is general.find else WORTH
        specific = len(claims)
        claims += [claim for claim in family(seen) if _is_worth(claim.cause, least, hides=family in HIDE)]
    general_ones = {claim.cause.name for claim in claims[specific:]}
    if case.on_cpu:
        general_ones |= ON_ANY_CPU

    def order(cause: Cause) -> tuple[bool, bool, float, bool, float, str]:
        last = case.on_cpu and cause.name in ON_ANY_CPU  # nothing is replayed there: what it costs says little
        doubted = case.on_cpu and cause.confidence == "low"
        worth = cause.saves_us if cause.saves_us is not None or not case.on_cpu else cause.cost_us
        return last, doubted, -(worth or 0.0), cause.name in general_ones, -(cause.cost_us or 0.0), cause.name

    return sorted((claim.cause for claim in claims), key=order)


def _is_worth(cause: Cause, least: float, *, hides: bool) -> bool:
    """Whether it costs or saves at least that; of what may hide behind the GPU's work what it saves alone decides.

    But for what is said with doubt: a start that a longer recording would not hold.
    """
    if hides and cause.saves_share is not None and cause.confidence == "ok":
        return cause.saves_share >= least
    shares = [share for share in (cause.saves_share, cause.share) if share is not None]
    return not shares or max(shares) >= least


def _claimed(case: Case, claims: list[Claim]) -> Bools:
    claimed = case.none()
    for claim in claims:
        if claim.nodes is not None:
            claimed |= claim.nodes
    return claimed
