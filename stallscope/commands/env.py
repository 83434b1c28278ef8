"""``stallscope env``: this machine."""

from __future__ import annotations

from typing import Annotated

from stallscope.commands.options import Force, OutputFile, format_of
from stallscope.output import printer
from stallscope.profiling.machine import machine


def env(form: Annotated[str, format_of("env")] = "text", output: OutputFile = None, force: Force = False) -> None:
    """Describe the machine as it matters here: CPU, GPU, driver, torch build, who else uses the GPU."""
    show = printer("env", form, output, force=force)
    show(machine.collect())
