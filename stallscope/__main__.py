"""``python -m stallscope``, and the ``stallscope`` command.

The parser of options takes a third as long to load as a small trace takes to explain, so the plainest of all command
lines, ``summary`` with paths and no option but ``--format``, is understood here; all others go to ``cli.py``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from stallscope import foreign
from stallscope.analysis.report.formats import formats
from stallscope.outcome import exit_code


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
    return (paths, form) if paths and form in formats("summary") else None


def main() -> NoReturn:
    """Entry point of the ``stallscope`` command."""
    foreign.note()
    argv = sys.argv[1:]
    plain = plain_summary(argv)
    if plain is None:
        from stallscope import cli  # noqa: PLC0415

        cli.main()
    sys.exit(exit_code(lambda: _print(*plain), argv))


def _print(paths: list[Path], form: str) -> None:
    _import_numpy()
    from stallscope import api  # noqa: PLC0415 - within what catches all
    from stallscope.output import printer  # noqa: PLC0415

    show = printer("summary", form, None, force=False)
    show([run.summary for path in paths for run in api.load_rank(path)])


def _import_numpy() -> None:
    """Numpy without the threads of its linear algebra, which no summary uses and whose start costs more than it.

    The environment is as before when this returns.
    """
    if "OPENBLAS_NUM_THREADS" in os.environ:
        return
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        import numpy  # noqa: F401, ICN001, PLC0415
    finally:
        del os.environ["OPENBLAS_NUM_THREADS"]


if __name__ == "__main__":
    if not sys.flags.safe_path:  # in place of the current folder: no file in it is what we import
        sys.path[0] = str(Path(__file__).parents[1])
    main()
