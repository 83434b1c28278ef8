"""A check as SARIF 2.1.0, which code scanning shows on the line of the diff.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from stallscope.analysis.check.check import EXIT_CODES
from stallscope.analysis.check.rows import WORDS, spoken
from stallscope.analysis.contract.check import Check, CheckLine, CheckRow
from stallscope.analysis.report.check_words import FAILING
from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import PLAIN, Style
from stallscope.traces.model.version import version

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
RULES: Final = {"waits": "wait-in-step", "reads": "read-in-step"}


def render(check: Check, _style: Style = PLAIN) -> bytes:
    """The document: one run, a result a line, and a budget that has none."""
    rows = [] if check.outcome == "not_comparable" else [row for row in check.rows if row.status in FAILING]
    driver = {"name": "stallscope", "version": version(), "rules": [_rule(row.name) for row in check.rows]}
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(check)],
        "results": [_result(row, line) for row in rows for line in (row.lines or (None,))],
    }
    return document({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule_id(name: str) -> str:
    return f"stallscope/{RULES.get(name, name.replace('_', '-'))}"


def _rule(name: str) -> dict[str, Any]:
    text = f"More than the budget allows in one training step: {WORDS[name]}."
    return {"id": _rule_id(name), "shortDescription": {"text": text}, "defaultConfiguration": {"level": "error"}}


def _invocation(check: Check) -> dict[str, Any]:
    told = {"executionSuccessful": check.outcome != "not_comparable", "exitCode": EXIT_CODES[check.outcome]}
    if check.outcome != "not_comparable":
        return told
    return {**told, "toolExecutionNotifications": [{"level": "error", "message": {"text": check.text}}]}


def _result(row: CheckRow, line: CheckLine | None) -> dict[str, Any]:
    called = f"{spoken(line.called)} here. " if line is not None and line.called else ""
    found: dict[str, Any] = {
        "ruleId": _rule_id(row.name),
        "level": "error",
        "message": {"text": f"{called}{row.text}"},
    }
    if line is None or line.file is None:
        return found
    place = {"artifactLocation": {"uri": quote(line.file)}, "region": {"startLine": line.line}}
    return {**found, "locations": [{"physicalLocation": place}]}
