"""``stallscope redact``: a copy of a trace that may be shown."""

from __future__ import annotations

from typing import Annotated

import typer

from stallscope.api import trace_of
from stallscope.commands.options import CopiedTrace, CopyFile, Force
from stallscope.output import write_copy, write_folder
from stallscope.traces.out import redact as redacting
from stallscope.traces.out.redact_run import redact_run


def redact(
    trace: CopiedTrace,
    output: CopyFile,
    drop_shapes: Annotated[bool, typer.Option("--drop-shapes", help="Leave out tensor shapes and types too.")] = False,
    force: Force = False,
) -> None:
    """Write a copy that may be shown: without paths, host and user names, environment and metadata.

    Of a run folder all traces and manifests, if -o names a folder. The figures stay the same. Operator, kernel, range,
    module and function names are kept: look at them first.
    """
    if trace.is_dir() and not output.name.endswith((".json", ".json.gz")):
        write_folder(trace, output, redact_run(trace, drop_shapes=drop_shapes))
        return
    trace = trace_of(trace)
    write_copy(trace, output, redacting.redact(trace, drop_shapes=drop_shapes), force=force)
