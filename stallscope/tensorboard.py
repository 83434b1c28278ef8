"""What TensorBoard loads as the plugin *Stallscope*: the routes, with the pages that `stallscope report` makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stallscope.analysis.tensorboard.plugin import StallscopePlugin


class Plugin(StallscopePlugin):
    """The plugin, made by TensorBoard from its context."""

    def __init__(self, context: Any) -> None:
        super().__init__(context, _page)


def _page(path: Path, candidate: Path | None = None) -> str:
    from stallscope.reporting import comparison_page, page  # noqa: PLC0415 - TensorBoard starts without numpy
    from stallscope.traces.limits import DEFAULT  # noqa: PLC0415

    return page(path, DEFAULT) if candidate is None else comparison_page(path, candidate, DEFAULT)
