"""Processes that a script starts are left alone, behave as without us, and are listed by kind."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest

from stallscope.profiling.run.children import ChildWatch
from tests.scripts.processes import profiled, python, write
from tests.scripts.recorded import manifest

METHODS = multiprocessing.get_all_start_methods()

TRAINING = """
    import multiprocessing, os, subprocess, sys, torch
    from torch import nn
    model = nn.Linear(4, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    def steps(n):
        for _ in range(n):
            opt.zero_grad(); model(torch.ones(3, 4)).sum().backward(); opt.step()
    def child(queue):
        steps(30)
        queue.put("trained")
    if __name__ == "__main__":
        steps(20)
        for method in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context(method)
            queue = context.SimpleQueue()
            process = context.Process(target=child, args=(queue,))
            process.start(); process.join()
            print(method, queue.get(), process.exitcode)
        data = torch.utils.data.TensorDataset(torch.ones(8, 4))
        for _ in range(2): print(len(list(torch.utils.data.DataLoader(data, 4, num_workers=2))))
        print(subprocess.run([sys.executable, "-c", "print('sub')"], capture_output=True, text=True).stdout)
        try: subprocess.run(["no-such-program-here"])
        except FileNotFoundError as error:
            frame = error.__traceback__
            while frame.tb_next: frame = frame.tb_next; print(os.path.basename(frame.tb_frame.f_code.co_filename))
        steps(20)
"""


@pytest.mark.slow
def test_processes_of_a_script(tmp_path):
    """One process by each start method, 2 × 2 DataLoader workers, a subprocess: stdout as under python, all listed."""
    write(tmp_path, TRAINING)
    plain, ours = python("train.py", cwd=tmp_path), profiled("train.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (0, plain.out), ours.err
    found = manifest(tmp_path / "runs" / "train")
    assert found.steps.count == 40
    assert {each.kind: each.count for each in found.children} == {
        **{f"multiprocessing_{method}": 1 for method in METHODS},
        "dataloader_worker": 4,
        "subprocess": 1,
    }
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["train"]


@pytest.mark.slow
@pytest.mark.full
def test_training_in_children_is_advised_against(tmp_path):
    """A script whose children train has no steps of its own: a sentence says that they are not recorded."""
    body = """
        import torch
        def train(rank):
            model = torch.nn.Linear(2, 2)
            opt = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3): model(torch.ones(1, 2)).sum().backward(); opt.step()
        if __name__ == "__main__":
            torch.multiprocessing.start_processes(train, nprocs=2, start_method="spawn")
            print("done")
    """
    write(tmp_path, body)
    ours = profiled("train.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (0, "done\n"), ours.err
    assert "it started 2 processes by multiprocessing, which are not recorded" in ours.err
    assert "torchrun" in ours.err


@pytest.fixture
def watch():
    """A watch that is taken off again."""
    found = ChildWatch()
    found.install()
    yield found
    found.remove()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks_are_counted_once(watch):
    """``os.fork`` is a fork; one that subprocess makes, for a function to be called in the child, is not."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    subprocess.run([sys.executable, "-c", ""], check=True, preexec_fn=os.getpid)
    assert {each.kind: each.count for each in watch.seen()} == {"fork": 1, "subprocess": 1}


def test_nothing_stays_behind():
    """After ``remove`` the classes are as before, and nothing is counted any more."""
    before = (subprocess.Popen.__init__, multiprocessing.process.BaseProcess.start)
    watch = ChildWatch()
    watch.install()
    assert subprocess.Popen.__init__ is not before[0]
    watch.remove()
    assert (subprocess.Popen.__init__, multiprocessing.process.BaseProcess.start) == before
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert watch.seen() == []
