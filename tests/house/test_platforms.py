"""The wrapper needs nothing that is missing on Windows or macOS.

Neither system was tried: what these tests hold is that no module that only POSIX has is imported where a module is
loaded, and that everything loads, finds its steps and ends where such modules and functions are hidden.
"""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests import ROOT

FOLDERS = ("profiling", "traces", "analysis", "stallscope")
SOURCES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
    if not any(part.is_symlink() for part in path.parents) and "workloads" not in path.parts
)
POSIX_ONLY = {
    *("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "crypt", "nis", "spwd", "posix"),
    *("readline", "curses", "ossaudiodev", "_posixsubprocess", "_posixshmem"),
}
POSIX_FUNCTIONS = {"fork", "register_at_fork", "sched_getaffinity", "getuid", "kill", "waitpid", "killpg", "uname"}
POSIX_SIGNALS = {"SIGKILL", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGXFSZ", "SIGPIPE", "SIGCHLD"}


def at_import(tree):
    """The nodes that run when a module is loaded: all but the bodies of functions."""
    waiting = list(ast.iter_child_nodes(tree))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def posix_at_import(source):
    """What only POSIX has and a module takes when it is loaded: modules, functions of ``os``, signals."""
    found = set()
    for node in at_import(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names} & POSIX_ONLY
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").partition(".")[0]} & POSIX_ONLY
            taken = {each.name for each in node.names}
            found |= taken & (POSIX_FUNCTIONS if node.module == "os" else set())
            found |= taken & (POSIX_SIGNALS if node.module == "signal" else set())
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found |= {node.attr} & {"os": POSIX_FUNCTIONS, "signal": POSIX_SIGNALS}.get(node.value.id, set())
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_posix_is_taken_when_a_module_is_loaded(path):
    """No module of POSIX alone is imported, and no function or signal of it touched, outside of a function."""
    assert posix_at_import(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import fcntl", {"fcntl"}),
        ("if True:\n    from resource import getrlimit", {"resource"}),
        ("import os\nclass A:\n    x = os.fork", {"fork"}),
        ("from signal import SIGKILL, SIGTERM", {"SIGKILL"}),
        ("def f():\n    import fcntl", set()),
        ("import os, signal\nx = os.getpid(), signal.SIGTERM", set()),
    ],
)
def test_the_check_itself(source, found):
    """The check sees an import behind a condition and in a class, and lets functions alone."""
    assert posix_at_import(source) == found


HIDE = f"""
import os, signal, sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in {POSIX_ONLY - {"posix", "_posixsubprocess"}!r}:
            raise ModuleNotFoundError(f"hidden: {{name}}", name=name)
import socket, subprocess, multiprocessing, multiprocessing.util, threading, tempfile, random, numpy
"""
TAKE_AWAY = f"""
for name in {sorted(POSIX_ONLY - {"posix", "_posixsubprocess"})!r}: sys.modules.pop(name, None)
sys.meta_path.insert(0, Hidden())
for name in {sorted(POSIX_FUNCTIONS - {"kill", "waitpid"})!r}:
    if hasattr(os, name): delattr(os, name)
for name in {sorted(POSIX_SIGNALS)!r}:
    if hasattr(signal, name): delattr(signal, name)
"""


@pytest.mark.slow
def test_every_module_loads_without_them():
    """Each module of ours can be imported where they are hidden (torch and other libraries are loaded before)."""
    names = [
        ".".join((*(("stallscope",) if path.parts[len(ROOT.parts)] != "stallscope" else ()), *parts))
        for path in SOURCES
        for parts in [path.relative_to(ROOT).with_suffix("").parts]
        if parts[-1] not in ("__init__", "__main__")
    ]
    libraries = "import msgspec, typer, rich.console, sklearn.datasets, torch, torch.distributed, tensorboard\n"
    code = HIDE + libraries + TAKE_AWAY + f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n"
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(names) > 100


@pytest.mark.slow
@pytest.mark.full
def test_a_script_is_recorded_without_them(tmp_path):
    """A whole run where they are hidden: the script's output, a trace, and its summary."""
    (tmp_path / "train.py").write_text(
        "import torch\nmodel = torch.nn.Linear(4, 2)\nopt = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "for _ in range(40):\n    opt.zero_grad(); model(torch.ones(3, 4)).sum().backward(); opt.step()\n"
        "print('done')\n"
    )
    run = "from stallscope import cli\ncli.main(['profile', 'train.py'])\n"
    code = HIDE + "import torch\n" + TAKE_AWAY + run
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
    assert "40 steps; recorded in" in ended.stderr
    assert "Stallscope summary" in ended.stderr
