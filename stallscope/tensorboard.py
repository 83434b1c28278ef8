"""What TensorBoard loads as the plugin *Stallscope*: the routes, with the pages that `stallscope report` makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stallscope.analysis.tensorboard.pages import Asked
from stallscope.analysis.tensorboard.plugin import StallscopePlugin


class Plugin(StallscopePlugin):
    """The plugin, made by TensorBoard from its context."""

    def __init__(self, context: Any) -> None:
        super().__init__(context, _page)


def _page(*asked: Asked) -> str:
    """The page of one trace, or of two, kept on disk for the next time."""
    from stallscope import page_cache  # noqa: PLC0415 - nobody has asked for a page when TensorBoard starts

    paths, names = tuple(each.path for each in asked), tuple(each.name for each in asked)
    return page_cache.page_of(lambda: _made(paths, names), paths, names if len(names) > 1 else ())


def _made(paths: tuple[Path, ...], names: tuple[str, ...]) -> str:
    from stallscope.reporting import comparison_page, page  # noqa: PLC0415 - TensorBoard starts without numpy
    from stallscope.traces.limits import DEFAULT  # noqa: PLC0415

    if len(paths) == 1:
        return page(paths[0], DEFAULT)
    return comparison_page(paths[0], paths[1], DEFAULT, names=(names[0], names[1]))
