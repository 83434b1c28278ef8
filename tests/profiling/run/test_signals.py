"""Ctrl-C and SIGTERM end a profiled script as they end the script alone, and what was recorded is kept."""

import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from stallscope import api
from tests.profiling.running import TRAINING, events, manifest, profiled, signalled, write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there"),
]


def trained(body):
    """A training that does ``body`` at step 300, when windows are closed, and says "ready" at step 400."""
    lines = textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8)
    return textwrap.dedent(TRAINING).replace(
        "    if step == 400:", f"    if step == 300:\n{lines}\n    if step == 400:"
    )


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", WINDOWS)
def test_in_each_window(tmp_path, where, number):
    """The process ends by the signal, with one sentence; all steps are counted, all windows closed before are read."""
    write(tmp_path, IN_A_WINDOW)
    ended = profiled("train.py", where, str(int(number)), cwd=tmp_path)
    assert (ended.code, ended.out) == (-number, "")
    traceback, _, said = ended.err.partition("stallscope: ")
    assert (said.count("stallscope: "), said.count("\n")) == (0, 1)
    assert traceback.endswith("\nKeyboardInterrupt\n") if number == signal.SIGINT else not traceback
    assert "stallscope/profiling" not in traceback
    assert str(Path("runs", "train")) in said
    run = tmp_path / "runs" / "train"
    found = manifest(run)
    done = int((tmp_path / "steps.txt").read_text())
    assert found.steps.count in (done - 1, done)  # the last may not be known to have ended
    assert (found.complete, found.exit_code) == ((True, 1) if number == signal.SIGINT else (False, None))
    assert api.summarize(run).steps.count == WINDOWS[where]
    assert all(events(run / each.trace) for each in found.windows if each.trace)
    assert not list(run.glob(".*"))


def test_a_handler_of_the_script_is_left_alone(tmp_path):
    """A script that ends itself on SIGTERM does so, with its own exit code."""
    handler = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(9))\n"
    code, out, _ = signalled(tmp_path, signal.SIGTERM, handler + textwrap.dedent(TRAINING))
    assert (code, out) == (9, "ready\n")


CHAINS = {
    "behind its own": ("import signal", "if callable(old): old(*told)\n        sys.exit(9)", 9),
    "in its place": (
        "import signal",
        "if callable(old): old(*told)\n        else: signal.signal(told[0], old); signal.raise_signal(told[0])",
        -signal.SIGTERM,
    ),
    "found by other means": ("import _signal as signal", "if callable(old): old(*told)\n        sys.exit(9)", 9),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_handler_that_calls_the_one_before(tmp_path, name):
    """Alone it finds none, and ends as it wants to: so it does with ours before it, which does not end the process."""
    module, handling, wanted = CHAINS[name]
    body = f"""
    {module}
    def mine(*told):
        {handling}
    old = signal.signal(15, mine)
    """
    code, out, _ = signalled(tmp_path, signal.SIGTERM, trained(body))
    assert (code, out) == (wanted, "ready\n")


def test_nothing_of_ours_is_seen(tmp_path):
    """Handler and wake-up descriptor are those of plain python, whoever asks; errors show no frame of ours."""
    body = """
    import signal, traceback
    print(signal.getsignal(15) is signal.SIG_DFL, signal.signal(15, signal.SIG_DFL) is signal.SIG_DFL)
    print(signal.set_wakeup_fd(-1))
    try: signal.signal(15, "no handler")
    except TypeError: print(traceback.format_exc().count("stallscope"))
    """
    code, out, _ = signalled(tmp_path, signal.SIGTERM, trained(body))
    assert (code, out) == (-signal.SIGTERM, "True True\n-1\n0\nready\n")


BLOCKED = """
    import ctypes
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(256)
    libc.pthread_mutex_init(mutex, None)
    libc.pthread_mutex_lock(mutex)
    print("ready", flush=True)
    libc.pthread_mutex_lock(mutex)
"""


def test_a_script_that_is_in_a_call_that_does_not_return(tmp_path):
    """Blocked outside of Python, for good: gone within seconds, by the signal; what was closed can be read."""
    began = time.monotonic()
    code, out, err = signalled(tmp_path, signal.SIGTERM, trained(BLOCKED))
    assert (code, out) == (-signal.SIGTERM, "ready\n")
    assert err == f"stallscope: ended by SIGTERM; recorded in {Path('runs', 'train')}\n"
    assert time.monotonic() - began < 60  # torch is imported in that time, too
    found = manifest(tmp_path / "runs" / "train")
    assert (found.complete, found.steps.count) == (False, 301)
    assert api.summarize(tmp_path / "runs" / "train").steps.count == 20


def test_before_anything_is_recorded_it_is_pythons_own(tmp_path):
    """The first steps, and what comes before them: no handler of ours, so none that waits for a call to return."""
    body = """
        import _signal, torch
        model = torch.nn.Linear(4, 2)
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(10):
            model(torch.randn(8, 4)).sum().backward()
            opt.step()
            print(_signal.getsignal(15) is _signal.SIG_DFL)
    """
    write(tmp_path, body)
    ended = profiled("train.py", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "True\n" * 10)


def test_children_do_not_wake_us(tmp_path):
    """Forked children die of SIGTERM, also in their first moment, and the parent goes on."""
    body = """
    import os, signal, time
    for pause in (0, 0, 0, 0.1):
        child = os.fork()
        if not child:
            time.sleep(20)
            os._exit(1)
        time.sleep(pause)
        os.kill(child, 15)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    time.sleep(2)
    """
    code, out, err = signalled(tmp_path, signal.SIGTERM, trained(body))
    assert (code, out) == (-signal.SIGTERM, "-15\n" * 4 + "ready\n")
    assert "ended by SIGTERM" in err  # ours is still in place
