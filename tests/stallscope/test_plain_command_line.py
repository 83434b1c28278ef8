"""The plainest command line is understood without the parser: it must mean the same, and load less."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stallscope.__main__ import plain_summary
from tests.builders import TraceBuilder


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["summary", "a.json"], ([Path("a.json")], "text")),
        (["summary", "a.json", "--format", "json", "b"], ([Path("a.json"), Path("b")], "json")),
        (["summary", "--format=markdown", "a.json"], ([Path("a.json")], "markdown")),
        (["summary"], None),
        (["summary", "a.json", "--format", "yaml"], None),
        (["summary", "a.json", "--format"], None),
        (["summary", "a.json", "--strict"], None),
        (["summary", "a.json", "-o", "x"], None),
        (["summary", "--help"], None),
        (["summary", "--", "-a.json"], None),
        (["--debug", "summary", "a.json"], None),
        (["compare", "a.json", "b.json"], None),
        ([], None),
    ],
)
def test_which_command_lines_are_plain(words, expected):
    """Paths and a format; everything else is the parser's."""
    assert plain_summary(words) == expected


def run(*words):
    """(exit code, stdout, stderr) of ``python -m stallscope``."""
    done = subprocess.run([sys.executable, "-m", "stallscope", *words], capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_parser_gives_the_same(tmp_path):
    """With ``--max-depth`` at its default the parser is used: the same bytes, and the same sentence for a bad path."""
    path = str(TraceBuilder().step(0, 100).launch(10, 5, kernel=("gemm", 20, 50)).write(tmp_path))
    for words in ([path], [path, "--format", "json"], [str(tmp_path / "nothing")]):
        assert run("summary", *words) == run("summary", *words, "--max-depth", "64")


@pytest.mark.slow
def test_a_plain_summary_loads_nothing_heavy(tmp_path):
    """Neither torch nor pandas, matplotlib, the parser of options or what it stands on."""
    path = str(TraceBuilder().step(0, 100).write(tmp_path))
    heavy = {"torch", "pandas", "matplotlib", "typer", "pydantic", "click", "sklearn", "tensorboard"}
    code = f"import sys, runpy; sys.argv = ['stallscope', 'summary', {path!r}, '--format', 'json']\n"
    code += "try: runpy.run_module('stallscope', run_name='__main__')\n"
    code += f"except SystemExit as end: print(end.code, sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "0 []\n"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_a_plain_summary_starts_no_threads(tmp_path):
    """Numpy's linear algebra starts none, and a child of this process would not see why."""
    path = str(TraceBuilder().step(0, 100).write(tmp_path))
    code = f"import os, sys, runpy; sys.argv = ['stallscope', 'summary', {path!r}]\n"
    code += "try: runpy.run_module('stallscope', run_name='__main__')\n"
    code += "except SystemExit: print(len(os.listdir('/proc/self/task')), os.environ.get('OPENBLAS_NUM_THREADS'), "
    code += "'numpy' in sys.modules, file=sys.stderr)"
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == "1 None True\n"
