"""docs/claims.md: all 28 claims, each with a verdict by measured figures and a command, or the reason why not."""

import re

from tests.evidence.claims.answers import VERDICTS
from tests.evidence.claims.claims import CLAIMS
from tests.evidence.claims.page import PAGE, page, results


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
            assert verdict in VERDICTS, number
            assert re.search(r"\d", figure), number
            assert command.startswith("`stallscope demo "), number


def test_the_page_is_what_the_results_give() -> None:
    """`python -m tests.evidence.claims` prints what is committed: no figure was typed by hand."""
    assert page(results()) == PAGE.read_text(encoding="utf-8")


def test_a_missing_file_is_the_reason() -> None:
    """Without any result every claim says that it was not measured."""
    assert all(claim.answer({}).verdict.startswith("not measured, because ") for claim in CLAIMS.values())
