"""The JSON Schemas: what the commands write is valid by them, and what is wrong is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stallscope import cli
from stallscope.analysis.contract.ab import Ab, AbArm, AbRun
from stallscope.analysis.report.ab import json as as_json
from stallscope.analysis.report.schemas import CONTRACTS, json_schema, name_of
from tests import ROOT

DATA = ROOT / "tests" / "compat" / "data"
SAMPLE = str(next((ROOT / "traces" / "samples").glob("iris_mlp_simulated*.gz")))
BEFORE, AFTER = str(DATA / "before"), str(DATA / "after")
COMMANDS = {
    "summary": ["summary", SAMPLE, "--peers"],
    "summaries": ["summary", SAMPLE, BEFORE],
    "health": ["summary", "--health", SAMPLE],
    "healths": ["summary", "--health", SAMPLE, BEFORE],
    "compare": ["compare", BEFORE, AFTER],
    "whatif": ["whatif", SAMPLE],
    "whatifs": ["whatif", SAMPLE, BEFORE],
    "score": ["whatif", "--score", BEFORE, AFTER],
    "constants": ["whatif", "--constants"],
    "check": ["check", BEFORE, "--max", "waits=1"],
    "env": ["env"],
}
AB = Ab(
    arms=[AbArm(letter="A", label="a", command="a.py", step_us=1.0, runs=1)], comparisons=[], blocks=0, most_blocks=20,
    runs=[AbRun(arm=0, block=0, step_us=1.0, path="r")], least_change=0.01, seed=1, noise=False, stopped="rounds",
)  # fmt: skip
FILES = {"manifest": DATA / "before" / "stallscope.json"}


def _written(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    if name in FILES:
        return json.loads(FILES[name].read_bytes())
    if name == "ab":  # which runs a training several times: see tests/stallscope/test_ab.py
        return json.loads(as_json.render(AB))
    if name == "baseline":
        assert cli._execute(["check", BEFORE, "--against", str(folder / "b.json"), "--update"]) == 0
        capsys.readouterr()
        return json.loads((folder / "b.json").read_bytes())
    assert cli._execute([*COMMANDS[name], "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", CONTRACTS)
def test_what_is_written_is_valid(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each document is valid by its schema, which is itself a valid one; with another ``schema`` it is not."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    written = _written(name, tmp_path, capsys)
    assert [error.message for error in validator.iter_errors(written)] == []
    assert written["schema"] == name_of(CONTRACTS[name])
    assert not validator.is_valid({**written, "schema": "stallscope.other/1"})


def test_a_wrong_type_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A text where a number or null belongs, deep inside, makes a summary invalid."""
    jsonschema = pytest.importorskip("jsonschema")
    written = _written("summary", tmp_path, capsys)
    written["per_step"]["sync_calls"] = "none"
    assert not jsonschema.Draft202012Validator(json_schema("summary")).is_valid(written)


def test_fields_say_what_they_mean() -> None:
    """The comment beside a field of the source is its description."""
    steps = json_schema("summary")["$defs"]["Steps"]["properties"]
    assert steps["window_us"]["description"] == "of the host"
    assert steps["inflation"]["description"].startswith("profiled mean step ÷ unprofiled mean step")


def test_every_contract_of_the_reference_has_a_schema() -> None:
    """What the docs list under "The JSON" is what can be had."""
    listed = set(re.findall(r"`(stallscope\.\w+/\d+)`", (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")))
    assert len(listed) >= 8
    assert listed <= {name_of(each) for each in CONTRACTS.values()}


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A list without a name, a schema with one, one sentence where there is none."""
    assert cli._execute(["schema"]) == 0
    assert re.search(r"^summary +stallscope\.summary/2 +stallscope summary$", capsys.readouterr().out, re.MULTILINE)
    assert cli._execute(["schema", "summary"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "stallscope.summary/2"
    assert cli._execute(["schema", "sumary"]) == 2
    assert "there is no contract 'sumary'; choose of: summary" in capsys.readouterr().err
