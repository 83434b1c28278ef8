"""The exception tree of Stallscope, each class with its exit code.

    StallscopeError            70  our bug
    ├── CannotWrite            74  stdout takes nothing more: its disk is full
    ├── BadInput                2  the file or the usage cannot be worked with; the sentence says what to do next
    │   └── OutputExists        2  an output file is there already and --force was not given
    └── Refused                 4  a stated limit (size, inflate ratio, depth); the sentence names the lifting option

The command line catches ``StallscopeError`` in one place, prints its sentence to stderr and exits with
``exit_code``. Messages are one sentence: which file and place, what was expected, what to do.
"""

from __future__ import annotations

from pathlib import Path


class StallscopeError(Exception):
    """Base of all errors raised on purpose by this package."""

    exit_code = 70


class CannotWrite(StallscopeError):
    """What was to be printed could not be; the exit code is that of ``sysexits.h`` for input and output."""

    exit_code = 74


class BadInput(StallscopeError):
    """A file, folder or option that cannot be used; the message says what was expected and what to do."""

    exit_code = 2


class OutputExists(BadInput):
    """An output file exists already; nothing of the user's is overwritten without ``--force``."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: exists already; choose another name or pass --force to replace it")


class Refused(StallscopeError):
    """A stated limit was reached; the message names the option that lifts it."""

    exit_code = 4
