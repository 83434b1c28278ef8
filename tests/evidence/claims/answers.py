"""What a claim is answered with, and what the rules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stallscope.demo.judging import Judgement, Word
from stallscope.demo.results import Result, VariantResult

VERDICTS = ("confirmed", "wrong", "depends", "cannot tell")
LITTLE = 0.01  # share of an epoch

Results = Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict with the figure behind it, or the reason why there is none."""

    verdict: str  # one of VERDICTS, or "not measured, because …"
    figure: str = "-"


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim, and the workloads whose figures decide it."""

    text: str
    workloads: tuple[str, ...]
    decide: Callable[..., Answer]  # given the result of each

    def answer(self, results: Results) -> Answer:
        """The verdict by the figures there are."""
        for name in self.workloads:
            if name not in results:
                return not_measured(f"docs/workloads/{name}.json is not there")
        return self.decide(*(results[name] for name in self.workloads))


def not_measured(reason: str) -> Answer:
    """No verdict, and why."""
    return Answer(f"not measured, because {reason}")


NO_GPU = not_measured("there was no GPU")
NOT_RUN = not_measured("the variants were not run")


def no_gpu(result: Result) -> Answer:
    """Why a figure of a GPU is missing: there was none, or its variant was not run."""
    return NOT_RUN if result.gpus_seen or "cuda" in result.devices else NO_GPU


def sides(result: Result, before: str, after: str) -> tuple[VariantResult, VariantResult] | None:
    """Two variants, if both were run."""
    found = result.get(before), result.get(after)
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def on_best(result: Result, before: str, after: str) -> tuple[VariantResult, VariantResult] | None:
    """Two variants on the GPU, where the claims were made; where it has none, on the CPU. Keys without the device."""
    found = (sides(result, f"{device}-{before}", f"{device}-{after}") for device in ("cuda", "cpu"))
    return next((pair for pair in found if pair is not None), None)


def where(variant: VariantResult) -> str:
    """``on the GPU``."""
    return "on the GPU" if variant.device == "cuda" else "on the CPU"


def percent(share: float) -> str:
    """``0.052 %``."""
    return f"{100 * share:.3g} %"


def by_word(judged: Judgement, *, less: str, more: str) -> str:
    """The verdict that a word gives; where the runs cannot tell, neither can the verdict."""
    return {Word.LESS: less, Word.MORE: more, Word.UNKNOWN: "cannot tell"}[judged.word]


def between(judged: Judgement, low: float, high: float) -> bool:
    """Whether the whole interval lies there."""
    return judged.interval is not None and low <= judged.interval[0] and judged.interval[1] <= high
