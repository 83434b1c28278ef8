"""README and docs: every command shown works, transcripts are what the program prints, names and links exist."""

from __future__ import annotations

import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stallscope import cli
from tests import ROOT
from tests.house.documents import Page, anchors, page, pages
from tests.lanes import LEFT_OUT

README = page("README.md")
PAGES = pages()

# Commands that other tests, or the machinery that runs the tests, carry out; each with where.
ELSEWHERE = {
    "python3 -m venv .venv": "Makefile, target .created: every run of the tests begins so",
    '.venv/bin/python -m pip install -c constraints.txt -e ".[dev]"': "Makefile, target .installed-dev",
    "python3 -m pip install .": "tests/house/test_packaging.py installs the wheel",
    "tensorboard --logdir runs": "tests/stallscope/test_tensorboard.py",
    "stallscope ab 'train.py --lr 0.1' 'train.py --lr 0.2' --rounds 2": "tests/stallscope/test_ab.py: four recordings",
    "make check": ".ci/run",
    "make test": ".ci/run",
}

TRAIN = """
import argparse
import torch
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
model = torch.nn.Linear(4, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=parser.parse_args().lr)
for _ in range(600):
    optimizer.zero_grad()
    loss = model(torch.ones(8, 4)).square().mean()
    loss.backward()
    optimizer.step()
print("done")
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a train.py, and two runs of it."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "train.py").write_text(TRAIN)
    for _ in range(2):
        _stallscope(["profile", "--plan", "quick", "train.py", "--lr", "0.1"], folder)
    return folder


def _of_lane(page: Page):
    """The README in each lane, the other pages in that of everything."""
    return pytest.param(page, id=page.name, marks=[] if page.name == "README.md" else [pytest.mark.full])


@pytest.mark.slow
@pytest.mark.parametrize("shown", [_of_lane(each) for each in PAGES if each.commands])
def test_every_command_shown_works(shown: Page, recorded: Path, tmp_path: Path) -> None:
    """With a train.py and two runs of it the commands run in the order in which they are shown, with exit code 0."""
    folder = tmp_path / "work"
    shutil.copytree(recorded, folder)
    if shown is README:  # it begins where nothing has been recorded yet
        shutil.rmtree(folder / "runs")
    for command in shown.commands:
        if command in ELSEWHERE:
            continue
        program, *arguments = shlex.split(command)
        assert program == "stallscope", f"{command}: no test runs this"
        if shown is README and command.startswith("stallscope compare"):  # the second run that it names
            _stallscope(["profile", "train.py", "--lr", "0.1"], folder)
        _stallscope(arguments, folder)


def test_the_readme_shows_the_main_commands() -> None:
    """Ten of its commands are run; what else it shows is run elsewhere."""
    assert len([command for command in README.commands if command not in ELSEWHERE]) == 10


def _stallscope(arguments: list[str], folder: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "stallscope", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, (arguments, result.stderr)


def test_the_sample_transcript_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The summary shown is the program's own output on the sample in the repository, to the letter."""
    (shown,) = [text for text in README.blocks("console") if "traces/samples" in text]
    command, _, transcript = shown.partition("\n")
    arguments = shlex.split(command)[2:]
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        assert cli._execute(arguments) == 0
    finally:
        os.chdir(here)
    printed = capsys.readouterr().out
    assert len(transcript.splitlines()) > 20
    assert transcript.strip() in printed


