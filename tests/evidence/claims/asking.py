"""How a test asks a claim, and figures of three runs."""

from stallscope.demo.results import Result
from tests.evidence.claims.answers import Answer
from tests.evidence.claims.claims import CLAIMS

Runs = tuple[float, ...]


def steady(value: float) -> Runs:
    """Three runs that differ by less than a percent."""
    return (value, 1.002 * value, 0.998 * value)


def shaky(value: float) -> Runs:
    """Three runs that say little."""
    return (value, 2.5 * value, 0.4 * value)


def decided(number: int, *results: Result) -> Answer:
    """The answer to a claim by the results of its workloads, in their order."""
    claim = CLAIMS[number]
    return claim.answer(dict(zip(claim.workloads, results, strict=True)))


def verdict(number: int, *results: Result) -> str:
    """Its word."""
    return decided(number, *results).verdict
