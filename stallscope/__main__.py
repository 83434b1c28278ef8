"""``python -m stallscope``, and the ``stallscope`` command.

The parser of options takes as long to load as a small trace takes to read, so the plainest of all command lines,
``summary`` with paths and no option but ``--format``, is understood here; all others go to ``cli.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from stallscope.outcome import exit_code

FORMATS = ("text", "json", "markdown")


def plain_summary(argv: list[str]) -> tuple[list[Path], str] | None:
    """Paths and format of a plain ``summary`` command line; None: it is another one."""
    if argv[:1] != ["summary"]:
        return None
    paths, form, rest = [], "text", iter(argv[1:])
    for argument in rest:
        if argument == "--format":
            form = next(rest, "")
        elif argument.startswith("--format="):
            form = argument.removeprefix("--format=")
        elif argument.startswith("-"):
            return None
        else:
            paths.append(Path(argument))
    return (paths, form) if paths and form in FORMATS else None


def main() -> NoReturn:
    """Entry point of the ``stallscope`` command."""
    argv = sys.argv[1:]
    plain = plain_summary(argv)
    if plain is None:
        from stallscope import cli  # noqa: PLC0415

        cli.main()
    sys.exit(exit_code(lambda: _print(*plain), argv))


def _print(paths: list[Path], form: str) -> int:
    from stallscope.commands.summary import print_summaries  # noqa: PLC0415 - within what catches all
    from stallscope.traces.text.limits import DEFAULT  # noqa: PLC0415

    return print_summaries(paths, DEFAULT, form=form, output=None, force=False, strict=False, peers=False)


if __name__ == "__main__":
    main()