@pytest.mark.slow
def test_the_example_around_a_loop_runs(tmp_path: Path) -> None:
    """It trains, and prints where it was recorded and the verdict."""
    example, _ = page("docs/reference.md").blocks("python")
    ended = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(f"{Path('runs', 'linear')} This run used no GPU."), ended.stderr


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of Python works on a folder runs/train and a file trace.json.gz."""
    _, example = page("docs/reference.md").blocks("python")
    (tmp_path / "runs" / "train").mkdir(parents=True)
    (sample,) = (ROOT / "traces" / "samples").glob("iris_mlp_simulated*.gz")
    shutil.copy(sample, tmp_path / "runs" / "train" / "host_1.1775082150000000000.pt.trace.json.gz")
    shutil.copy(sample, tmp_path / "trace.json.gz")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "reference.md", "exec"), {})  # noqa: S102 - our own example


def _options(command: str) -> dict[str, object]:
    """The options of a command, and their defaults."""
    parameters = cli.command(command).params
    return {name: each.default for each in parameters for name in (*each.opts, *each.secondary_opts)}


def test_the_options_in_the_table_exist() -> None:
    """Each option of the `profile` table is one of `stallscope profile`, with the default shown."""
    table = page("docs/recording.md").text.split("| option | |")[1].split("\n\n")[0]
    shown = re.findall(r"`(--[\w-]+)(?: (\w+))?`", table)
    assert len(shown) >= 7
    for option, default in shown:
        assert option in _options("profile"), option
        if default and not default.isupper():
            assert str(_options("profile")[option]) == default, option


@pytest.mark.parametrize("shown", PAGES, ids=lambda each: each.name)
def test_commands_within_sentences_exist(shown: Page) -> None:
    """A command of ours has the options that are named with it, a module that is run exists, make knows its targets."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in [code.split() for code in shown.code]:
        if words[0] == "stallscope" and len(words) > 1 and words[1].islower():
            assert set(re.findall(r"(?<= )--[\w-]+", " ".join(words))) <= {*_options(words[1]), "--help"}, words
        elif words[:2] == ["python", "-m"] and words[2].startswith("tests."):
            path = ROOT.joinpath(*words[2].split("."))
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), words
        elif words[0] == "make" and len(words) > 1:
            assert words[1] in targets, words


@pytest.mark.parametrize("shown", PAGES, ids=lambda each: each.name)
def test_files_and_folders_that_are_named_exist(shown: Page) -> None:
    """What is written as a path below the checkout is there, and so is a module that is named with dots."""
    paths = re.findall(
        r"(?<![\w./-])((?:traces|profiling|analysis|stallscope|tests|docs|\.ci)/[\w./-]*\w|[A-Z]+\.md)(?![\w/*<{])",
        re.sub(r"```(console|python).*?```", "", shown.text, flags=re.DOTALL),
    )
    missing = [path for path in paths if not (ROOT / path).exists() and not (shown.path.parent / path).exists()]
    assert missing == []
    dotted = [code for code in shown.code if re.fullmatch(r"stallscope(\.\w+){2,}", code)]
    assert [name for name in dotted if pkgutil.resolve_name(name) is None] == []


@pytest.mark.parametrize("shown", PAGES, ids=lambda each: each.name)
def test_links_lead_somewhere(shown: Page) -> None:
    """A link leads to a file that exists, its heading is one of that page, and code that it names is defined there."""
    for words, target in shown.links:
        file, _, heading = target.partition("#")
        path = (shown.path.parent / file).resolve() if file else shown.path
        assert path.exists(), target
        if heading:
            assert heading in anchors(path.read_text(encoding="utf-8")), target
        if path.suffix == ".py" and re.fullmatch(r"`\w+`", words):
            defined = rf"^ *(?:(?:async )?def|class) {words[1:-1]}\b|^ *{words[1:-1]}(?:: [^=]+)? = "
            assert re.search(defined, path.read_text(encoding="utf-8"), re.MULTILINE), (words, target)


def test_make_runs_what_the_table_says() -> None:
    """`make demo` and `make test` are the commands beside them."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    for target, command in (("demo", "stallscope demo iris-mlp --quick"), ("test", "python -m pytest")):
        assert f"| `make {target}` | `.venv/bin/{command}" in README.text
        shown = subprocess.run([make, "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert f".venv/bin/{command}" in shown
    assert '-m "not full' in shown
    assert '-m pytest -m "not full"` |' in README.text


def test_the_short_lane_is_that_of_the_makefile() -> None:
    """`make test` leaves out the marks that `tests.lanes` says, and no other."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (chosen,) = re.findall(r"^test: .*\n.* -m \"([^\"]*)\"", makefile, re.MULTILINE)
    assert chosen == " and ".join(f"not {name}" for name in LEFT_OUT)


@pytest.mark.parametrize("shown", PAGES, ids=lambda each: each.name)
def test_no_placeholder_is_left(shown: Page) -> None:
    """Nothing of the form @WORD@ waits to be filled in."""
    assert re.findall(r"@[A-Z]+@", shown.text) == []


@pytest.mark.parametrize("shown", PAGES, ids=lambda each: each.name)
def test_lines_are_short(shown: Page) -> None:
    """A line of prose has at most 120 characters (a row of a table cannot be broken)."""
    assert [line for line in shown.text.splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_no_machine_paths_in_tracked_files() -> None:
    """Nothing in the repository names a folder of the machine it was written on."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    pattern = "(^|[^A-Za-z])/" + "(work|farm)/"
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
