"""Whose line a call site names: the user's, through helpers, frameworks and libraries."""

import sys
import types
from pathlib import Path

import pytest

from tests.profiling.marking import run_marked, script

pytestmark = pytest.mark.slow


def module(folder: Path, name: str, text: str):
    """Execute ``text`` as a module of that name from a file in ``folder``; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = script(folder, text, f"{name}.py")
    made = types.ModuleType(name)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), made.__dict__)  # noqa: S102 - the test's own text
    return made


READS = """
    def read(tensor):
        return tensor.item()

    def call(function, *args):
        return function(*args)
"""


def test_libraries_and_frameworks_are_stepped_over(tmp_path, monkeypatch):
    """A library and a framework read and call back: only the script's and its own helper's lines are the site's."""
    library = module(tmp_path / "lib" / "site-packages", "metrics", READS)
    framework = module(tmp_path, "lightning", READS)
    helper = module(tmp_path / "deep" / "er", "helper", READS)
    for each in (library, framework, helper):
        monkeypatch.setitem(sys.modules, f"site_{each.__name__}", each)
    text = """
        from site_metrics import read as library_read, call as library_call
        from site_lightning import read as framework_read, call as framework_call
        from site_helper import read as helper_read
        x = torch.ones(1)
        library_read(x)
        framework_read(x)
        framework_call(helper_read, x)
        library_call(lambda: x.item())
        sorted([x, x], key=lambda each: float(each))
    """
    marked = run_marked(tmp_path, text)
    chains = [[(Path(frame.file).name, frame.line) for frame in each.frames][:2] for each in marked.marks.call_sites]
    assert [[entry for entry in chain if entry[0].startswith(("train", "helper"))] for chain in chains] == [
        [("train.py", 5)],
        [("train.py", 6)],
        [("helper.py", 2), ("train.py", 7)],
        [("train.py", 8), ("train.py", 8)],
        [("train.py", 9), ("train.py", 9)],
    ]
    assert [each.frames[0].function for each in marked.marks.call_sites][2:4] == ["read", "<lambda>"]


def test_a_virtual_environment_in_the_scripts_folder_is_not_the_users(tmp_path, monkeypatch):
    """Below the script's own folder, what lies in site-packages is a library; a script in site-packages is a script."""
    from stallscope.profiling.mark.usercode import UserCode

    home = tmp_path / "project"
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(home / "train.py"), raising=False)
    user = UserCode()
    answers = {
        str(home / "train.py"): True,
        str(home / "models" / "net.py"): True,
        str(home / ".venv" / "lib" / "site-packages" / "timm" / "net.py"): False,
        str(tmp_path / "elsewhere" / "helper.py"): True,
        str(Path(types.__file__)): False,
        "<frozen runpy>": False,
        "<stdin>": True,
    }
    assert {path: user._owns(path, "__main__" if path[0] == "<" else "m") for path in answers} == answers
    installed = tmp_path / "site-packages" / "mytrainer"
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(installed / "run.py"))
    user = UserCode()
    assert user._owns(str(installed / "data.py"), "mytrainer.data")
    assert not user._owns(str(tmp_path / "site-packages" / "other" / "data.py"), "other.data")


def test_a_synchronize_of_the_scripts_is_a_site_and_one_of_ours_is_not(tmp_path, monkeypatch):
    """``torch.cuda.synchronize`` ends in one private function: from the script it is marked, from the recording not."""
    import torch

    calls = []

    def synchronize():
        calls.append(1)

    monkeypatch.setattr(torch._C, "_cuda_synchronize", synchronize, raising=False)
    before = "from stallscope.profiling.machine.device import Accelerator\nfrom types import SimpleNamespace"
    text = """
        torch._C._cuda_synchronize()
        Accelerator("cuda", SimpleNamespace(synchronize=torch._C._cuda_synchronize)).synchronize()
    """
    marked = run_marked(tmp_path, text, before=before)
    found = [(each.kind, marked.chain(each), each.would_synchronize) for each in marked.marks.call_sites]
    assert (found, len(calls)) == ([("cuda.synchronize", [1], True)], 2)
    assert torch._C._cuda_synchronize is synchronize
