"""A check as a JUnit report: a test case a budget. A run that cannot be compared is an error, not a failure."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from stallscope.analysis.contract.check import Check, CheckRow
from stallscope.analysis.report.check_words import FAILING, place_words
from stallscope.analysis.report.style import PLAIN, Style, safe


def render(check: Check, _style: Style = PLAIN) -> str:
    """The document."""
    broken = check.outcome == "not_comparable"
    cases = [_case(check, row, failing=not broken and row.status in FAILING) for row in check.rows]
    cases.append(_comparable(check, broken=broken))
    failures = sum("<failure" in case for case in cases)
    totals = f'tests="{len(cases)}" failures="{failures}" errors="{int(broken)}" skipped="0"'
    body = "\n".join(cases)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites {totals}>\n'
        f'<testsuite name="stallscope check" {totals}>\n{body}\n</testsuite>\n</testsuites>\n'
    )


def _case(check: Check, row: CheckRow, *, failing: bool) -> str:
    if not failing:
        return f"{_opening(check, row.name)}/>"
    body = "\n".join([row.text, *(place_words(line) for line in row.lines)])
    return (
        f"{_opening(check, row.name)}>"
        f'<failure message={_attribute(row.text)} type="{row.status}">{_text(body)}</failure></testcase>'
    )


def _comparable(check: Check, *, broken: bool) -> str:
    opening = _opening(check, "comparable")
    if not broken:
        return f"{opening}/>"
    return f'{opening}><error message={_attribute(check.text)} type="not_comparable"/></testcase>'


def _opening(check: Check, name: str) -> str:
    return f"<testcase classname={_attribute(check.target)} name={_attribute(name)}"


def _attribute(text: str) -> str:
    return quoteattr(safe(text))


def _text(text: str) -> str:
    lines = [quoteattr(safe(line))[1:-1] for line in text.splitlines()]
    return "\n".join(lines)
