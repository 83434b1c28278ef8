"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """Output formats of a summary."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class PlainFormat(StrEnum):
    """Output formats of what has no Markdown form."""

    TEXT = "text"
    JSON = "json"


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
