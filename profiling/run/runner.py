"""Run a script, module, folder or zip exactly as ``python`` would, and say how it ended.

The script gets a fresh ``__main__`` that stays in place until the process ends (so that its classes pickle, even from
``atexit``), its own ``sys.argv`` and ``sys.path[0]``; its traceback shows none of our frames.
"""

# ruff: noqa: SLF001 - the interpreter's own way to run a module

from __future__ import annotations

import builtins
import contextlib
import importlib.machinery
import io
import os
import pkgutil
import runpy
import sys
import threading
import types
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

from stallscope.traces.model.errors import BadInput

STDERR = 2  # file descriptor
OURS = str(Path(__file__).parents[1]) + os.sep
SCRIPTS = OURS + "workloads" + os.sep  # of the user's kind


@dataclass(frozen=True, slots=True)
class Ending:
    """How a script ended: its exit code, and whether Ctrl-C ended it."""

    exit_code: int
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What to run: a path, or the name of a module, and its arguments."""

    name: str
    is_module: bool
    args: tuple[str, ...]

    def check(self) -> None:
        """Refuse what cannot be started.

        Raises:
            BadInput: there is no such script or module.
        """
        if self.is_module:
            top = self.name.partition(".")[0]
            if not top or (top not in sys.stdlib_module_names and _find_top(top) is None):
                raise BadInput(f"{self.name}: no module of that name; check the spelling and the current folder")
        elif not Path(self.name).exists():
            raise BadInput(f"{self.name}: no such file; give the path of the training script")
        elif Path(self.name).is_dir() and not (Path(self.name) / "__main__.py").exists():
            raise BadInput(f"{self.name}: is a folder without a __main__.py; give the path of the training script")

    @property
    def stem(self) -> str:
        """A short name for the run."""
        if self.is_module:
            return self.name.removesuffix(".__main__").rpartition(".")[2]
        path = Path(self.name).absolute()
        return path.stem if path.suffix else path.name


def _find_top(name: str) -> Any:
    path = [str(Path.cwd()), *sys.path[1:]]
    return importlib.machinery.PathFinder.find_spec(name, path)


def run(target: Target) -> Ending:
    """Run ``target`` to its end, its non-daemon threads included. Prints its traceback or exit message."""
    fresh = _fresh_main()
    sys.argv = [target.name, *target.args]
    sys.modules["__main__"] = fresh
    if "__mp_main__" in sys.modules:  # as multiprocessing has it, which is loaded already
        sys.modules["__mp_main__"] = fresh
    ending = _ending(_raised(target, fresh))
    for name in ("__file__", "__cached__"):  # as python does once the script is through
        if not target.is_module:
            vars(fresh).pop(name, None)
    join_threads()
    return ending


def _raised(target: Target, fresh: ModuleType) -> BaseException | None:
    """Run the script; return what it ends with. It is shown outside of any ``except``, which would leave its mark."""
    try:
        _execute(target, fresh)
    except BaseException as error:  # noqa: BLE001 - the script's own
        return error
    return None


def _ending(raised: BaseException | None) -> Ending:
    if raised is None:
        return Ending(0)
    if isinstance(raised, SystemExit):
        return _exit(raised)
    _show(raised)
    return Ending(1, isinstance(raised, KeyboardInterrupt))


def join_threads() -> None:
    """Wait for non-daemon threads, the way the interpreter does when the main thread is through."""
    main = threading.main_thread()
    if all(thread is main or thread.daemon for thread in threading.enumerate()):
        return
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # ends idle pools too; a second call does nothing
    except KeyboardInterrupt as error:
        _show(error)


# --- starting -------------------------------------------------------------------------------------


def _fresh_main() -> ModuleType:
    """A ``__main__`` as this python makes it."""
    created = sys.modules["__main__"]
    fresh = types.ModuleType("__main__")
    if "__annotations__" in vars(created):
        vars(fresh)["__annotations__"] = {}
    vars(fresh)["__builtins__"] = builtins
    return fresh


def _execute(target: Target, fresh: ModuleType) -> None:
    if target.is_module:
        _set_first_path(str(Path.cwd()))
        sys.argv[0] = "-m"
        runpy._run_module_as_main(target.name)  # type: ignore[attr-defined]
        return
    if pkgutil.get_importer(target.name) is not None:  # a folder or a zip
        _set_first_path(_absolute(target.name))
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    _set_first_path(str(Path(target.name).resolve().parent))
    filename = _absolute(target.name)
    code = _load(filename, fresh)
    exec(code, vars(fresh))  # noqa: S102 - running the user's script is what we are for


def _set_first_path(folder: str) -> None:
    """Put the script's folder where python puts it: in place of our own entry point's."""
    if sys.flags.safe_path:
        return
    if sys.path:
        sys.path[0] = folder
    else:
        sys.path.insert(0, folder)


def _absolute(name: str) -> str:
    """The name as python writes it into ``__file__``."""
    if os.name == "nt":
        return os.path.abspath(name)  # noqa: PTH100 - what python does there
    return name if name.startswith("/") else f"{os.getcwd()}/{name}"  # noqa: PTH109 - and here: not normalized


def _load(filename: str, fresh: ModuleType) -> CodeType:
    """The script's code; sets ``__loader__``, ``__file__``, ``__cached__``."""
    compiled = filename.endswith(".pyc")
    loader = (SourcelessFileLoader if compiled else SourceFileLoader)("__main__", filename)
    fresh.__loader__ = loader
    fresh.__file__ = filename
    vars(fresh)["__cached__"] = None
    if compiled:
        code = loader.get_code("__main__")
        if code is None:
            raise ImportError(f"cannot load {filename}")
        return code
    with io.open_code(filename) as file:
        source = file.read()
    return compile(source, filename, "exec", dont_inherit=True)


