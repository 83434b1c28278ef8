"""Twelve kinds of training give the same bits with and without us: nine here, DDP in ``test_ranks.py``, two libraries.

Losses, final weights, random states, stdout, files and exit code; under ``torch.compile`` as many graphs. Several
scripts share a process, one for the plain runs and one for the recorded ones: importing torch costs more than they do.
The two libraries (Lightning, Transformers) are in ``test_frameworks.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts import processes, trainings
from tests.scripts.forked import python, run_many
from tests.scripts.processes import write
from tests.scripts.recorded import manifest

pytestmark = pytest.mark.slow

MARK = "--- "
PLAIN = """
    import pathlib, runpy, sys
    for path in sys.argv[1:]:
        print("--- " + pathlib.Path(path).stem, flush=True)
        sys.argv = [path]
        try:
            runpy.run_path(path, run_name="__main__")
            code = 0
        except SystemExit as error:
            code = error.code
        print("exit code", code, flush=True)
"""


def scripts(folder, names):
    """The scripts of the trainings ``names`` in a folder of their own, with a first line that says which it is."""
    folder.mkdir()
    return [write(folder, f'print("{MARK}{name}")\n' + trainings.text(name), f"{name}.py") for name in names]


def parts(out):
    """What each training printed."""
    return {part.partition("\n")[0]: part for part in out.split(MARK)[1:]}


def files(folder):
    """Everything below a folder but run folders, by path."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("runs/")}


def both(folder, names):
    """What the trainings ``names`` print and write without us and with us, and the outcomes of the latter."""
    plain, ours = folder / "plain", folder / "ours"
    driver = write(folder, PLAIN.replace('print("--- " + pathlib.Path(path).stem, flush=True)', "pass"), "plain.py")
    alone = python(driver, *scripts(plain, names), cwd=folder)
    assert alone.code == 0, alone.err
    watched = run_many(*scripts(ours, names), cwd=folder)
    assert watched.code == 0, watched.err
    outcomes = json.loads((folder / "out.json").read_text())
    said = {name: part + f"exit code {outcomes[name]['exit_code']}\n" for name, part in parts(watched.out).items()}
    return parts(alone.out), said, files(plain), files(ours), outcomes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All nine, in two processes."""
    return both(tmp_path_factory.mktemp("bits"), list(trainings.BODIES))


@pytest.mark.parametrize("name", trainings.BODIES)
def test_the_same_bits(run, name):
    """Every line of stdout (losses, weights, random states, graph counts), the exit code, the file of weights."""
    plain, ours, plain_files, our_files, _ = run
    assert plain[name].count("\n") >= 5
    assert f"exit code {len(name)}\n" in plain[name]
    assert ours[name] == plain[name]
    assert our_files[f"{name}.weights"] == plain_files[f"{name}.weights"]


def test_the_same_files(run):
    """The scripts and their weights, and nothing else: no file more, none less, no byte another."""
    _, _, plain_files, our_files, _ = run
    assert our_files == plain_files
    assert sorted(plain_files) == sorted(f"{name}{kind}" for name in trainings.BODIES for kind in (".py", ".weights"))


@pytest.mark.parametrize("name", ["mlp", "amp", "compile"])
def test_the_same_bits_on_the_command_line(tmp_path, name):
    """``python -m stallscope profile`` in a process of its own: stdout, exit code, files; stderr but for ours."""
    ended = {}
    for how, run_it in (("plain", processes.python), ("ours", processes.profiled)):
        (folder := tmp_path / how).mkdir()
        write(folder, trainings.text(name), f"{name}.py")
        ended[how] = run_it(f"{name}.py", cwd=folder)
    plain, ours = ended["plain"], ended["ours"]
    assert (ours.code, ours.out) == (plain.code, plain.out) == (len(name), plain.out)
    assert plain.out.count("\n") >= 3
    assert files(tmp_path / "ours") == files(tmp_path / "plain")
    assert sorted(files(tmp_path / "plain")) == [f"{name}.py", f"{name}.weights"]
    assert [line for line in ours.err.splitlines() if not line.startswith("stallscope: ")] == plain.err.splitlines()
    kinds = {each.kind for each in manifest(tmp_path / "ours" / "runs" / name).windows}
    assert kinds == {"unprofiled", "timing", "attribution"}


@pytest.mark.parametrize("name", trainings.BODIES)
def test_every_window_was_open(run, name):
    """The bits are equal although each kind of window was recorded while the training ran."""
    outcome = run[4][name]
    kinds = {each.kind for each in manifest(Path(outcome["folder"])).windows}
    assert kinds == {"unprofiled", "timing", "attribution"}, outcome["messages"]
