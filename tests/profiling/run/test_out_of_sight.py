"""What a script could see of us: modules, threads, descriptors, words on stderr."""

import sys
from pathlib import Path

import pytest

from tests.scripts.processes import python, write

pytestmark = pytest.mark.slow

TRAINING = """
import os, sys, threading, time, torch
torch.manual_seed(0)
model = torch.nn.Linear(8, 8)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
def train(steps):
    for _ in range(steps):
        opt.zero_grad()
        model(torch.randn(16, 8)).square().mean().backward()
        opt.step()
"""
LOADED = """
import sys
foreign = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(sorted(name for name in foreign if not name.startswith(("stallscope", "__", "_sysconfigdata"))))
"""
NAMES = ("msgspec", "typer", "rich", "click", "pydantic", "shellingham", "annotated_types")
SHADOWED = f"""
import {", ".join(NAMES)}
print([module.__file__.startswith(sys.path[0]) for module in ({", ".join(NAMES)})])
train(60)
import atexit
atexit.register(lambda: print([sys.modules[name].mine for name in {NAMES}]))
"""


def alike(folder: Path, text: str) -> str:
    """What a script prints, which is the same without us; our words on stderr."""
    write(folder, text)
    plain = python("train.py", cwd=folder)
    ours = python("-m", "stallscope", "profile", "train.py", cwd=folder)
    assert (ours.code, ours.out) == (plain.code, plain.out)
    assert ours.code == 0, ours.err
    return ours.err


def test_nothing_is_loaded_before_the_script(tmp_path):
    """Outside the standard library no module is there that plain python would not have: numpy reads the environment."""
    alike(tmp_path, LOADED)


def test_modules_beside_the_script_come_first(tmp_path):
    """Files named like what we use are what the script imports, to its very end; its summary is made all the same."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("mine = True\n")
    said = alike(tmp_path, TRAINING + SHADOWED)
    assert "Steps       5 steps" in said
    assert "failed" not in said


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_threads_of_ours_take_no_signal(tmp_path):
    """A thread more than under plain python has all signals blocked that can be: what the script blocks stays so."""
    asked = """
import signal
torch.set_num_threads(1)
open_to = lambda: {
    task.name for task in __import__("pathlib").Path("/proc/self/task").iterdir()
    if not int((task / "status").read_text().split("SigBlk:")[1].split()[0], 16) >> (signal.SIGTERM - 1) & 1
}
train(60)
print(len(open_to()))
"""
    alike(tmp_path, TRAINING + asked)


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors as Unix has them")
def test_a_file_in_the_place_of_stderr_gets_no_word_of_ours(tmp_path):
    """The script closes descriptor 2 and opens a file, which gets that number: it holds what the script wrote."""
    alike(
        tmp_path, TRAINING + 'train(60)\nos.close(2)\nfile = open("own.txt", "w")\nfile.write("mine")\nfile.flush()\n'
    )
    assert (tmp_path / "own.txt").read_text() == "mine"


def test_a_recording_on_another_thread_says_nothing_of_its_own(tmp_path):
    """Every line on stderr before the summary is under our name, kineto's word on threads is not among them."""
    said = alike(
        tmp_path, TRAINING + "thread = threading.Thread(target=train, args=(100,))\nthread.start()\nthread.join()\n"
    )
    head = said.partition("\n\nStallscope summary")[0]
    assert "recorded in" in head
    assert all(line.startswith("stallscope: ") for line in head.splitlines())
