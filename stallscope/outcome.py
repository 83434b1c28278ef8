"""How a command ends: its exit code, and one sentence on stderr where it failed. The only place that catches all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from stallscope.traces.model.errors import BadInput, Refused, StallscopeError

BUG = StallscopeError.exit_code
DEGRADED = 3
INTERRUPTED = 130


def exit_code(run: Callable[[], Any], argv: list[str]) -> int:  # noqa: PLR0911 - each ending has its exit code
    """Run a command; exceptions of ours and of the parser become a sentence and an exit code."""
    if sys.stderr is None:  # closed by whoever started us: what is said goes nowhere
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as we run
    try:
        result = run()
        return _said(int((result() if callable(result) else result) or 0))
    except StallscopeError as error:
        sys.stderr.write(f"stallscope: {one_line(error)}\n")
        return error.exit_code
    except MemoryError:
        sys.stderr.write(
            "stallscope: not enough memory for the analysis; use a machine with more, or record fewer steps\n"
        )
        return Refused.exit_code
    except BrokenPipeError:  # the reader of our output has gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _said(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the one place where our own bugs end
        if hasattr(error, "format_message"):  # the parser's own errors, whichever click typer stands on
            return _usage(error)
        if "--debug" in argv[:1]:
            import traceback  # noqa: PLC0415

            traceback.print_exc()
        sys.stderr.write(
            f"stallscope: this is our bug ({type(error).__name__}: {one_line(error)}); "
            "please report it with what `stallscope --debug ...` prints\n"
        )
        return BUG


def _said(code: int) -> int:
    """Return an exit code; say what happened if it is Ctrl-C, of which the parser makes a code without a word."""
    if code == INTERRUPTED:
        sys.stderr.write("stallscope: interrupted\n")
    return code


def one_line(error: BaseException) -> str:
    """What an exception says, on one line, without what could steer a terminal (names of files and from traces)."""
    said = "".join(c if c.isprintable() else "?" for c in " ".join(str(error).split()))
    return said or type(error).__name__


def _usage(error: Any) -> int:
    """One line for what the parser refused, naming the help that says what it would take."""
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stdout.write(error.format_message() + "\n")
        return BadInput.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "stallscope"
    sentence = " ".join(error.format_message().split()).rstrip(".")
    sys.stderr.write(f"stallscope: {sentence}; see: {command} --help\n")
    return BadInput.exit_code
