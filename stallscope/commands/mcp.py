"""``stallscope mcp``: a server for agents, over stdin and stdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def mcp(
    root: Annotated[Path, typer.Option(help="The folder with the runs; nothing outside it is read.")] = Path(),
) -> Callable[[], None]:
    """Answer an agent's questions about the runs below a folder, by the Model Context Protocol over stdin and stdout.

    Tools: runs, summary, causes, whatif, compare, check. Nothing is written. Needs the extra `stallscope[mcp]`.
    """
    from stallscope.mcp_server import server  # noqa: PLC0415 - the SDK is an extra

    return server(root).run