# --- ending ---------------------------------------------------------------------------------------


def _exit(error: SystemExit) -> Ending:
    """The ending that ``sys.exit(...)`` asks for; its message goes to stderr."""
    if error.code is None:
        return Ending(0)
    if isinstance(error.code, int):
        return Ending(error.code)
    _flush(sys.stdout)
    with contextlib.suppress(Exception):  # an object whose own words fail: python says nothing then, and ends with 1
        _write(f"{error.code}\n")
    _flush(sys.stderr)
    return Ending(1)


def _show(error: BaseException) -> None:
    """Print a traceback through ``sys.excepthook``, without our frames."""
    strip_our_frames(error)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    _flush(sys.stdout)
    broken = _call_hook(error)
    if broken is not None:
        strip_our_frames(broken)
        _write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(broken), broken, broken.__traceback__)
        _write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)
    _flush(sys.stderr)


def _call_hook(error: BaseException) -> BaseException | None:
    """Call ``sys.excepthook``, the script's own perhaps; return what it raises. ``sys.exit`` in it means it."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit:
        raise
    except BaseException as broken:  # noqa: BLE001
        return broken
    return None


def _write(text: str) -> None:
    """Write to stderr as the script has left it, as python does: to the process's own where it is None."""
    with contextlib.suppress(Exception):
        if sys.stderr is None:
            os.write(STDERR, text.encode())
        else:
            sys.stderr.write(text)


def _flush(stream: Any) -> None:
    with contextlib.suppress(Exception):
        stream.flush()


def strip_our_frames(error: BaseException) -> None:
    """Take the frames of this package out of the tracebacks of ``error`` and of everything it came from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        with contextlib.suppress(Exception):  # one of the script's may be of a class that forbids it
            current.__traceback__ = _without_ours(current.__traceback__)
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    kept = []
    while traceback is not None:
        if not _is_ours(traceback.tb_frame.f_code.co_filename):
            kept.append(traceback)
        traceback = traceback.tb_next
    following = None
    for entry in reversed(kept):
        entry.tb_next = following
        following = entry
    return following


def _is_ours(filename: str) -> bool:
    return filename.startswith(OURS) and not filename.startswith(SCRIPTS)
