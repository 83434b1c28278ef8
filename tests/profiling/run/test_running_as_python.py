"""A profiled script sees and does what it sees and does under plain python. No torch in most of these scripts."""

import os
import subprocess
import sys
import textwrap
import zipfile

import pytest

from tests.lanes import one_of_a_kind
from tests.scripts.processes import ENVIRONMENT, PROFILE, TIMEOUT, profiled, python, write

pytestmark = pytest.mark.slow

PROBE = """
    import sys, atexit, pickle, inspect, os, re
    class Thing:
        pass
    def show(*what):
        print(*(re.sub("0x[0-9a-f]+", "0x", str(each)) for each in what), flush=True)
    main = sys.modules["__main__"]
    hidden = ("__loader__", "__builtins__")
    show({k: type(v).__name__ if k in hidden else v for k, v in vars(main).items() if k.startswith("__")})
    show(sys.argv, sys.path[0], __name__, __package__, __doc__, type(__builtins__), sys._getframe().f_code.co_filename)
    show(pickle.loads(pickle.dumps(Thing())).__class__ is Thing, inspect.getsource(Thing))
    show(sys.stdin.read(), main.__dict__ is globals(), "KINETO_LOG_LEVEL" in os.environ)
    def at_exit():
        show("exit", pickle.loads(pickle.dumps(Thing())).__class__ is Thing, sorted(vars(main)))
    atexit.register(at_exit)
"""


def both(tmp_path, *argv, stdin="", options=()):
    """The same command line under plain python and profiled."""
    return python(*argv, cwd=tmp_path, stdin=stdin), profiled(*argv, cwd=tmp_path, stdin=stdin, options=options)


@pytest.mark.parametrize(
    "way", one_of_a_kind(["train.py", "./train.py", "sub/../train.py", "link.py", "-m"], "train.py", "-m")
)
def test_main_module_argv_path_stdin_and_pickling(tmp_path, way):
    """``__main__``, argv, sys.path[0], stdin, getsource and pickling (also at exit) are python's own."""
    write(tmp_path, PROBE)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.py").symlink_to(tmp_path / "train.py")
    argv = ("-m", "train", "--lr", "3") if way == "-m" else (way, "--lr", "3")
    plain, ours = both(tmp_path, *argv, stdin="from stdin\n")
    assert plain.code == 0
    assert ours.out == plain.out
    assert ours.code == 0
    assert "never imported torch" in ours.err
    assert not (tmp_path / "runs").exists()


def test_folder_zip_and_pyc(tmp_path):
    """A folder or zip with a ``__main__.py`` and a compiled file run as under python."""
    import py_compile

    (tmp_path / "app").mkdir()
    write(tmp_path / "app", "import sys; print(__name__, sys.argv, sys.path[0], __file__)", "__main__.py")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.write(tmp_path / "app" / "__main__.py", "__main__.py")
    script = write(tmp_path, "import sys; print(__name__, sys.argv, __file__)", "c.py")
    py_compile.compile(str(script), str(tmp_path / "c.pyc"))
    for target in ("app", "app.zip", "c.pyc"):
        plain, ours = both(tmp_path, target, "x")
        assert plain.code == 0
        assert (ours.out, ours.code) == (plain.out, plain.code)


ENDINGS = {
    "uncaught": "def f():\n    return {}['missing']\nf()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('second') from e",
    "context": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    [][1]",
    "group": "try:\n    [][1]\nexcept IndexError as e:\n    raise ExceptionGroup('g', [e])",
    "syntax": "print('never')\nx = = 3\n",
    "number": "import sys\nsys.exit(3)",
    "text": "import sys\nsys.exit('a message')",
    "none": "import sys\nsys.exit(None)",
    "own hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0",
    "broken hook": "import sys\ndef h(*a): raise ValueError('hook')\nsys.excepthook = h\n1 / 0",
    "encoding": "# -*- coding: latin-1 -*-\nprint(len('\u00e9'))",
    "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.3), print('late'))).start()",
    "pool": "from concurrent.futures import ThreadPoolExecutor\np = ThreadPoolExecutor()\np.submit(print, 'in pool')",
    "closed stderr": "import sys\nsys.stderr.close()\nsys.exit(3)",
    "no stderr": "import sys\nsys.stderr = None\nsys.exit(3)",
    "no stderr, text": "import sys\nsys.stderr = None\nsys.exit('a message')",
    "no stderr, broken hook": "import sys\nsys.stderr = None\ndef h(*a): 1 / 0\nsys.excepthook = h\n[][1]",
    "interrupt": "import atexit\natexit.register(print, 'at exit')\nraise KeyboardInterrupt",
    "os._exit": "import os\nprint('x', flush=True)\nos._exit(5)",
    "fork": "import os, sys\nif os.fork() == 0:\n    print('child', flush=True)\n    sys.exit(7)\nprint(os.wait()[1])",
}


