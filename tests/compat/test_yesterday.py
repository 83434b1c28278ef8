"""Run folders, manifests and JSON of an earlier version (``data/README.md``) are read today, with the same figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stallscope import cli
from stallscope.analysis.contract.compare import Comparison
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.contract.whatif import Forecasts
from stallscope.analysis.fill.health import HealthReport
from stallscope.traces.model.manifest import Manifest
from tests.plugin import clients, spans, until_done

DATA = Path(__file__).parent / "data"
COMMANDS = {
    "before.summary": ["summary", "before"],
    "before.whatif": ["whatif", "before"],
    "before.health": ["summary", "--health", "before"],
    "gpu.summary": ["summary", "gpu"],
    "gpu.whatif": ["whatif", "gpu"],
    "before-after.compare": ["compare", "before", "after"],
}
TYPES = {"summary": Summary, "whatif": Forecasts, "health": HealthReport, "compare": Comparison}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of run folders, as the current folder."""
    shutil.copytree(DATA, tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    return tmp_path / "runs"


def old_json(name: str) -> dict[str, Any]:
    """The JSON that the earlier version wrote."""
    document: dict[str, Any] = json.loads((DATA / f"{name}.json").read_bytes())
    return document


def printed(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints today."""
    assert cli._execute(command) == 0
    return capsys.readouterr().out


def of_today(old: dict[str, Any]) -> dict[str, Any]:
    """Old JSON without what ``stallscope.summary/2`` gave up: ``causes`` took the place of ``advice_findings``."""
    renamed = {"schema": "stallscope.summary/2"} if old["schema"] == "stallscope.summary/1" else {}
    return {key: value for key, value in old.items() if key != "advice_findings"} | renamed


def from_the_step_of_today(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Old forecasts, made from the median step, as from today's: from the start of one to that of the next, on average.

    Nothing else of a forecast changes with the step that it starts from.
    """
    then, now = ((document.get("forecast") or {}).get("step_us") for document in (old, new))
    if then is None or now is None:
        return old
    assert now == pytest.approx(then, rel=1e-3)

    def scaled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: scaled(each) for key, each in value.items()}
        return None if value is None else value * now / then

    rows = [
        row | {key: scaled(row[key]) for key in ("step_us", "with_those_before_us") if key in row}
        for row in old.get("what_if") or []
    ]
    return old | {"forecast": old["forecast"] | {"step_us": now}, "what_if": rows}


def differences(old: Any, new: Any, where: str = "", rel: float = 1e-9) -> list[str]:
    """Where ``new`` lacks or changes something of ``old``; sentences may be worded anew, fields may be added."""
    if isinstance(old, dict) and isinstance(new, dict):
        missing = [f"{where}.{key} is missing" for key in old if key not in new]
        shared = [key for key in old if key in new]
        return missing + [line for key in shared for line in differences(old[key], new[key], f"{where}.{key}", rel)]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{where}[{i}]", rel)]
    is_sentence = isinstance(old, str) and isinstance(new, str) and " " in old
    is_number = all(isinstance(value, int | float) for value in (old, new))
    same = is_sentence or (old == pytest.approx(new, rel=rel) if is_number else old == new)
    return [] if same else [f"{where}: {old!r} became {new!r}"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", COMMANDS)
def test_the_figures_are_those_of_then(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the old traces and manifests today's code makes each field and figure that the earlier version made."""
    today = json.loads(printed([*COMMANDS[name], "--format", "json"], capsys))
    old = of_today(old_json(name))
    assert differences(from_the_step_of_today(old, today), today, rel=1e-8) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_json_of_then_is_decoded(name: str) -> None:
    """Today's type takes the old JSON, loses no field that still is one, and lets pass what it does not know."""
    old = old_json(name)
    kept = {key: value for key, value in old.items() if key != "advice_findings"}
    kind = TYPES[name.rpartition(".")[2]]
    decoded = msgspec.to_builtins(msgspec.convert({**old, "of_a_later_version": 1}, kind))
    assert differences(kept, decoded) == []


@pytest.mark.parametrize("run", ["before", "after"])
def test_the_manifest_of_then_is_decoded(run: str) -> None:
    """Today's manifest type takes the old file and loses no field of it."""
    old = json.loads((DATA / run / "stallscope.json").read_bytes())
    assert differences(old, msgspec.to_builtins(msgspec.convert(old, Manifest))) == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["summary", "-v", "before"], "train.py:20 .item(): would synchronize on a GPU"),
        (["summary", "gpu"], "(launch-bound)"),
        (["compare", "before", "after"], "--read-every"),
        (["whatif", "gpu"], "one CUDA graph for the step"),
    ],
)
def test_the_text_says_what_it_said(command: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The old folders are explained in words too, with the lines that their manifests hold."""
    assert said in printed(command, capsys)


@pytest.mark.parametrize("paths", [["before"], ["gpu"], ["before", "after"]])
def test_the_page_is_made(paths: list[str], folder: Path) -> None:
    """`report` makes a page of an old run, and of two."""
    assert cli._execute(["report", *paths, "-o", "page.html"]) == 0
    assert "</html>" in (folder / "page.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("own_cache")
def test_tensorboard_lists_the_folders(folder: Path) -> None:
    """The tab lists the old runs, and makes the page of one."""
    routes = clients(folder)
    runs = spans(routes)
    assert sorted(runs) == ["after", "before", "gpu"]
    assert until_done(routes, span=runs["before"])["state"] == "ready"


@pytest.mark.usefixtures("folder")
def test_several_summaries_keep_their_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """The document around two summaries is named as it was."""
    document = json.loads(printed(["summary", "before", "gpu", "--format", "json"], capsys))
    assert document["schema"] == "stallscope.summaries/1"
    assert differences(of_today(old_json("before.summary")), document["summaries"][0]) == []


def test_a_change_is_seen() -> None:
    """The comparison itself: a lost field and another figure are told, a new field and new words are not."""
    old = {"a": 1.0, "b": [None, "launch"], "c": "so it is"}
    assert differences(old, {"a": 1.0, "b": [None, "launch"], "c": "it is so", "d": 2}) == []
    assert differences(old, {"a": 1.1, "b": [0, "launch"]}) == [
        ".c is missing",
        ".a: 1.0 became 1.1",
        ".b[0]: None became 0",
    ]
