"""The server for agents, asked by the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from stallscope import cli
from stallscope.mcp_tools import MOST, Tools, bounded
from stallscope.traces.model.errors import BadInput
from tests import ROOT
from tests.builders import TraceBuilder

DATA = ROOT / "tests" / "compat" / "data"
TOOLS = {"runs", "summary", "causes", "whatif", "compare", "check"}
QUESTIONS = [
    ("runs", {}),
    ("summary", {"path": "before"}),
    ("causes", {"path": "before"}),
    ("whatif", {"path": "gpu"}),
    ("compare", {"baseline": "before", "candidate": "after"}),
    ("check", {"path": "before", "limits": {"waits": 0}}),
]


def _wide(folder: Path) -> Path:
    """A trace of so many operators and kernels that its whole summary is far too long."""
    builder = TraceBuilder()
    for step in range(2):
        builder.step(100_000 * step, 100_000)
        for number in range(600):
            at = 100_000 * step + 100 * number
            builder.op(f"mine::operator_{number:04}", at, 50)
            builder.launch(at + 5, 5, kernel=(f"kernel_{number:04}_" + "x" * 60, at + 20, 10))
    return builder.write(folder)


async def _asked(server: Any, questions: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    from mcp import Client

    async with Client(server) as client:
        listed = await client.list_tools()
        assert {tool.name for tool in listed.tools} == TOOLS
        assert all(tool.description for tool in listed.tools)
        return [await client.call_tool(name, arguments) for name, arguments in questions]


def _answers(root: Path, questions: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    pytest.importorskip("mcp")
    from stallscope.mcp_server import server

    return asyncio.run(_asked(server(root), questions))


def test_every_tool_answers() -> None:
    """Each in JSON of at most 20 kB, under the schema that the command line writes."""
    answers = _answers(DATA, QUESTIONS)
    assert [answer.is_error for answer in answers] == [False] * len(QUESTIONS)
    texts = [answer.content[0].text for answer in answers]
    assert max(len(text.encode()) for text in texts) <= MOST
    found = dict(zip((name for name, _ in QUESTIONS), map(json.loads, texts), strict=True))
    assert {"before", "after"} < set(found["runs"]["paths"])
    assert found["summary"]["schema"] == "stallscope.summary/2"
    assert found["causes"]["verdict"]["kind"] == "cpu"
    assert found["whatif"]["schema"] == "stallscope.whatif/1"
    assert found["compare"]["schema"] == "stallscope.compare/1"
    assert found["check"]["rows"][0]["lines"][0]["call_site"] == "train.py:20"


@pytest.mark.parametrize("path", ["../data-beside", "..", "/etc/passwd", "before/../../.."])
def test_a_path_outside_is_refused(path: str) -> None:
    """Whatever way it is written: an error of the tool, in one sentence."""
    (answer,) = _answers(DATA, [("summary", {"path": path})])
    assert answer.is_error
    assert "only what is below it may be read" in answer.content[0].text


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    """As a run folder, and as a trace within one; nothing of it is read."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "run").symlink_to(DATA / "before")
    (root / "other").mkdir()
    (root / "other" / "stallscope.json").symlink_to(DATA / "before" / "stallscope.json")
    for path in ("run", "other"):
        with pytest.raises(BadInput, match="is outside"):
            Tools(root).summary(path)


def test_a_baseline_and_a_budget_outside_are_refused(tmp_path: Path) -> None:
    """The files that check reads are below the root too."""
    shutil.copytree(DATA / "before", tmp_path / "root" / "before")
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(BadInput, match="is outside"):
        Tools(tmp_path / "root").check("before", {"waits": 1}, against="../b.json")


def test_the_budgets_of_the_root_hold(tmp_path: Path) -> None:
    """stallscope.toml below the root, not that of the folder that the server was started in."""
    shutil.copytree(DATA / "before", tmp_path / "before")
    (tmp_path / "stallscope.toml").write_text("[per_step]\nreads = 0\n")
    found = json.loads(Tools(tmp_path).check("before"))
    assert [(row["name"], row["status"]) for row in found["rows"]] == [("reads", "exceeded")]


def test_a_long_answer_is_cut_and_says_so(tmp_path: Path) -> None:
    """At most 20 kB, valid JSON, and how much of which list is there; all of it where that is asked for."""
    path = _wide(tmp_path).name
    short, full = Tools(tmp_path).summary(path), Tools(tmp_path).summary(path, full=True)
    assert len(short.encode()) <= MOST < len(full.encode())
    found = json.loads(short)
    assert any(each.startswith("operators: ") and each.endswith(" of 600") for each in found["left_out"])
    assert len(json.loads(full)["operators"]) == 600
    assert found["verdict"] == json.loads(full)["verdict"]


def test_what_cannot_be_cut_is_left_out() -> None:
    """One text that is too long for any answer: nothing of it, and how to get it."""
    assert "ask with full" in bounded({"text": "x" * 30_000}, full=False)


def test_errors_are_sentences() -> None:
    """A path that is not there, and a figure that does not exist."""
    missing, wrong = _answers(DATA, [("summary", {"path": "none"}), ("check", {"path": "before", "limits": {"w": 0}})])
    assert missing.is_error
    assert "there is no figure 'w'" in wrong.content[0].text


@pytest.mark.slow
def test_over_stdin_and_stdout() -> None:
    """`stallscope mcp` as an agent starts it: nothing but the protocol on stdout."""
    mcp = pytest.importorskip("mcp")
    command = ["-m", "stallscope", "mcp", "--root", str(DATA)]
    (answer,) = asyncio.run(
        _asked(mcp.StdioServerParameters(command=sys.executable, args=command), [("causes", {"path": "before"})])
    )
    assert json.loads(answer.content[0].text)["verdict"]["kind"] == "cpu"


def test_a_root_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit code 2 and one sentence."""
    pytest.importorskip("mcp")
    assert cli._execute(["mcp", "--root", str(tmp_path / "none")]) == 2
    assert "is no folder; name one that holds runs with --root" in capsys.readouterr().err


def test_without_the_sdk(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, and the command that installs it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert cli._execute(["mcp", "--root", str(DATA)]) == 2
    assert "python -m pip install 'stallscope[mcp]'" in capsys.readouterr().err
