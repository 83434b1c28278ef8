"""The ``stallscope`` command: its name, its version, its commands. The only place that exits."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from stallscope.outcome import exit_code
from stallscope.traces.model.version import version

# In the order of the help. Each is a function of its name in a module of its name in ``commands``.
COMMANDS: Final = {
    "profile": "Run a training script, find its steps, explain them.",
    "summary": "Explain a trace or a run folder.",
    "compare": "Before against after a change.",
    "ab": "Two variants run in turn: which is faster.",
    "check": "Budgets per step, as a gate for CI.",
    "whatif": "Forecast the step time after each fix.",
    "redact": "A copy of a trace without paths, hosts, environment.",
    "report": "A summary, or a comparison, as one HTML page.",
    "annotate": "A copy of a trace with the answer painted into it.",
    "mcp": "A server for agents, about the runs below a folder.",
    "schema": "The JSON of a command, as JSON Schema.",
    "env": "This machine: CPU, GPU, driver, torch build.",
    "demo": "Run and explain a built-in training script.",
}
PLAIN: Final[dict[str, Any]] = {
    "add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None,
}  # fmt: skip


class Commands(TyperGroup):
    """The commands, each imported when it is called: none pays for what another one needs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": dict.fromkeys(COMMANDS)})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One command as the parser wants it; None: there is none of that name."""
        del ctx
        return command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Their list in the help."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def command(name: str) -> Any:
    """The command ``name``, its options read off its function."""
    module = import_module(f"stallscope.commands.{name}")
    one = typer.Typer(**PLAIN)
    one.command(name, context_settings=getattr(module, "CONTEXT", None))(getattr(module, name))
    return typer.main.get_command(one)


app = typer.Typer(
    name="stallscope",
    cls=Commands,
    help="Why is my GPU slow? Profiles an unmodified PyTorch training script and explains where its step goes.",
    epilog="First steps: stallscope demo iris-mlp, or stallscope profile train.py",
    no_args_is_help=True,
    **PLAIN,
)


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


def _execute(argv: list[str]) -> int:
    """Run one command; the exit code."""
    group = typer.main.get_command(app)
    return exit_code(lambda: group.main(args=argv, prog_name="stallscope", standalone_mode=False), argv)


def main(argv: list[str] | None = None) -> NoReturn:
    """Entry point of the ``stallscope`` command."""
    sys.exit(_execute(sys.argv[1:] if argv is None else argv))
