"""The functions of ``processes`` for scripts that only need a fresh ``__main__``: forked, with torch loaded already.

Where that cannot be (no fork, or STALLSCOPE_TESTS_FORK=0), they start a process of their own, as ``processes`` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import py_compile
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from tests.scripts import forkserver, processes
from tests.scripts.processes import ENVIRONMENT, TIMEOUT, Ended

CAN_FORK = sys.platform == "linux" and os.environ.get("STALLSCOPE_TESTS_FORK") != "0"


def python(*argv: str | Path, cwd: Path, stdin: str = "") -> Ended:
    """Run a script as plain python does."""
    words = [str(word) for word in argv]
    if not CAN_FORK:
        return processes.python(*words, cwd=cwd, stdin=stdin)
    options = []
    while words[0] == "-W":
        options.append(words[1])
        del words[:2]
    return _server().run({"argv": words, "options": options, "cwd": str(cwd), "env": ENVIRONMENT}, stdin)


profiled = partial(processes.profiled, start=python)
run_many = partial(processes.run_many, start=python)
many = partial(processes.many, start=python)
run_many_plain = partial(processes.run_many_plain, start=python)


@cache
def _server() -> _Server:
    return _Server()


class _Server:
    """The server of this test process. It ends with it, for then its end of the channel is closed."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._folder = tempfile.TemporaryDirectory()
        code = Path(self._folder.name) / "forkserver.pyc"
        py_compile.compile(forkserver.__file__, cfile=str(code), dfile="<frozen forkserver>", doraise=True)
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [sys.executable, str(code), str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=ENVIRONMENT, **pipes)
        theirs.close()

    def run(self, request: dict, stdin: str) -> Ended:
        """Have the server run what is asked for, and wait until it has ended and nobody writes any more."""
        streams = _Streams(stdin)
        with streams.handed_over() as theirs:
            socket.send_fds(self._channel, [json.dumps(request).encode()], theirs)
        self._channel.settimeout(TIMEOUT)
        child = int(self._channel.recv(32) or self._died())
        try:
            code = int(self._channel.recv(32) or self._died())
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            self._channel.recv(32)
            raise
        return Ended(code, *streams.read())

    def _died(self) -> str:
        raise RuntimeError(self._process.communicate()[1].decode())


@dataclass
class _Streams:
    """Pipes for the three streams of a script; what it writes is read as it comes, so that it never waits."""

    stdin: str
    written: dict[int, bytes] = field(default_factory=dict)
    readers: list[threading.Thread] = field(default_factory=list)

    @contextlib.contextmanager
    def handed_over(self) -> Iterator[list[int]]:
        """The script's ends, which are closed here once the server has them."""
        source, sink = os.pipe()
        os.write(sink, self.stdin.encode())  # short texts: a pipe takes 64 KB
        os.close(sink)
        pipes = [os.pipe() for _ in range(2)]
        for reading, _ in pipes:
            reader = threading.Thread(target=self._read, args=(len(self.readers), reading), daemon=True)
            self.readers.append(reader)
            reader.start()
        theirs = [source, *(writing for _, writing in pipes)]
        try:
            yield theirs
        finally:
            for end in theirs:
                os.close(end)

    def _read(self, number: int, reading: int) -> None:
        with open(reading, "rb") as file:
            self.written[number] = file.read()

    def read(self) -> tuple[str, str]:
        """What was written to stdout and stderr."""
        for reader in self.readers:
            reader.join(TIMEOUT)
        out, err = (self.written[number].decode().replace("\r\n", "\n") for number in range(2))
        return out, err
