"""What `stallscope profile` does: the script, then what there is to say of it, then the script's own end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from stallscope.outcome import one_line

if TYPE_CHECKING:
    from stallscope.profiling.options import Options

# Heavy modules are imported when they are needed: nothing of the analysis is loaded while the script runs.
# ruff: noqa: PLC0415


def run_script(options: Options, *, summary: bool, also_cpu: bool = False, scalars: bool = False) -> NoReturn:
    """Profile, say on stderr what was found, and end as the script would have ended."""
    from stallscope.profiling import also_cpu as on_cpu
    from stallscope.profiling import session

    start = on_cpu.Start.now(options) if also_cpu else None
    outcome = session.profile(options)
    try:
        for message in outcome.messages:
            sys.stderr.write(f"stallscope: {message}\n")
        for message in on_cpu.after_run(start, outcome) if start is not None else ():
            sys.stderr.write(f"stallscope: {message}\n")
        if summary and outcome.run_folder is not None and outcome.rank == 0:
            outcome.await_ranks()
            _summary_to_stderr(outcome.run_folder)
        if scalars and outcome.run_folder is not None and outcome.rank == 0:
            _scalars(outcome.run_folder)
    except Exception as error:  # noqa: BLE001 - a failing report must not change the script's exit code
        sys.stderr.write(f"stallscope: the summary failed ({one_line(error)}); the run folder is kept\n")
    outcome.leave()


def _scalars(folder: Path) -> None:
    from stallscope.scalars import write_scalars
    from stallscope.traces.errors import StallscopeError

    try:
        write_scalars(folder)
    except StallscopeError as error:
        sys.stderr.write(f"stallscope: no scalars ({one_line(error)})\n")


def _summary_to_stderr(folder: Path) -> None:
    from stallscope import api
    from stallscope.analysis.report import text
    from stallscope.output import style_for, write_text

    for run in api.load_rank(folder):
        write_text(sys.stderr, "\n" + text.render(run.summary, style_for(sys.stderr)))
