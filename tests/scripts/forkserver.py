"""The server behind ``forked.py``: imports torch once, then runs each script that is asked for in a fork of itself.

A child has a fresh ``__main__``, its own folder, environment, arguments, warning filters, and the three streams that
it was given; it ends as python does (threads are joined, ``atexit`` runs). What is not as in a process of its own:
torch is imported before the script, ``sys.flags`` are the server's, and Ctrl-C ends with exit code 1.

It is started as a compiled file that calls itself ``<frozen forkserver>``, for a frame of that name is nobody's code:
neither a traceback nor a recorded call site shows it.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import json
import os
import random
import runpy
import socket
import sys
import types
import warnings
from importlib.machinery import SourceFileLoader
from typing import Any

MOST = 1 << 18  # bytes of a request
Filters = list[Any]


def serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork for each request and tell its process id, then its exit code; returns in each child with its request."""
    while True:
        message, streams, _, _ = socket.recv_fds(channel, MOST, 3)
        if not message:
            return None
        child = os.fork()
        if child == 0:
            channel.close()
            _take(streams)
            return json.loads(message)
        for stream in streams:
            os.close(stream)
        channel.send(str(child).encode())
        channel.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _take(streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)


def run(request: dict[str, Any], filters: Filters) -> None:
    """Be ``python ARGV`` in the folder and environment of the request."""
    options, argv = request["options"], request["argv"]
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.orig_argv[:] = [sys.executable, *(word for option in options for word in ("-W", option)), *argv]
    _warn(options, filters)
    _new_random_numbers()
    fresh = types.ModuleType("__main__")
    fresh.__dict__.update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = fresh
    if argv[0] == "-m":
        sys.path[0], sys.argv[:] = os.getcwd(), ["-m", *argv[2:]]  # noqa: PTH109
        runpy._run_module_as_main(argv[1])
    elif argv[0] == "-c":
        sys.path[0], sys.argv[:] = "", ["-c", *argv[2:]]
        exec(compile(argv[1], "<string>", "exec", dont_inherit=True), fresh.__dict__)  # noqa: S102
    else:
        sys.argv[:] = argv
        exec(_code(argv[0], fresh), fresh.__dict__)  # noqa: S102


def _warn(options: list[str], filters: Filters) -> None:
    """Filters in the order in which a process of its own gets them: python's, those asked for, torch's."""
    of_torch = warnings.filters[: len(warnings.filters) - len(filters)]
    warnings.filters[:] = filters
    sys.warnoptions[:] = options
    warnings._processoptions(options)
    warnings.filters[:0] = of_torch
    warnings._filters_mutated_lock_held() if hasattr(warnings, "_filters_mutated_lock_held") else None


def _new_random_numbers() -> None:
    import numpy as np

    np.random.seed()  # noqa: NPY002 - the script's, which is not seeded when it starts
    random.seed()


def _code(name: str, fresh: types.ModuleType) -> types.CodeType:
    filename = os.path.join(os.getcwd(), name)  # noqa: PTH109, PTH118 - not normalized, as python writes it
    sys.path[0] = os.path.dirname(os.path.realpath(filename))  # noqa: PTH120
    fresh.__loader__ = SourceFileLoader("__main__", filename)
    fresh.__file__, fresh.__cached__ = filename, None
    with open(filename, "rb") as file:  # noqa: PTH123
        return compile(file.read(), filename, "exec", dont_inherit=True)


def without_frames_of_the_server(error: BaseException) -> BaseException:
    """The error that a script ended with, as python would show it."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename == serve.__code__.co_filename:
        traceback = traceback.tb_next
    return error.with_traceback(traceback)


def load_torch() -> Filters:
    """Import what nearly every script imports; returns python's own warning filters, as they were before."""
    filters = warnings.filters[:]
    importlib.import_module("torch._dynamo")  # the first optimizer that a script makes imports it
    gc.collect()
    gc.freeze()  # else each child would look through all of torch when it ends, and so copy its memory
    return filters


def main() -> int:
    """Serve until the test process is gone; in a child: run its script, and return its exit code."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    filters = load_torch()
    request = serve(channel)
    if request is None:
        return 0
    try:
        run(request, filters)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the script's own
        ended = without_frames_of_the_server(error)
        sys.excepthook(type(ended), ended, ended.__traceback__)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
