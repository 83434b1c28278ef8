"""docs/claims.md: all 28 claims, each with a verdict by measured figures and a command, or the reason why not."""

import re

import pytest

from stallscope.demo.results import Repeat, Result, VariantResult
from stallscope.profiling.machine import collect
from tests.claims import claims
from tests.claims.page import PAGE, page, results


def rows() -> list[list[str]]:
    """The cells of the committed table's rows."""
    lines = re.findall(r"^\| (\d+ \|.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def test_every_claim_has_a_row() -> None:
    """28 rows, numbered in order."""
    assert [row[0] for row in rows()] == [str(number) for number in range(1, 29)]


def test_every_row_has_figure_and_command_or_a_reason() -> None:
    """A verdict stands with a figure and the command that gives it; all else says why it was not measured."""
    for number, _, verdict, figure, command in rows():
        if verdict.startswith("not measured, because "):
            assert len(verdict) > len("not measured, because ") + 8, number
            assert figure == "-", number
        else:
            assert verdict in claims.VERDICTS, number
            assert re.search(r"\d", figure), number
            assert command.startswith("`stallscope demo "), number


def test_the_page_is_what_the_results_give() -> None:
    """`python -m tests.claims` prints what is committed: no figure was typed by hand."""
    assert page(results()) == PAGE.read_text(encoding="utf-8")


def timed(key: str, *times: float) -> VariantResult:
    """An Iris variant with these times of an epoch."""
    prices = {"item_us": 0.3, "append_us": 0.1, "print_us": 1.0, "nothing_us": 0.1}
    repeats = [Repeat(figures={"us_per_epoch": us, **prices}, recorded=None, wall_s=1.0) for us in times]
    return VariantResult(key=key, title=key, device=key.partition("-")[0], options=[], repeats=repeats)


def iris(*variants: VariantResult) -> dict[str, Result]:
    """A result of iris-mlp with these variants."""
    machine = collect(with_torch=False, run=lambda _: None)
    result = Result(
        workload="iris-mlp", stallscope="", created="", command="", quick=False, repeats=3, machine=machine, load=None,
        environment={}, variants=list(variants),
    )  # fmt: skip
    return {"iris-mlp": result}


@pytest.mark.parametrize(
    ("seldom", "verdict"),
    [
        ((92.0, 93.0, 91.0), "confirmed"),  # 8 % less in each round
        ((80.0, 81.0, 79.0), "wrong"),  # 20 % less
        ((101.0, 100.0, 99.5), "wrong"),  # no less at all, and surely not 8 %
        ((60.0, 140.0, 90.0), "cannot tell"),
    ],
)
def test_the_same_rule_gives_another_verdict_for_other_figures(seldom: tuple[float, ...], verdict: str) -> None:
    """Claim 4, "saves 8 %": decided by the interval of the change."""
    found = iris(timed("cpu-print-1", 100.0, 101.0, 99.0), timed("cpu-print-200", *seldom))
    assert claims.CLAIMS[4].answer(found).verdict == verdict


def test_without_a_gpu_its_claims_are_not_measured() -> None:
    """Claim 1 with CPU figures only; with GPU figures it has a verdict: half the time is gone, so it was `.item()`."""
    cpu = timed("cpu-record-1", 100.0, 101.0, 99.0)
    assert claims.CLAIMS[1].answer(iris(cpu)).verdict == "not measured, because there was no GPU"
    gpu = timed("cuda-record-1", 400.0, 410.0, 390.0), timed("cuda-record-100", 200.0, 205.0, 196.0)
    assert claims.CLAIMS[1].answer(iris(cpu, *gpu)).verdict == "confirmed"
    assert claims.CLAIMS[7].answer(iris(cpu, *gpu)).verdict == "wrong"


def test_a_missing_file_is_the_reason() -> None:
    """Without any result every claim says that it was not measured."""
    assert all(claim.answer({}).verdict.startswith("not measured, because ") for claim in claims.CLAIMS.values())
