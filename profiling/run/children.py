"""Processes that the script starts: left alone, and counted by kind.

Seen are DataLoader workers, ``multiprocessing``'s processes, ``os.fork`` and ``subprocess``, from the import of torch
on. Not seen, and so unknown: what was started before, ``os.system`` and its like, what libraries start by themselves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.process
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from stallscope.profiling.folder.export import WORK_THREAD
from stallscope.profiling.watch.patching import replace, unframed
from stallscope.traces.model.manifest import Children

WORKER_LOOP = ("torch.utils.data._utils.worker", "_worker_loop")


class _Thread(threading.local):
    starting = 0  # processes that are being started by multiprocessing or subprocess: their forks are not os.fork


class ChildWatch:
    """Counts the processes that this one starts, until ``remove``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._thread = _Thread()
        self._pid = os.getpid()
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Begin to count."""
        process, popen = multiprocessing.process.BaseProcess, subprocess.Popen
        self._undo.append(replace(process, "start", partial(self._wrapped, kind_of)))
        self._undo.append(replace(popen, "__init__", partial(self._wrapped, lambda _popen: "subprocess")))
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_parent=self._forked)

    def remove(self) -> None:
        """Stop counting."""
        while self._undo:
            self._undo.pop()()

    def seen(self) -> list[Children]:
        """What has been started so far, by kind."""
        return [Children(kind=kind, count=count) for kind, count in sorted(self._counts.items())]

    def _wrapped(self, kind: Callable[[Any], str], original: Any) -> Any:
        @wraps(original)
        def wrapper(instance: Any, *args: Any, **kwargs: Any) -> Any:
            self._thread.starting += 1
            name = _named(kind, instance)  # a started process no longer knows what it is to do
            try:
                result = original(instance, *args, **kwargs)
            except BaseException as error:
                unframed(error)
                raise
            finally:
                self._thread.starting -= 1
            if os.getpid() == self._pid and threading.current_thread().name != WORK_THREAD:  # our own tools
                self._counts[name] += 1
            return result

        return wrapper

    def _forked(self) -> None:
        if self._undo and not self._thread.starting and os.getpid() == self._pid:
            self._counts["fork"] += 1


def _named(kind: Callable[[Any], str], instance: Any) -> str:
    with contextlib.suppress(Exception):  # a process of another make
        return kind(instance)
    return "unknown"


def kind_of(process: Any) -> str:
    """The kind of a ``multiprocessing`` process: ``dataloader_worker``, ``multiprocessing_spawn``, …."""
    target = getattr(process, "_target", None)
    if (getattr(target, "__module__", None), getattr(target, "__name__", None)) == WORKER_LOOP:
        return "dataloader_worker"
    method = getattr(process, "_start_method", None) or multiprocessing.get_start_method()
    return f"multiprocessing_{method}"
