"""``stallscope check`` as it is used: a script with one read more a step fails, with its line, in every format."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from stallscope import cli
from stallscope.analysis.check.budgets import parse_budgets
from stallscope.commands.compare import _regression
from tests.builders import TraceBuilder
from tests.house.documents import page

DATA = Path(__file__).resolve().parents[1] / "compat" / "data"
BUDGETS = """
[per_step]
waits = 0
[[allow]]
line = "train.py:20"
call = ".item()"
why = "the loss of each step is what is studied"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_read_each_step_fails_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1; the text names the line and what it calls."""
    assert cli._execute(["check", str(DATA / "before"), "--max", "waits=0"]) == 1
    assert "train.py:20 .item()" in capsys.readouterr().out


def test_a_line_that_may_wait_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same run, the line being allowed with its reason: exit code 0, and the exception is told."""
    (folder / "stallscope.toml").write_text(BUDGETS)
    assert cli._execute(["check", str(DATA / "before")]) == 0
    assert "the loss of each step is what is studied" in " ".join(capsys.readouterr().out.split())


def test_the_table_of_a_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """[tool.stallscope] of pyproject.toml is read where there is no stallscope.toml."""
    (folder / "pyproject.toml").write_text("[tool.stallscope.per_step]\nreads = 0\n")
    assert cli._execute(["check", str(DATA / "before"), "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["outcome"]) == ("stallscope.check/1", "fail")
    (row,) = found["rows"]
    assert (row["name"], row["status"], row["predicted"]) == ("reads", "exceeded", True)
    assert (row["lines"][0]["file"], row["lines"][0]["line"]) == ("train.py", 20)


@pytest.mark.usefixtures("folder")
def test_null_no_longer_passes() -> None:
    """On a run without a GPU ``jq '.per_step.sync_calls <= 2'`` is true of null; the same budget fails here."""
    assert cli._execute(["check", str(DATA / "before"), "--max", "sync_calls=2"]) == 1


def test_the_budgets_of_the_docs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each block of TOML is understood; with that of the action a run without a GPU and without waits passes."""
    blocks = page("docs/check.md").blocks("toml")
    budgets = [parse_budgets(tomllib.loads(block), "docs") for block in blocks]
    assert len(budgets) == 3
    (folder / "stallscope.toml").write_text(blocks[2], encoding="utf-8")
    run, baseline = str(DATA / "before"), str(folder / "baseline.json")
    assert cli._execute(["check", run, "--against", baseline, "--update", "--max", "waits=1"]) == 0
    assert cli._execute(["check", run, "--against", baseline, "--max", "waits=1"]) == 0
    assert cli._execute(["check", run, "--against", baseline]) == 1
    assert "train.py:20 .item()" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_condition_that_null_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """What the docs warn of: jq finds null <= 2 true on a run without a GPU; the condition that they give fails."""
    assert cli._execute(["summary", str(DATA / "before"), "--format", "json"]) == 0
    summary = capsys.readouterr().out
    conditions = re.findall(r"jq -e '([^']+)'", (DATA.parents[2] / "docs" / "check.md").read_text(encoding="utf-8"))
    codes = [
        subprocess.run(["jq", "-e", each], input=summary, text=True, capture_output=True, check=False).returncode
        for each in conditions
    ]
    assert codes == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to check: write budgets"),
        (["--max", "waits"], "--max waits: expected a figure and its ceiling"),
        (["--max", "wait=0"], "there is no figure 'wait'"),
        (["--budget", "none.toml"], "none.toml: cannot be read"),
        (["--budget", "odd.toml"], "odd.toml: is no TOML"),
    ],
)
def test_bad_usage_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Exit code 2, one line on stderr, nothing on stdout."""
    (folder / "odd.toml").write_text("[per_step\n")
    assert cli._execute(["check", str(DATA / "before"), *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert (shown.out, shown.err.count("\n")) == ("", 1)


def test_github_adds_to_the_page_of_the_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --format github the file that GITHUB_STEP_SUMMARY names gets the table, after what is there already."""
    page = folder / "summary.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    assert cli._execute(["check", str(DATA / "before"), "--max", "waits=0", "--format", "github"]) == 1
    assert page.read_text(encoding="utf-8").startswith("before\n<!-- stallscope-check -->\n")
    assert cli._execute(["check", str(DATA / "before"), "--max", "waits=0"]) == 1
    assert page.read_text(encoding="utf-8").count("stallscope-check") == 1


def test_a_baseline_is_written_kept_and_rewritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--update writes it and says what is new; the same run then passes, and one against another's figures fails."""
    run, path = str(DATA / "before"), folder / ".stallscope" / "baseline.json"  # of a folder that is not there yet
    assert cli._execute(["check", run, "--against", str(path)]) == 2
    assert "write it with --update" in capsys.readouterr().err
    assert cli._execute(["check", run, "--against", str(path), "--update"]) == 0
    assert "operators: not there → " in capsys.readouterr().out
    assert cli._execute(["check", run, "--against", str(path)]) == 0
    document = json.loads(path.read_bytes())
    document["entries"][0]["figures"]["operators"] = {"max": [1, 1], "median": [1, 1]}
    path.write_text(json.dumps(document))
    assert cli._execute(["check", run, "--against", str(path)]) == 1
    document["entries"][0]["key"]["torch"] = "1.0"
    path.write_text(json.dumps(document))
    assert cli._execute(["check", run, "--against", str(path)]) == 3


def test_a_share_needs_a_baseline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without one nothing can be more than it: bad usage, and no pass."""
    (folder / "stallscope.toml").write_text('[per_step]\noperators = "+2 %"\n')
    assert cli._execute(["check", str(DATA / "before")]) == 2
    assert "name its file with --against" in capsys.readouterr().err


TRAIN = """
import sys, torch
model = torch.nn.Linear(4, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(300):
    optimizer.zero_grad()
    loss = model(torch.ones(8, 4)).square().mean()
    loss.backward()
    optimizer.step()
    if "--read" in sys.argv:
        loss.item()
print("trained")
if "--fail" in sys.argv:
    sys.exit(3)
"""


def _check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stallscope", "check", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.mark.slow
def test_a_script_is_recorded_and_checked(tmp_path: Path) -> None:
    """--run trains first: what it prints goes to stderr, and one read more a step fails with its line."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "train.py").write_text(TRAIN)
    plain = _check(tmp_path, "--run", "scripts/train.py", "--max", "waits=0", "--format", "json")
    assert (plain.returncode, json.loads(plain.stdout)["outcome"]) == (0, "pass"), plain.stderr
    assert "trained" in plain.stderr
    reading = _check(tmp_path, "--run", "python scripts/train.py --read", "--max", "waits=0", "--format", "github")
    assert reading.returncode == 1
    assert reading.stdout.startswith("::error file=scripts/train.py,line=11,title=stallscope%3A waits::.item() here.")


@pytest.mark.slow
@pytest.mark.full
def test_a_script_that_fails_is_not_checked(tmp_path: Path) -> None:
    """Exit code 2, and one sentence with the script's own exit code."""
    (tmp_path / "train.py").write_text(TRAIN)
    failed = _check(tmp_path, "--run", "train.py --fail", "--max", "waits=0")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "the script ended with exit code 3, so nothing was checked" in failed.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("command", "said"),
    [("", "names no script"), ("python", "names no script"), ("a 'b", "quotation mark is not closed")],
)
def test_a_command_that_is_none(capsys: pytest.CaptureFixture[str], command: str, said: str) -> None:
    """One sentence, exit code 2, nothing is run."""
    assert cli._execute(["check", "--run", command, "--max", "waits=0"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_baseline_where_no_folder_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    """Below a file: one sentence, exit code 2."""
    Path("taken").write_text("")
    assert cli._execute(["check", str(DATA / "before"), "--against", "taken/b.json", "--update"]) == 2
    assert capsys.readouterr().err.startswith("stallscope: taken")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("arguments", [[], [str(DATA / "before"), "--run", "train.py"]])
def test_a_run_or_a_command(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Exactly one of both: else bad usage, and nothing is trained."""
    assert cli._execute(["check", "--max", "waits=0", *arguments]) == 2
    assert "name a run, or a command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "difference", "code"),
    [
        ("slower", 5.0, 1),
        ("faster", -5.0, 0),
        ("cannot tell", 5.0, 0),
        ("no change", 0.1, 0),
        ("differs", 5.0, 1),
        ("differs", -5.0, 0),
        ("withheld", None, 3),
    ],
)
def test_compare_fails_on_a_regression(kind: str, difference: float | None, code: int) -> None:
    """Exit code 1 where a step is slower, by an interval or beyond the noise floor; 3 where there is no verdict."""
    step = SimpleNamespace(difference=difference)
    found = SimpleNamespace(verdict=SimpleNamespace(kind=kind), statistics=SimpleNamespace(step_us=step))
    assert _regression(found) == code


def test_compare_without_the_option_exits_with_0() -> None:
    """The same two runs, the second slower beyond the noise floor: 0 without it, 1 with it."""
    sides = [str(DATA / "before"), str(DATA / "after")]
    assert cli._execute(["compare", *sides]) == 0
    assert cli._execute(["compare", *sides, "--fail-on-regression"]) == 1


def test_another_format_to_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--also writes a second format beside the one on stdout; a file that is there is not replaced unasked."""
    command = ["check", str(DATA / "before"), "--max", "waits=0", "--also", "junit=report.xml", "--also", "json=a.json"]
    assert cli._execute(command) == 1
    assert "EXCEEDED" in capsys.readouterr().out
    assert (folder / "report.xml").read_text(encoding="utf-8").startswith("<?xml")
    assert json.loads((folder / "a.json").read_bytes())["outcome"] == "fail"
    assert cli._execute(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli._execute([*command[:4], "--also", "junit"]) == 2
    assert "--also junit: expected a format and a file" in capsys.readouterr().err


def test_another_workload_exits_with_3(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line says --read-every 10, the budget is for 5: said once, and never passed."""
    (folder / "stallscope.toml").write_text(
        '[workload]\nname = "iris"\nparameters = { read_every = 5 }\n[per_step]\nwaits = 9\n'
    )
    assert cli._execute(["check", str(DATA / "after")]) == 3
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("Not comparable: the run is of another workload: its command line says read_every = 10")


def test_each_rank_is_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wait of the second of two ranks alone fails the run."""
    run = folder / "run"
    run.mkdir()
    for rank in (0, 1):
        builder = TraceBuilder(rank=rank, world_size=2)
        for at in (0, 100, 200):
            builder.step(at, 100).launch(at + 5, 2, kernel=("k", at + 10, 5))
            if rank:
                builder.sync(at + 50, 5, name="cudaStreamSynchronize")
        builder.write(run, f"host_{rank}.1700000000000000000.pt.trace.json")
    assert cli._execute(["check", str(run), "--max", "waits=1", "--max", "launches=1"]) == 0
    capsys.readouterr()
    assert cli._execute(["check", str(run), "--max", "waits=0"]) == 1
    assert "host_1" in capsys.readouterr().out