IN_SHORT = ("chained", "number", "text", "thread", "interrupt", "no stderr", "os._exit")


@pytest.mark.parametrize(
    "name", one_of_a_kind([name for name in ENDINGS if name != "fork" or hasattr(os, "fork")], *IN_SHORT)
)
def test_endings(tmp_path, name):
    """Exit code, stdout, and the traceback to the letter: none of our frames, chained exceptions included."""
    (tmp_path / "train.py").write_text(ENDINGS[name], encoding="utf-8")
    plain, ours = both(tmp_path, "train.py")
    assert (ours.code, ours.out) == (plain.code, plain.out)
    said = "".join(line for line in ours.err.splitlines(keepends=True) if not line.startswith("stallscope:"))
    assert said == plain.err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes without a reader are told of differently there")
@pytest.mark.parametrize("pipe", ["ignored", "deadly"])
def test_a_reader_of_stderr_that_is_gone(tmp_path, pipe):
    """As in ``2>&1 | head -1``: the exit code is the script's, also where SIGPIPE would end the process."""
    deadly = "import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\n" if pipe == "deadly" else ""
    write(tmp_path, deadly + "import sys\nsys.exit(3)")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        argv = [sys.executable, *PROFILE, "train.py"]
        done = subprocess.run(argv, cwd=tmp_path, stderr=writer, timeout=TIMEOUT, env=ENVIRONMENT, check=False)
    finally:
        os.close(writer)
    assert done.returncode == 3


def test_our_words_are_not_in_the_files_of_the_script(tmp_path):
    """A script that sends its stderr to a file finds in it what it wrote, and nothing of ours: that goes to stderr."""
    write(tmp_path, "import sys\nsys.stderr = open('log.txt', 'a')\nprint('mine', file=sys.stderr)")
    ours = profiled("train.py", cwd=tmp_path)
    assert (tmp_path / "log.txt").read_text() == "mine\n"
    assert ours.err.startswith("stallscope: the script never imported torch")


IMPATIENT = {
    "while it is explained": "import stallscope.api as module\nmodule.load_rank = interrupted",
    "while it is written up": "from stallscope.profiling.folder.export import RunFolder\n"
    "RunFolder.write_manifest = interrupted",
}


@pytest.mark.parametrize("when", IMPATIENT)
def test_ctrl_c_after_the_script(tmp_path, when):
    """The script had ended: its exit code stands, and one sentence says what was interrupted."""
    body = """
        import sys, torch
        model = torch.nn.Linear(4, 2)
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(30):
            model(torch.randn(8, 4)).sum().backward()
            opt.step()
        def interrupted(*args): raise KeyboardInterrupt
    """
    write(tmp_path, textwrap.dedent(body) + IMPATIENT[when] + "\nsys.exit(4)\n")
    ours = python("-m", "stallscope", "profile", "train.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (4, "")
    assert ours.err.count("interrupted") == 1
    assert "Traceback" not in ours.err


def test_uncaught_exception_of_a_module(tmp_path):
    """With -m the traceback holds runpy's frames, as python's does, and none of ours."""
    write(tmp_path, "1 / 0")
    plain, ours = both(tmp_path, "-m", "train")
    assert ours.code == plain.code == 1
    assert ours.err.startswith(plain.err)


def test_what_cannot_be_started_is_one_sentence(tmp_path):
    """A missing script, a missing module, a folder without main, a file as log folder: exit code 2, one line."""
    write(tmp_path, "print('ran')")
    (tmp_path / "empty").mkdir()
    for options, argv in (
        ((), ("nosuch.py",)),
        ((), ("-m", "nosuch_module")),
        ((), ("empty",)),
        (("--logdir", "train.py"), ("train.py",)),
        (("--name", "a/b"), ("train.py",)),
    ):
        ended = profiled(*argv, cwd=tmp_path, options=options)
        assert (ended.code, ended.out) == (2, ""), ended
        assert ended.err.startswith("stallscope: ")
        assert ended.err.count("\n") == 1
