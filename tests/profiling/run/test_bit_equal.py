"""Twelve kinds of training give the same bits with and without us: nine here, DDP in ``test_ranks.py``, two libraries.

Losses, final weights, random states, stdout, files and exit code; under ``torch.compile`` as many graphs. The
two libraries (Lightning, Transformers) are in ``test_frameworks.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lanes import one_of_a_kind
from tests.scripts import forked, processes, trainings
from tests.scripts.processes import Ended, write
from tests.scripts.recorded import manifest

pytestmark = pytest.mark.slow

IN_SHORT = ("mlp", "amp", "compile")  # what most trainings have, what is rounded, what is compiled


def files(folder):
    """Everything below a folder but run folders, by path."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("runs/")}


@dataclass(frozen=True)
class Run:
    """How a training ended without us and with us, and where each left its files."""

    name: str
    plain: Ended
    ours: Ended
    folder: Path

    @property
    def plain_files(self):
        """Without us."""
        return files(self.folder / "plain")

    @property
    def our_files(self):
        """With us, the recording left out."""
        return files(self.folder / "ours")


def both_ways(name, folder, python, profiled):
    """A training without us and with us, each in a folder of its own."""
    ended = {}
    for how, run_it in (("plain", python), ("ours", profiled)):
        (folder / how).mkdir()
        write(folder / how, trainings.text(name), f"{name}.py")
        ended[how] = run_it(f"{name}.py", cwd=folder / how)
    return Run(name, ended["plain"], ended["ours"], folder)


@pytest.fixture(scope="module", params=one_of_a_kind(trainings.BODIES, *IN_SHORT))
def run(request, tmp_path_factory):
    """Each of the nine, forked."""
    return both_ways(request.param, tmp_path_factory.mktemp("bits"), forked.python, forked.profiled)


def test_the_same_bits(run):
    """Every line of stdout (losses, weights, random states, graph counts), the exit code, the file of weights."""
    assert run.plain.out.count("\n") >= 3
    assert (run.ours.code, run.ours.out) == (run.plain.code, run.plain.out) == (len(run.name), run.plain.out)
    weights = f"{run.name}.weights"
    assert run.our_files[weights] == run.plain_files[weights]


def test_the_same_files(run):
    """The script and its weights, and nothing else: no file more, none less, no byte another."""
    assert run.our_files == run.plain_files
    assert sorted(run.plain_files) == [f"{run.name}.py", f"{run.name}.weights"]


def test_every_window_was_open(run):
    """The bits are equal although each kind of window was recorded while the training ran."""
    kinds = {each.kind for each in manifest(run.folder / "ours" / "runs" / run.name).windows}
    assert kinds == {"unprofiled", "timing", "attribution"}, run.ours.err


@pytest.mark.parametrize("name", one_of_a_kind(IN_SHORT, "mlp"))
def test_the_same_bits_on_the_command_line(tmp_path, name):
    """``python -m stallscope profile`` in a process of its own: stdout, exit code, files; stderr but for ours."""
    run = both_ways(name, tmp_path, processes.python, processes.profiled)
    test_the_same_bits(run)
    test_the_same_files(run)
    test_every_window_was_open(run)
    said = [line for line in run.ours.err.splitlines() if not line.startswith("stallscope: ")]
    assert said == run.plain.err.splitlines()


@pytest.mark.full
def test_the_same_bits_of_several_in_one_process(tmp_path):
    """One training after the other: what the first leaves in torch does not change the next."""
    names = list(IN_SHORT)
    alone = [both_ways(name, _made(tmp_path / name), forked.python, forked.python).plain.out for name in names]
    scripts = [write(_made(tmp_path / "ours" / name), trainings.text(name), f"{name}.py") for name in names]
    watched = forked.run_many(*scripts, cwd=tmp_path)
    assert (watched.code, watched.out) == (0, "".join(alone)), watched.err


def _made(folder):
    folder.mkdir(parents=True)
    return folder
