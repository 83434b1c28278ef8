"""Ctrl-C and SIGTERM end a profiled script as they end the script alone, and windows closed before are kept."""

import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from stallscope import api
from stallscope.traces.read.read import read
from stallscope.traces.runs.runs import or_hidden
from tests.lanes import one_of_a_kind
from tests.scripts.processes import TRAINING, profiled, python, signalled, write
from tests.scripts.recorded import manifest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there"),
]

WINDOWS = {  # and how many steps the last closed timing window then holds
    "full unprofiled": 5,
    "full timing": 5,
    "full attribution": 20,
    "after unprofiled": 20,
}
IN_A_WINDOW = """
    import os, pathlib, sys, time, torch
    from stallscope.profiling.run import session
    model = torch.nn.Linear(4, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(1_000_000):
        opt.zero_grad()
        model(torch.randn(8, 4)).sum().backward()
        opt.step()
        time.sleep(0.001)
        window = session.active()._capture._open
        if window is None or window.phase.value == "warming up": continue
        if f"{window._stage.round} {window._stage.kind}" == sys.argv[1]:
            pathlib.Path("steps.txt").write_text(str(step + 1))
            os.kill(os.getpid(), int(sys.argv[2]))
"""


def ended_in(where, number, folder):
    """Profile a training that sends itself a signal in a window; how it ended, its manifest, the steps it had done."""
    write(folder, IN_A_WINDOW)
    ended = profiled("train.py", where, str(int(number)), cwd=folder)
    assert (ended.code, ended.out) == (-number, "")
    return ended, manifest(folder / "runs" / "train"), int((folder / "steps.txt").read_text())


@pytest.mark.parametrize("where", one_of_a_kind(WINDOWS, "full timing"))
def test_ctrl_c_in_each_window(tmp_path, where):
    """The process ends by the signal, with one sentence; all steps are counted, all windows closed before are read."""
    ended, found, done = ended_in(where, signal.SIGINT, tmp_path)
    traceback, _, said = ended.err.partition("stallscope: ")
    assert (said.count("stallscope: "), said.count("\n")) == (0, 1)
    assert str(Path("runs", "train")) in said
    assert traceback.endswith("\nKeyboardInterrupt\n")
    assert "stallscope/profiling" not in traceback
    run = tmp_path / "runs" / "train"
    assert found.steps.count in (done - 1, done)  # the last may not be known to have ended
    assert (found.complete, found.exit_code) == (True, 1)
    assert api.summarize(run).steps.count == WINDOWS[where]
    assert all(len(read(run / each.trace).events) for each in found.windows if each.trace)
    assert not list(run.glob(".*"))


@pytest.mark.parametrize("where", one_of_a_kind(WINDOWS, "full timing"))
def test_sigterm_in_each_window(tmp_path, where):
    """The process is gone at once, without a word, as under plain python; all windows closed before are read.

    The manifest says that the run is not complete, and so does the summary.
    """
    ended, found, done = ended_in(where, signal.SIGTERM, tmp_path)
    assert ended.err == ""
    run = or_hidden(tmp_path / "runs" / "train")
    assert 17 <= found.steps.count < done  # as of the last window that was closed
    assert (found.complete, found.exit_code) == (False, None)
    summary = api.summarize(run)
    assert summary.steps.count == WINDOWS[where]
    assert [each.name for each in summary.findings][-1] == "ended_early"
    assert all(len(read(run / each.trace).events) for each in found.windows if each.trace)


def test_a_handler_of_the_script_is_left_alone(tmp_path):
    """A script that ends itself on SIGTERM does so, with its own exit code."""
    handler = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(9))\n"
    code, out, _ = signalled(tmp_path, signal.SIGTERM, handler + textwrap.dedent(TRAINING))
    assert (code, out) == (9, "ready\n")


def test_signals_are_pythons_own(tmp_path):
    """Handlers, wake-up descriptor and the functions that tell them are those of plain python, in each step."""
    body = """
    import _signal, signal, torch
    model = torch.nn.Linear(4, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = set()
    for step in range(60):
        model(torch.randn(8, 4)).sum().backward()
        opt.step()
        handlers = tuple(map(_signal.getsignal, sorted(signal.valid_signals())))
        names = "signal", "getsignal", "set_wakeup_fd", "raise_signal", "default_int_handler"
        functions = tuple(getattr(getattr(signal, each), "__module__", None) for each in names)
        seen.add((str(handlers), functions, signal.set_wakeup_fd(-1), signal.signal(15, signal.SIG_DFL)))
    print(len(seen), seen)
    """
    write(tmp_path, body)
    plain, ours = python("train.py", cwd=tmp_path), profiled("train.py", cwd=tmp_path)
    assert ours.out == plain.out != ""


BLOCKED = """
    import ctypes
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(256)
    libc.pthread_mutex_init(mutex, None)
    libc.pthread_mutex_lock(mutex)
    print("ready", flush=True)
    libc.pthread_mutex_lock(mutex)
"""


def test_a_script_that_is_in_a_call_that_does_not_return(tmp_path):
    """Blocked outside of Python, for good (a collective whose ranks are gone): the signal ends it all the same."""
    lines = textwrap.indent(textwrap.dedent(BLOCKED).strip("\n"), " " * 8)
    training = textwrap.dedent(TRAINING).replace("    if step == 400:", f"    if step == 300:\n{lines}\n    if False:")
    began = time.monotonic()
    code, out, err = signalled(tmp_path, signal.SIGTERM, training)
    assert (code, out, err) == (-signal.SIGTERM, "ready\n", "")
    assert time.monotonic() - began < 60  # torch is imported in that time, too
    assert not manifest(tmp_path / "runs" / "train").complete
    assert api.summarize(tmp_path / "runs" / "train").steps.count == 20
