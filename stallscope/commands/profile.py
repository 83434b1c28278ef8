"""``stallscope profile``: the script, then what there is to say of it, then the script's own end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from stallscope.foreign import Aside
from stallscope.outcome import one_line
from stallscope.profiling.record.plan import Depth
from stallscope.profiling.run.options import Options
from stallscope.profiling.words import voice

if TYPE_CHECKING:
    from stallscope.profiling.run.also_cpu import Start
    from stallscope.profiling.run.session import Outcome
    from stallscope.profiling.words.voice import Voice

# Heavy modules are imported when they are needed: nothing of the analysis is loaded while the script runs.
# ruff: noqa: PLC0415

CONTEXT = {"allow_interspersed_args": False}  # what follows SCRIPT is the script's


def profile(
    target: Annotated[str, typer.Argument(metavar="SCRIPT", help="The training script, or the module after -m.")],
    args: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]...", help="Arguments of the script, passed on untouched.")
    ] = None,
    module: Annotated[bool, typer.Option("-m", help="SCRIPT is a module name, as with python -m.")] = False,
    logdir: Annotated[Path, typer.Option(help="Folder of the run folders; TensorBoard opens it.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Name of the run folder.  [default: the script's name]")] = None,
    plan: Annotated[
        Depth, typer.Option(help="quick: a short recording only. standard: then a full one. deep: longer, with stacks.")
    ] = Depth.STANDARD,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps in the timing window.  [default: quick 5, standard 20, deep 50]")
    ] = None,
    attribution: Annotated[
        bool, typer.Option("--attribution/--no-attribution", help="Record a few more steps that say where time goes.")
    ] = True,
    warmup: Annotated[int, typer.Option(min=0, help="Steps that warm the profiler up, before the timing window.")] = 3,
    skip: Annotated[int, typer.Option(min=0, help="Steps left alone at the start of the training.")] = 5,
    no_summary: Annotated[bool, typer.Option("--no-summary", help="Print no summary at the end.")] = False,
    scalars: Annotated[bool, typer.Option("--scalars", help="Write main figures as TensorBoard scalars too.")] = False,
    cpu_only: Annotated[
        bool, typer.Option("--cpu-only", help="Record no device activity (the script may still use the GPU).")
    ] = False,
    also_cpu: Annotated[
        bool,
        typer.Option(
            "--also-cpu",
            help="Afterwards time the same steps on the CPU: runs the script again with GPUs hidden, for a minute at "
            "most, in a copy of the current folder. What it names by an absolute path it reads and writes again.",
        ),
    ] = False,
) -> Callable[[], NoReturn]:
    """Run a training script unmodified under torch.profiler, find its steps, and explain them.

    The script sees what `python SCRIPT ARGS` would give it; stdout and exit code are the script's own.
    Everything stallscope has to say goes to stderr. Options go before SCRIPT.
    """
    options = Options(
        target=target,
        is_module=module,
        args=tuple(args or ()),
        logdir=logdir,
        name=name,
        plan=plan,
        steps=steps,
        attribution=attribution,
        warmup=warmup,
        skip=skip,
        cpu_only=cpu_only,
    )
    # The script runs after the parser has returned: it swallows Ctrl-C and end-of-file otherwise.
    return lambda: _run_script(options, summary=not no_summary, also_cpu=also_cpu, scalars=scalars)


def _run_script(options: Options, *, summary: bool, also_cpu: bool = False, scalars: bool = False) -> NoReturn:
    """Profile, say on stderr what was found, and end as the script would have ended."""
    from stallscope.profiling.run import also_cpu as on_cpu
    from stallscope.profiling.run import session

    aside = Aside()
    start = on_cpu.Start.now(options) if also_cpu else None
    ours = voice.of_process()  # before the script does what it likes with stderr
    aside.take_out()
    outcome = session.profile(options)
    try:
        with aside.back():
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
    from stallscope.analysis.report.summary import text
    from stallscope.output import style_for

    stream = ours.stream
    if stream is None:
        return
    for run in api.load_rank(folder):
        ours.write("\n" + text.page(run.summary, style_for(stream)))
