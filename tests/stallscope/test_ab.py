"""``stallscope ab``: runs in turn, the answer, and what happens when a side fails, hangs or is no revision."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stallscope import cli, in_turn
from stallscope.analysis.contract.ab import AbRun
from stallscope.traces.model.errors import BadInput
from tests.scripts.processes import write

SCRIPT = """
    import sys, torch
    torch.set_num_threads(1)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(300):
        optimizer.zero_grad()
        loss = model(torch.ones(4, 8)).sum()
        loss.backward()
        optimizer.step()
        if "--read" in sys.argv:
            loss.item()
    print("loss", 1.5)
"""


def run(*words: str) -> int:
    """The exit code of the command."""
    return cli._execute(["ab", *words])


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Runs that take no time: A 100 µs, B 90 µs, C as A, each with a little noise; the runs that were asked for."""
    asked_for: list[tuple[int, int]] = []

    def fake(asked: in_turn.Asked, arm: int, block: int, folder: Path) -> tuple[AbRun, object]:
        del asked
        asked_for.append((arm, block))
        step = (100.0, 90.0, 100.0)[arm] * (1 + 0.001 * ((block + arm) % 3))
        return AbRun(arm=arm, block=block, step_us=step, path=str(folder)), 1.0 + 0.5 * (arm == 1)

    monkeypatch.setattr(in_turn, "_run", fake)
    monkeypatch.setattr(in_turn, "_count", lambda *_: None)
    return asked_for


def test_a_clear_change_is_decided_at_the_first_look(faked: list, capsys: pytest.CaptureFixture[str]) -> None:
    """10 % faster, a noise of 0.1 %: four rounds of two runs, and a sentence that begins with the answer."""
    assert run("train.py", "train.py --fused", "--seed", "3") == 0
    assert len(faked) == 8
    told = capsys.readouterr()
    assert "B is 10 % faster: between -10." in told.out
    assert "4 of at most 20 rounds, each variant once a round in random order (seed 3)" in " ".join(told.out.split())
    assert told.err.count("round ") == 4


def test_each_variant_runs_once_a_round_in_both_orders(faked: list) -> None:
    """AB BA, or BA AB: the second block is the first one's reverse."""
    assert run("a.py", "b.py", "--rounds", "4", "--seed", "1") == 0
    orders = [[arm for arm, block in faked if block == number] for number in range(4)]
    assert orders[1] == orders[0][::-1]
    assert orders[3] == orders[2][::-1]
    assert all(sorted(order) == [0, 1] for order in orders)


@pytest.mark.usefixtures("faked")
def test_more_than_two_are_each_held_against_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    """-L with three values: B is faster, C the same."""
    assert run("train.py --workers {n}", "-L", "n", "0,2,4", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [arm["label"] for arm in found["arms"]] == ["n=0", "n=2", "n=4"]
    assert [one["answer"] for one in found["comparisons"]] == ["faster", "same"]


@pytest.mark.usefixtures("faked")
def test_faster_is_withheld_where_the_result_differs(capsys: pytest.CaptureFixture[str]) -> None:
    """A loss of 1.5 instead of 1.0; with a tolerance of 60 % it is faster again."""
    assert run("a.py", "b.py", "--same-result", "loss", "--fail-if", "changed") == 1
    assert "its result differs: it is not called faster" in " ".join(capsys.readouterr().out.split())
    assert run("a.py", "b.py", "--same-result", "loss", "--rtol", "0.6") == 0
    assert "10 % faster" in capsys.readouterr().out


@pytest.mark.usefixtures("faked")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--fail-if", "slower"), 0),
        (("--fail-if", "changed"), 1),
        (("--fail-if", "cannot-tell"), 0),
        (("--fail-if", "cannot-tell", "--rounds", "2", "--min-effect", "40%"), 0),
    ],
)
def test_exit_codes(words: tuple[str, ...], code: int) -> None:
    """1 where what must not be is; a change within the smallest that matters is the same."""
    assert run("a.py", "b.py", *words) == code


