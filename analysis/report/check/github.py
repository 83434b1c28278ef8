"""A check as workflow commands of GitHub Actions: a line of the log that shows on the line of the diff.

Source: GitHub, "Workflow commands for GitHub Actions"; escapes as in its toolkit (``packages/core/src/command.ts``).
"""

from __future__ import annotations

from collections.abc import Iterator

from stallscope.analysis.check.rows import spoken
from stallscope.analysis.contract.check import Check, CheckLine, CheckRow
from stallscope.analysis.report.check_words import FAILING
from stallscope.analysis.report.style import PLAIN, Style, safe


def render(check: Check, _style: Style = PLAIN) -> str:
    """One command a line of the script, or a budget, that fails; of a check that passes one notice."""
    return "\n".join(_commands(check)) + "\n"


def _commands(check: Check) -> Iterator[str]:
    if check.outcome != "fail":
        yield _command("notice" if check.outcome == "pass" else "error", {"title": "stallscope"}, check.text)
    if check.outcome == "not_comparable":
        return
    for row in check.rows:
        if row.status in FAILING:
            placed = [line for line in row.lines if line.file is not None]
            yield from (_at(row, line) for line in placed)
            if not placed:
                yield _command("error", {"title": f"stallscope: {row.name}"}, row.text)


def _at(row: CheckRow, line: CheckLine) -> str:
    place = {"file": line.file or "", "line": str(line.line), "title": f"stallscope: {row.name}"}
    called = f"{spoken(line.called)} here. " if line.called else ""
    return _command("error", place, f"{called}{row.text}")


def _command(level: str, properties: dict[str, str], text: str) -> str:
    told = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    return f"::{level} {told}::{_escaped(safe(text))}"


def _escaped(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
