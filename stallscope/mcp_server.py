"""The questions of ``mcp_tools`` as a server of the Model Context Protocol, by its official SDK (extra ``mcp``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stallscope.mcp_tools import MOST, Tools
from stallscope.traces.model.errors import BadInput, StallscopeError
from stallscope.traces.model.version import version

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

MISSING = "the server needs the MCP SDK: python -m pip install 'stallscope[mcp]'"
INSTRUCTIONS = (
    "Explains why PyTorch trainings are slow, from traces that were recorded. Begin with runs, then causes of one of "
    f"its paths. Answers are JSON of at most {MOST // 1000} kB; full=true gives all. Times are µs, per-step figures "
    "are per training step, null is unknown (never 0)."
)


def server(root: Path) -> MCPServer[Any]:
    """The server for one folder.

    Raises:
        BadInput: there is no such folder, or the SDK is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise BadInput(MISSING) from error
    if not root.is_dir():
        raise BadInput(f"{root}: is no folder; name one that holds runs with --root")
    made: MCPServer[Any] = MCPServer("stallscope", instructions=INSTRUCTIONS, version=version(), log_level="WARNING")
    tools = Tools(root.resolve())

    def runs() -> str:
        return _told(tools.runs)

    def summary(path: str, full: bool = False) -> str:
        return _told(lambda: tools.summary(path, full=full))

    def causes(path: str, full: bool = False) -> str:
        return _told(lambda: tools.causes(path, full=full))

    def whatif(path: str, full: bool = False) -> str:
        return _told(lambda: tools.whatif(path, full=full))

    def compare(baseline: str, candidate: str, full: bool = False) -> str:
        return _told(lambda: tools.compare(baseline, candidate, full=full))

    def check(
        path: str, limits: dict[str, float | str] | None = None, against: str | None = None, full: bool = False
    ) -> str:
        return _told(lambda: tools.check(path, limits, against, full=full))

    for tool in (runs, summary, causes, whatif, compare, check):
        words = " ".join((getattr(Tools, tool.__name__).__doc__ or "").split())
        made.add_tool(tool, description=words, structured_output=False)
    return made


def _told(ask: Callable[[], str]) -> str:
    """An answer; what cannot be answered is an error of the tool, in one sentence."""
    from mcp.server.mcpserver.exceptions import ToolError  # noqa: PLC0415 - an extra

    try:
        return ask()
    except StallscopeError as error:
        raise ToolError(str(error)) from error