@pytest.mark.usefixtures("faked")
@pytest.mark.parametrize("form", ["markdown", "github"])
def test_other_formats(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A marker for a bot and a table; a workflow command with its percent signs escaped."""
    assert run("a.py", "b.py", "--format", form) == 0
    out = capsys.readouterr().out
    if form == "markdown":
        assert out.startswith("<!-- stallscope-ab -->\n### Stallscope ab\n")
        assert "| B | b.py |" in out
    else:
        assert out.startswith("::notice title=stallscope ab::B is 10 %25 faster")


@pytest.mark.usefixtures("faked")
def test_noise_is_that_of_a_against_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The floor below which nothing can be told on this machine."""
    fake = in_turn._run
    monkeypatch.setattr(in_turn, "_run", lambda asked, arm, *rest: (fake(asked, 2, *rest)[0].__class__(
        arm=arm, block=rest[0], step_us=fake(asked, 2, *rest)[0].step_us, path=""), None))  # fmt: skip
    assert run("train.py", "--noise") == 0
    assert "A against itself: +0.0 %; changes below" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train.py",), "say in one way how the variants differ"),
        (("a.py", "b.py", "--noise"), "say in one way"),
        (("a.py {x}", "-L", "y", "1,2"), "the command has no {y}"),
        (("a.py {x}", "-L", "x", "1"), "give two values"),
        (("a.py", "--env-b", "X"), "is no NAME=VALUE"),
        (("a.py", "b.py", "--rounds", "1"), "--rounds 1"),
        (("a.py", "b.py", "--max-time", "soon"), "--max-time soon"),
        (("a.py", "b.py", "--min-effect", "2"), "--min-effect 2"),
        (("a.py", "b.py", "--fail-if", "never"), "never"),
        (("a.py", "--rev", "main"), "name two revisions"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, before anything runs."""
    assert run(*words) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_real_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two rounds of a script with and without a read in each step: the read is counted, exactly; results are equal."""
    write(tmp_path, SCRIPT)
    monkeypatch.chdir(tmp_path)
    words = ("train.py", "train.py --read", "--rounds", "2", "--same-result", "loss", "--format", "json")
    assert run(*words) == 0
    found = json.loads(capsys.readouterr().out)
    (one,) = found["comparisons"]
    assert {"name": "reads", "before": 0.0, "after": 1.0} in one["counts"]
    assert (one["result"], one["blocks"], found["stopped"]) == ("equal", 2, "rounds")
    assert all(each["step_us"] > 0 for each in found["runs"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "words", "said"),
    [
        ("raise SystemExit('no data')", (), "ended with exit code 1"),
        ("import time; time.sleep(60)", ("--timeout", "2s"), "did not end within 2 s"),
        ("print(1)", (), "nothing was recorded of"),
    ],
)
def test_a_side_that_fails_hangs_or_trains_nothing(
    body: str, words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """One sentence with its command, exit code 2."""
    (tmp_path / "train.py").write_text(body)
    monkeypatch.chdir(tmp_path)
    assert run("train.py", "train.py --b", *words) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def git(folder: Path, *words: str) -> None:
    """Run git with a name of our own."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits of a script, and a change that is not committed."""
    git(tmp_path, "init", "-q", "-b", "main")
    for text in ("print('one')", "print('two')"):
        (tmp_path / "train.py").write_text(text)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", text)
    (tmp_path / "train.py").write_text("print('dirty')")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_revisions_are_run_in_worktrees_that_go_again(repository: Path) -> None:
    """Each side sees its own commit; the working tree, dirty as it is, is not touched; nothing is left behind."""
    with in_turn.worktrees(["HEAD~1", "main"], "train.py") as variants:
        texts = [(each.cwd / "train.py").read_text() for each in variants]
        folders = [each.cwd for each in variants]
        assert in_turn.has_changes()
    assert texts == ["print('one')", "print('two')"]
    assert not any(folder.exists() for folder in folders)
    assert (repository / "train.py").read_text() == "print('dirty')"
    listed = subprocess.run(["git", "worktree", "list"], capture_output=True, text=True, check=True).stdout
    assert len(listed.splitlines()) == 1


@pytest.mark.usefixtures("repository")
def test_a_revision_that_is_not_there() -> None:
    """One sentence that names it; outside a repository another one."""
    with (
        pytest.raises(BadInput, match="--rev nowhere: no such revision"),
        in_turn.worktrees(["main", "nowhere"], "train.py"),
    ):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="the root of a drive")
def test_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is missing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="--rev needs a git repository"), in_turn.worktrees(["a", "b"], "train.py"):
        pass


def test_ctrl_c_keeps_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], faked: list
) -> None:
    """Interrupted in the third round: the answer is of two, and says so."""
    del faked
    fake = in_turn._run

    def stopping(asked: in_turn.Asked, arm: int, block: int, folder: Path) -> tuple[AbRun, object]:
        if block == 2:
            raise KeyboardInterrupt
        return fake(asked, arm, block, folder)

    monkeypatch.setattr(in_turn, "_run", stopping)
    assert run("a.py", "b.py") == 0
    assert "You stopped it; the answer is of the rounds until then." in " ".join(capsys.readouterr().out.split())
