"""``stallscope redact``: a copy of a trace that may be shown."""

from __future__ import annotations

from typing import Annotated

import typer

from stallscope.api import trace_of
from stallscope.commands.options import CopiedTrace, CopyFile, Force
from stallscope.output import write_copy
from stallscope.traces.out import redact as redacting


def redact(
    trace: CopiedTrace,
    output: CopyFile,
    drop_shapes: Annotated[bool, typer.Option("--drop-shapes", help="Leave out tensor shapes and types too.")] = False,
    force: Force = False,
) -> None:
    """Write a copy of a trace that may be shown: without paths, host and user names, environment and metadata.

    The figures stay the same. Operator, kernel, range, module and function names are kept: look at them first.
    """
    trace = trace_of(trace)
    write_copy(trace, output, redacting.redact(trace, drop_shapes=drop_shapes), force=force)
