"""``stallscope ab``: two variants of a training, or more, run in turn; which is faster, and how sure that is."""

from __future__ import annotations

import contextlib
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stallscope.commands.options import Force, OutputFile, format_of
from stallscope.output import printer
from stallscope.traces.model.errors import BadInput

if TYPE_CHECKING:
    from stallscope.analysis.contract.ab import Ab
    from stallscope.in_turn import Variant

# What a command needs is loaded when it is called.
# ruff: noqa: PLC0415
MOST_ROUNDS = 20
UNITS = {"s": 1, "m": 60, "h": 3600}
FAILS = {"slower": ("slower",), "changed": ("slower", "faster", "withheld"), "cannot-tell": ("cannot tell",)}
CANNOT_TELL = 3


def ab(
    commands: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="'train.py --lr 0.1' for each variant, A first.")
    ],
    parameter: Annotated[
        tuple[str, str] | None,
        typer.Option("-L", "--parameter", metavar="NAME VALUES", help="-L lr 0.1,0.2: a variant for each {lr}."),
    ] = None,
    rev: Annotated[list[str] | None, typer.Option(metavar="REVISION", help="A commit to run; give two.")] = None,
    env_a: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Set for A alone.")] = None,
    env_b: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Set for B alone.")] = None,
    rounds: Annotated[str, typer.Option(metavar="auto|N", help="auto: until it is decided, 20 at most.")] = "auto",
    max_time: Annotated[str | None, typer.Option(metavar="10m", help="Begin no round that would pass it.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the timing window.")] = None,
    min_effect: Annotated[str, typer.Option(metavar="1%", help="The smallest change that matters.")] = "1%",
    noise: Annotated[bool, typer.Option("--noise", help="Run A against itself: what the machine's noise is.")] = False,
    same_result: Annotated[
        str | None,
        typer.Option(metavar="loss|FILE", help="Never say faster where the last number printed, or FILE, differs."),
    ] = None,
    rtol: Annotated[float, typer.Option(min=0, help="What a loss may differ by.")] = 1e-3,
    timeout: Annotated[str | None, typer.Option(metavar="5m", help="End a run that takes longer.")] = None,
    fail_if: Annotated[
        list[str] | None, typer.Option(metavar="slower|changed|cannot-tell", help="Exit with 1 then (repeatable).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the order of the runs.  [default: a new one]")] = None,
    logdir: Annotated[Path, typer.Option(help="Folder of the recordings.")] = Path("runs"),
    form: Annotated[str, format_of("ab")] = "text",
    output: OutputFile = None,
    force: Force = False,
) -> int:
    """Run variants of a training in turn, each in a fresh process, and say which is faster.

    Answers: faster, slower, the same within --min-effect, or cannot tell. What a step launches, waits for and reads is
    counted, exactly. Exit code 1: a --fail-if holds (3: cannot-tell).
    """
    from stallscope.in_turn import Asked, run_all

    show = printer("ab", form, output, force=force)
    unknown = [each for each in fail_if or () if each not in FAILS]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(FAILS)}", param_hint="--fail-if")
    with _variants(commands, parameter, rev or (), (env_a or (), env_b or ()), noise=noise) as variants:
        found = run_all(
            Asked(
                variants=tuple(variants),
                most=MOST_ROUNDS if rounds == "auto" else _rounds(rounds),
                fixed=rounds != "auto",
                max_time_s=None if max_time is None else _seconds("--max-time", max_time),
                least=_share(min_effect),
                steps=steps,
                noise=noise,
                same_result=same_result,
                tolerance=rtol,
                timeout_s=None if timeout is None else _seconds("--timeout", timeout),
                seed=random.SystemRandom().randrange(10**6) if seed is None else seed,
                logdir=logdir,
            ),
            _say,
        )
    show(found)
    return _exit_code(found, fail_if or ())


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"stallscope: {text}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def _variants(
    commands: Sequence[str],
    parameter: tuple[str, str] | None,
    revisions: Sequence[str],
    environments: tuple[Sequence[str], Sequence[str]],
    *,
    noise: bool,
) -> Iterator[list[Variant]]:
    """The variants, by whichever way they are told apart.

    Raises:
        BadInput: they are not told apart, or in two ways.
    """
    from stallscope.in_turn import Variant, by_parameter, has_changes, words_of, worktrees

    ways = [parameter is not None, bool(revisions), any(environments), noise, len(commands) > 1]
    if sum(ways) != 1:
        raise BadInput(
            "say in one way how the variants differ: two commands, -L NAME VALUES, --rev twice, --env-b, or --noise"
        )
    if parameter is not None:
        yield by_parameter(parameter[0], [each for each in parameter[1].split(",") if each], commands[0])
    elif revisions:
        if len(revisions) < 2:  # noqa: PLR2004
            raise BadInput(f"--rev {revisions[0]}: name two revisions, as in --rev main --rev HEAD")
        if has_changes():
            _say("changes that are not committed are in neither side")
        with worktrees(revisions, commands[0]) as variants:
            yield variants
    else:
        words = [words_of(each) for each in commands] if len(commands) > 1 else [words_of(commands[0])] * 2
        told = [dict(map(_pair, each)) for each in environments]
        made = [
            Variant(label=" ".join([*(f"{k}={v}" for k, v in env.items()), *word]), words=word, environment=env)
            for word, env in zip(words, [*told, *({} for _ in words[2:])], strict=True)
        ]
        yield made


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise BadInput(f"--env-a, --env-b: {text!r} is no NAME=VALUE")
    return name, value


def _rounds(text: str) -> int:
    if not text.isdigit() or not 2 <= int(text) <= 1000:  # noqa: PLR2004
        raise BadInput(f"--rounds {text}: auto, or a number from 2 to 1000")
    return int(text)


def _seconds(option: str, text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text.strip())
    if found is None or not float(found[1]):
        raise BadInput(f"{option} {text}: a time such as 90s, 10m or 1h")
    return float(found[1]) * UNITS[found[2] or "s"]


def _share(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip())
    if found is None or not 0 < float(found[1]) < 100:  # noqa: PLR2004
        raise BadInput(f"--min-effect {text}: a percentage such as 1%")
    return float(found[1]) / 100


def _exit_code(found: Ab, fail_if: Sequence[str]) -> int:
    answers = {each.answer for each in found.comparisons}
    met = [name for name in fail_if if answers & set(FAILS[name])]
    if not met:
        return 0
    return CANNOT_TELL if met == ["cannot-tell"] else 1
