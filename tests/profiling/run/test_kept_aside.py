"""The default log folder, where there is none yet: it is made once the script has ended, who may make its own."""

import os
import signal
import sys

import pytest

from stallscope import api
from stallscope.traces.model.errors import BadInput
from stallscope.traces.runs.runs import RECORDING
from tests.scripts.processes import profiled, python
from tests.scripts.recorded import manifest
from tests.scripts.tiny import script

pytestmark = pytest.mark.slow


def test_the_script_makes_that_folder_itself(tmp_path):
    """`os.makedirs("runs")` after training succeeds, it sees what plain python shows; the run is in it afterwards."""
    body = 'for _ in range(60): step()\nprint(os.path.exists("runs"))\nos.makedirs("runs")\nprint(os.listdir("runs"))'
    script(tmp_path, body)
    ours = profiled("train.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (0, "False\n[]\n")
    assert str(tmp_path / "runs" / "train").endswith(ours.err.rpartition("recorded in ")[2].strip())
    assert manifest(tmp_path / "runs" / "train").complete
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "train.py"]
    (tmp_path / "runs" / "train").rename(tmp_path / "kept")
    (tmp_path / "runs").rmdir()
    assert python("train.py", cwd=tmp_path).out == ours.out


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_os_exit_is_told(tmp_path):
    """The exit code is the script's; the run is in its place, can be read, and one line says where."""
    script(tmp_path, "for _ in range(60): step()\nif os.fork() == 0: os._exit(0)\nos.wait()\nos._exit(7)")
    ours = profiled("train.py", cwd=tmp_path)
    assert ours.code == 7
    assert ours.err.splitlines() == [
        f"stallscope: the script ended by os._exit: 60 steps; recorded in {os.path.join('runs', 'train')}"  # noqa: PTH118
    ]
    assert api.summarize(tmp_path / "runs" / "train").steps.count == 5
    assert not (tmp_path / RECORDING).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="ends by a signal")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_run_that_was_killed_is_found_by_its_name(tmp_path, number):
    """Its files stay where they were recorded, and `summary runs/train` reads them; another name finds nothing."""
    script(tmp_path, f"for _ in range(60): step()\nos.kill(os.getpid(), {int(number)})")
    assert profiled("train.py", cwd=tmp_path).code == -number
    assert not (tmp_path / "runs").exists()
    assert api.summarize(tmp_path / "runs" / "train").steps.count == 5
    with pytest.raises(BadInput):
        api.summarize(tmp_path / "rnus" / "train")


def test_two_runs_at_once_never_mix(tmp_path):
    """One that is killed leaves its files aside; the next one of the name gets a folder of its own, and keeps it."""
    script(tmp_path, "for _ in range(60): step()\nif len(sys.argv) > 1: os.kill(os.getpid(), 9)")
    profiled("train.py", "die", cwd=tmp_path)
    assert profiled("train.py", cwd=tmp_path).code == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["train"]
    assert [path.name for path in (tmp_path / RECORDING / "runs").iterdir()] == ["train"]
