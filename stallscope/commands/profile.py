"""What `stallscope profile` does: the script, then what there is to say of it, then the script's own end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from stallscope.outcome import one_line
from stallscope.profiling.words import voice

if TYPE_CHECKING:
    from stallscope.profiling.run.also_cpu import Start
    from stallscope.profiling.run.options import Options
    from stallscope.profiling.run.session import Outcome
    from stallscope.profiling.words.voice import Voice

# Heavy modules are imported when they are needed: nothing of the analysis is loaded while the script runs.
# ruff: noqa: PLC0415


def run_script(options: Options, *, summary: bool, also_cpu: bool = False, scalars: bool = False) -> NoReturn:
    """Profile, say on stderr what was found, and end as the script would have ended."""
    from stallscope.profiling.run import also_cpu as on_cpu
    from stallscope.profiling.run import session

    start = on_cpu.Start.now(options) if also_cpu else None
    ours = voice.of_process()  # before the script does what it likes with stderr
    outcome = session.profile(options)
    try:
        _tell(outcome, ours, start, summary=summary, scalars=scalars)
    except KeyboardInterrupt:  # the script had ended: its exit code stands
        ours.say("interrupted; the run folder is kept")
    except Exception as error:  # noqa: BLE001 - a failing report must not change the script's exit code
        ours.say(f"the summary failed ({one_line(error)}); the run folder is kept")
    finally:
        outcome.leave()


def _tell(outcome: Outcome, ours: Voice, start: Start | None, *, summary: bool, scalars: bool) -> None:
    from stallscope.profiling.run import also_cpu as on_cpu

    for message in outcome.messages:
        ours.say(message)
    for message in on_cpu.after_run(start, outcome) if start is not None else ():
        ours.say(message)
    if summary and outcome.run_folder is not None and outcome.rank == 0:
        outcome.await_ranks()
        _summary(outcome.run_folder, ours)
    if scalars and outcome.run_folder is not None:
        _scalars(outcome.run_folder, outcome.rank, ours)  # each rank its own, at the same time


def _scalars(folder: Path, rank: int, ours: Voice) -> None:
    from stallscope.scalars import write_scalars
    from stallscope.traces.model.errors import StallscopeError

    try:
        write_scalars(folder, rank)
    except StallscopeError as error:
        ours.say(f"no scalars ({one_line(error)})")


def _summary(folder: Path, ours: Voice) -> None:
    from stallscope import api
    from stallscope.analysis.report import text
    from stallscope.output import style_for

    stream = ours.stream
    if stream is None:
        return
    for run in api.load_rank(folder):
        ours.write("\n" + text.render(run.summary, style_for(stream)))
