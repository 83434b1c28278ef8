"""``stallscope demo``: a built-in training script, run and explained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stallscope.commands.options import OneDevice
from stallscope.demo import demo as workloads
from stallscope.output import write_text


def demo(
    name: Annotated[str | None, typer.Argument(help="Which workload; without it, they are listed.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A short form: fewer variants, seconds a run.")] = False,
    repeats: Annotated[int | None, typer.Option(min=1, help="Runs of each variant.  [default: 3 or 5]")] = None,
    device: Annotated[OneDevice | None, typer.Option(help="Run only the variants of this device.")] = None,
    logdir: Annotated[Path, typer.Option(help="Folder of the run folders.")] = Path("runs/demo"),
    out: Annotated[Path | None, typer.Option(help="Folder for page and plot.  [default: beside the runs]")] = None,
    again: Annotated[
        Path | None, typer.Option(metavar="JSON", help="Run nothing: make page and plot of these figures again.")
    ] = None,
) -> int:
    """Run a built-in training script in its variants, profile each, and explain what they measured.

    Ends in a table, a plot (PNG, SVG; needs matplotlib) and an explanation made of the figures. Progress goes to
    stderr. Variants that need a GPU are run where there is one.
    """
    return workloads.run(
        name,
        workloads.Request(quick=quick, repeats=repeats, logdir=logdir, out=out, device=device, again=again),
        echo=lambda line: write_text(sys.stdout, line + "\n"),
        say=lambda line: write_text(sys.stderr, line + "\n"),
    )
