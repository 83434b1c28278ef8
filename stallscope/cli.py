"""The ``stallscope`` command: options in, one library call, print, exit. The only place that prints and exits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from stallscope.commands.options import (
    CopiedTrace,
    CopyFile,
    Force,
    Format,
    MaxDepth,
    MaxMemory,
    MaxRatio,
    MaxSize,
    OneDevice,
    OutputFile,
    PlainFormat,
)
from stallscope.outcome import exit_code
from stallscope.profiling.record.plan import Depth
from stallscope.traces.model.version import version

if TYPE_CHECKING:
    from stallscope.traces.text.limits import Limits

OPTIONS_FIRST = {"allow_interspersed_args": False}  # what follows SCRIPT is the script's

app = typer.Typer(
    name="stallscope",
    help="Why is my GPU slow? Profiles an unmodified PyTorch training script and explains where its step goes.",
    epilog="First steps: stallscope demo iris-mlp, or stallscope profile train.py",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# Heavy modules are imported by the command that needs them, so that `summary` never pays for torch.
# ruff: noqa: PLC0415


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stallscope {version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback if stallscope itself fails.")] = False,
) -> None:
    del version, debug  # --debug is looked up in argv by main(), which outlives this call


@app.command(short_help="Run a training script, find its steps, explain them.", context_settings=OPTIONS_FIRST)
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
) -> Any:
    """Run a training script unmodified under torch.profiler, find its steps, and explain them.

    The script sees what `python SCRIPT ARGS` would give it; stdout and exit code are the script's own.
    Everything stallscope has to say goes to stderr. Options go before SCRIPT.
    """
    from stallscope.profiling.run.options import Options

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
    from stallscope.commands.profile import run_script

    return lambda: run_script(options, summary=not no_summary, also_cpu=also_cpu, scalars=scalars)


@app.command(short_help="Explain a trace or a run folder.")
def summary(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Trace files or run folders.")],
    format: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TEXT,  # noqa: A002
    output: OutputFile = None,
    force: Force = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if a trace is degraded.")] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="Add the figures as HTA, torch-tb-profiler and TraceLens define them.")
    ] = False,
    rank: Annotated[
        int | None, typer.Option("--rank", min=0, help="Of several ranks, the one to explain.  [default: the first]")
    ] = None,
    health: Annotated[
        bool, typer.Option("--health", help="Say what the file is and how far to trust it, instead.")
    ] = False,
    scalars: Annotated[
        bool,
        typer.Option("--scalars", help="Write main figures of each span of a run folder as TensorBoard scalars too."),
    ] = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> Any:
    """Print the bottleneck summary of a trace, of a run folder, of many ranks.

    Of a run folder the newest timing span is read: that of rank 0 if there are several, the others being listed.
    """
    from stallscope.commands.summary import print_health, print_summaries

    limits = _limits(max_size, max_ratio, max_depth, max_memory)
    if health:
        return print_health(paths, limits, form=format, output=output, force=force, strict=strict)
    code = print_summaries(
        paths, limits, form=format, output=output, force=force, strict=strict, peers=peers, rank=rank
    )
    if scalars:
        from stallscope.scalars import write_and_say

        write_and_say(paths)
    return code


@app.command(short_help="Before against after a change.")
def compare(
    baseline: Annotated[Path, typer.Argument(help="Before: a trace, a run folder, or a folder of repeated runs.")],
    candidate: Annotated[Path, typer.Argument(help="After: likewise.")],
    more_baseline: Annotated[
        list[Path] | None, typer.Option("--baseline", help="One more run of the baseline (repeatable).")
    ] = None,
    more_candidate: Annotated[
        list[Path] | None, typer.Option("--candidate", help="One more run of the candidate (repeatable).")
    ] = None,
    format: Annotated[PlainFormat, typer.Option("--format", help="Output format.")] = PlainFormat.TEXT,  # noqa: A002
    output: OutputFile = None,
    force: Force = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> Any:
    """Compare a training before and after a change, with statistics where there are repeated runs.

    Two CPU runs, two GPU runs, or a CPU run against a GPU run of the same script.
    """
    from stallscope import api
    from stallscope.analysis.report import compare_json, compare_text

    if output is not None:
        _must_be_free(output, force=force)
    limits = _limits(max_size, max_ratio, max_depth, max_memory)
    result = api.compare([baseline, *(more_baseline or ())], [candidate, *(more_candidate or ())], limits)
    if format is PlainFormat.JSON:
        _emit(compare_json.to_json(result), output, force)
    else:
        _emit(compare_text.render(result, _style(output)), output, force)
    return 0


@app.command(short_help="Forecast the step time after each fix.")
def whatif(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Trace files or run folders.", show_default=False)
    ] = None,
    fix: Annotated[
        list[str] | None, typer.Option("--fix", metavar="NAME[=N]", help="Forecast this fix only (repeatable).")
    ] = None,
    score: Annotated[
        bool, typer.Option("--score", help="Set forecasts beside what came, for all pairs of runs at PATH.")
    ] = False,
    constants: Annotated[
        bool, typer.Option("--constants", help="Show the constants that no trace holds, and their sources.")
    ] = False,
    format: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TEXT,  # noqa: A002
    output: OutputFile = None,
    force: Force = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> Any:
    """Forecast what a step would take after each fix, best first, with an interval, and why.

    Of a trace that was recorded by `stallscope profile` the forecast is in time without the profiler. A trace too
    doubtful for a forecast gets none, and the reason. --fix takes record_every=N and dataloader_workers=N too.
    """
    from stallscope.commands import whatif as forecasts

    if constants:
        return forecasts.print_constants(form=format, output=output, force=force)
    if not paths:
        raise typer.BadParameter("name a trace or a run folder", param_hint="PATH")
    limits = _limits(max_size, max_ratio, max_depth, max_memory)
    if score:
        return forecasts.print_scores(paths, limits, form=format, output=output, force=force)
    return forecasts.print_forecasts(paths, limits, fixes=fix or [], form=format, output=output, force=force)


@app.command(short_help="A copy of a trace without paths, hosts, environment.")
def redact(
    trace: CopiedTrace,
    output: CopyFile,
    drop_shapes: Annotated[bool, typer.Option("--drop-shapes", help="Leave out tensor shapes and types too.")] = False,
    force: Force = False,
) -> Any:
    """Write a copy of a trace that may be shown: without paths, host and user names, environment and metadata.

    The figures stay the same. Operator, kernel, range, module and function names are kept: look at them first.
    """
    from stallscope.api import trace_of
    from stallscope.output import write_copy
    from stallscope.traces.out import redact as redacting

    trace = trace_of(trace)
    write_copy(trace, output, redacting.redact(trace, drop_shapes=drop_shapes), force=force)
    return 0


@app.command(short_help="A summary, or a comparison, as one HTML page.")
def report(
    trace: Annotated[Path, typer.Argument(metavar="TRACE|RUN", help="A trace file or a run folder.")],
    candidate: Annotated[Path | None, typer.Argument(metavar="[CANDIDATE]", help="Another, to compare with.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page.")] = Path("report.html"),
    force: Force = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> Any:
    """Write a report to look at or to mail: one HTML file that needs no network and nothing beside it.

    The verdict, the step as a bar and as a timeline to zoom into, every table of the summary, the health of the trace.
    Of two traces, runs or folders of repeated runs: the comparison, before and after.
    """
    from stallscope.commands.report import comparison_page, page

    _must_be_free(output, force=force)
    limits = _limits(max_size, max_ratio, max_depth, max_memory)
    _emit(comparison_page(trace, candidate, limits) if candidate else page(trace, limits), output, force, tell=True)
    return 0


@app.command(short_help="A copy of a trace with the answer painted into it.")
def annotate(
    trace: CopiedTrace,
    output: CopyFile,
    force: Force = False,
    max_size: MaxSize = None,
    max_ratio: MaxRatio = None,
    max_depth: MaxDepth = None,
    max_memory: MaxMemory = None,
) -> Any:
    """Write a copy of a trace with tracks that say what each step waits for, for Perfetto and chrome://tracing.

    Added, as a process named Stallscope: the verdict over each step, the critical path, why each GPU idles, where each
    thread waits for it; as counters queued launches, copy speed, GPU memory. The trace's own events stay byte for byte.
    """
    from stallscope.api import trace_of
    from stallscope.commands.annotate import annotated
    from stallscope.output import write_copy

    trace = trace_of(trace)
    write_copy(trace, output, annotated(trace, _limits(max_size, max_ratio, max_depth, max_memory)), force=force)
    return 0


@app.command(short_help="This machine: CPU, GPU, driver, torch build.")
def env(
    format: Annotated[PlainFormat, typer.Option("--format", help="Output format.")] = PlainFormat.TEXT,  # noqa: A002
    output: OutputFile = None,
    force: Force = False,
) -> Any:
    """Describe the machine as it matters here: CPU, GPU, driver, torch build, who else uses the GPU."""
    from stallscope.analysis.report import env_text
    from stallscope.profiling.machine import machine

    if output is not None:
        _must_be_free(output, force=force)
    found = machine.collect()
    if format is PlainFormat.JSON:
        _emit(env_text.to_json(found), output, force)
    else:
        _emit(env_text.render_env(found, _style(output)), output, force)
    return 0


@app.command(short_help="Run and explain a built-in training script.")
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
) -> Any:
    """Run a built-in training script in its variants, profile each, and explain what they measured.

    Ends in a table, a plot (PNG, SVG; needs matplotlib) and an explanation made of the figures. Progress goes to
    stderr. Variants that need a GPU are run where there is one.
    """
    from stallscope import demo as workloads
    from stallscope.output import write_text

    return workloads.run(
        name,
        workloads.Request(quick=quick, repeats=repeats, logdir=logdir, out=out, device=device, again=again),
        echo=lambda line: write_text(sys.stdout, line + "\n"),
        say=lambda line: write_text(sys.stderr, line + "\n"),
    )


def _limits(size: float | None, ratio: float | None, depth: int | None, memory: float | None) -> Limits:
    from stallscope.traces.text.limits import limits

    return limits(size, ratio, depth, memory)


def _must_be_free(path: Path, *, force: bool) -> None:
    from stallscope.output import must_be_free

    must_be_free(path, force=force)


def _style(output: Path | None) -> Any:
    from stallscope.output import style_of

    return style_of(output)


def _emit(data: str | bytes, output: Path | None, force: bool, *, tell: bool = False) -> None:
    from stallscope.output import emit

    emit(data, output, force=force, tell=tell)


def _execute(argv: list[str]) -> int:
    """Run one command; the exit code."""
    command = typer.main.get_command(app)
    return exit_code(lambda: command.main(args=argv, prog_name="stallscope", standalone_mode=False), argv)


def main(argv: list[str] | None = None) -> NoReturn:
    """Entry point of the ``stallscope`` command."""
    sys.exit(_execute(sys.argv[1:] if argv is None else argv))
