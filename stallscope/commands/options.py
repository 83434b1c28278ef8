"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stallscope.analysis.report.formats import formats

OneDevice = StrEnum("OneDevice", ["cpu", "cuda"])
OutputFile = Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file instead of stdout.")]
CopiedTrace = Annotated[Path, typer.Argument(metavar="TRACE|RUN", help="A trace or a run folder; it stays as it is.")]
CopyFile = Annotated[Path, typer.Option("-o", "--output", help="The copy; compressed if its name ends in .gz.")]
MaxSize = Annotated[float | None, typer.Option(min=0, metavar="GB", help="Read traces of so much text.  [default: 64]")]
MaxRatio = Annotated[float | None, typer.Option(min=0, help="Read gzip that inflates so many times.  [default: 200]")]
MaxDepth = Annotated[int | None, typer.Option(min=8, max=900, help="Read JSON nested so deeply.  [default: 64]")]
MaxMemory = Annotated[
    float | None, typer.Option(min=0, metavar="GB", help="Use so much memory.  [default: what the machine allows]")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the output file if it exists.")]


def format_of(*views: str) -> Any:
    """``--format`` of a command that shows ``views``: each that any of them can be rendered in."""
    names = formats(*views)

    def known(name: str) -> str:
        if name not in names:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, names))}")
        return name

    return typer.Option("--format", metavar=f"<{'|'.join(names)}>", callback=known, help="Output format.")
