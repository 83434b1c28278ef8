"""A script that is forked from the server ends, prints and is recorded as in a process of its own."""

from __future__ import annotations

import re

import pytest

from tests.scripts import forked, processes
from tests.scripts.processes import write
from tests.scripts.recorded import manifest, steps_in, timing_trace

pytestmark = pytest.mark.slow

ABOUT_ITSELF = """
    import atexit, os, pickle, sys, threading, time, warnings
    class Thing: pass
    kept = {"__file__", "__name__", "__doc__", "__package__", "__spec__", "__cached__", "__annotations__"}
    print({name: value for name, value in sorted(globals().items()) if name in kept}, type(__loader__).__name__)
    print(sys.argv, sys.orig_argv, sys.path[:2], os.getcwd(), sorted(os.environ), sys.warnoptions)
    print(sys.stdin.read(), sys.stdout.isatty(), sys.stdout.encoding, sys.stderr.encoding, sys.stdout.line_buffering)
    print(pickle.loads(pickle.dumps(Thing())).__class__ is Thing, threading.current_thread() is threading.main_thread())
    print(len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), sys.getrefcount(Thing))
    atexit.register(lambda: print("at exit"))
    threading.Thread(target=lambda: (time.sleep(0.2), print("the thread ends"))).start()
"""
ENDS = {
    "falls off its end": "",
    "exits with a number": "import sys\nsys.exit(3)",
    "exits with a sentence": "import sys\nsys.exit('a sentence')",
    "raises": "def ends():\n    raise ValueError('one')\ntry:\n    {}[1]\nexcept KeyError:\n    ends()",
    "has its own hook": "import sys\nsys.excepthook = lambda *error: print('hook', error[0].__name__)\n[][0]",
    "is killed": "import os\nos.kill(os.getpid(), 9)",
    "is ended by os._exit": "import os\nos._exit(5)",
    "warns": "import warnings\nwarnings.warn('a warning')\nwarnings.warn('an old one', DeprecationWarning)",
}
TRAINING = """
    import torch
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(60):
        opt.zero_grad()
        loss = model(torch.randn(3, 4)).sum()
        loss.backward()
        opt.step()
        last = loss.item()
    print(last.hex())
"""


def test_what_a_script_finds(tmp_path):
    """Its ``__main__``, arguments, path, folder, environment, streams; its thread and ``atexit`` at the end."""
    argv = ("-W", "ignore::UserWarning", write(tmp_path, ABOUT_ITSELF), "--lr", "0.1")
    ended = [way.python(*argv, cwd=tmp_path, stdin="typed\n") for way in (forked, processes)]
    assert ended[0] == ended[1]
    assert ended[0].out.endswith("the thread ends\nat exit\n"), ended[0]


@pytest.mark.parametrize("name", ENDS)
def test_how_a_script_ends(tmp_path, name):
    """Exit code, stdout, and the traceback to the letter."""
    write(tmp_path, ENDS[name])
    ended = [way.python("train.py", cwd=tmp_path) for way in (forked, processes)]
    assert ended[0] == ended[1]


def test_a_module_and_a_command(tmp_path):
    """``-m`` and ``-c`` as python runs them, a script of one folder called from another one too."""
    (tmp_path / "other").mkdir()
    path = write(tmp_path / "other", "import sys\nprint(__name__, __file__, sys.argv, sys.path[0])\n1 / 0")
    for argv in (("-m", "other.train", "x"), ("-c", "import sys; print(sys.argv, sys.path[0]); 1 / 0", "x"), (path,)):
        ended = [way.python(*argv, cwd=tmp_path) for way in (forked, processes)]
        assert ended[0] == ended[1]
        assert ended[0].code == 1


def test_what_is_recorded(tmp_path):
    """The same steps, windows, call sites with all their lines, and modules; stderr differs in figures alone."""
    told, said = [], []
    for way in (forked, processes):
        write(tmp_path, TRAINING)
        ended = way.profiled("train.py", cwd=tmp_path, options=("--name", way.__name__))
        found = manifest(tmp_path / "runs" / way.__name__)
        windows = [(each.kind, each.round, each.first_step, each.steps, each.detail) for each in found.windows]
        names = [step["name"] for step in steps_in(timing_trace(tmp_path / "runs" / way.__name__, "short"))]
        told.append((ended.code, ended.out, found.steps, windows, found.call_sites, found.modules, names))
        said.append(re.sub(r"\d+ steps of|tests\.scripts\.\w+", "", ended.err))
    assert told[0] == told[1]
    assert told[0][4]
    assert said[0] == said[1]


def test_children_do_not_share_what_they_change(tmp_path):
    """What one script does to a module, the next does not see; their random numbers differ."""
    text = "import random, sys, numpy\nprint(hasattr(sys, 'left'), random.random(), numpy.random.rand())\nsys.left = 1"
    ended = [forked.python("-c", text, cwd=tmp_path) for _ in range(2)]
    assert [each.code for each in ended] == [0, 0]
    assert [each.out.split()[0] for each in ended] == ["False", "False"]
    assert not set(ended[0].out.split()[1:]) & set(ended[1].out.split()[1:])


def test_without_fork_it_is_a_process_of_its_own(tmp_path, monkeypatch):
    """As on Windows, or where STALLSCOPE_TESTS_FORK=0 says so: torch is not there yet."""
    monkeypatch.setattr(forked, "CAN_FORK", False)
    ended = forked.python("-c", "import sys; print('torch' in sys.modules)", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "False\n")
