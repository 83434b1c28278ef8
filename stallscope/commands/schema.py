"""``stallscope schema``: the JSON that commands write, as JSON Schema."""

from __future__ import annotations

from typing import Annotated

import typer

from stallscope.commands.options import Force, OutputFile


def schema(
    name: Annotated[str | None, typer.Argument(help="Which contract; without it, they are listed.")] = None,
    output: OutputFile = None,
    force: Force = False,
) -> None:
    """Print the JSON Schema of what a command writes: every field with its type and what it means."""
    from stallscope.analysis.report import schemas  # noqa: PLC0415 - the types are loaded when they are asked for
    from stallscope.analysis.report.document import document  # noqa: PLC0415
    from stallscope.output import emit, must_be_free  # noqa: PLC0415

    if output is not None:
        must_be_free(output, force=force)
    if name is not None:
        emit(document(schemas.json_schema(name)), output, force=force)
        return
    rows = [(each, schemas.name_of(contract), contract.by) for each, contract in schemas.CONTRACTS.items()]
    emit("".join(f"{each:<10} {told:<25} {by}\n" for each, told, by in rows), output, force=force)
