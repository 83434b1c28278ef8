"""What TensorBoard loads as the plugin *Stallscope*: the routes, with the pages that `stallscope report` makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stallscope.analysis.tensorboard.pages import Key, Made, Page
from stallscope.analysis.tensorboard.plugin import StallscopePlugin

if TYPE_CHECKING:
    from stallscope.traces.text.limits import Limits

# Nobody has asked for a page when TensorBoard starts: it starts without numpy and the analysis.
# ruff: noqa: PLC0415


class Plugin(StallscopePlugin):
    """The plugin, made by TensorBoard from its context."""

    def __init__(self, context: Any) -> None:
        super().__init__(context, made)


def made(page: Page, asked: Key) -> Made:
    """The page and the figures of one trace, or of two, kept on disk for the next time."""
    from stallscope import page_cache

    def make() -> str:
        return msgspec.json.encode(_made(page, asked)).decode()

    page.does("looking for a kept page")
    paths, names = tuple(each.path for each in asked), tuple(each.name for each in asked)
    kept = page_cache.page_of(make, paths, names if len(names) > 1 else ())
    try:
        return msgspec.json.decode(kept, type=Made)
    except (msgspec.DecodeError, UnicodeDecodeError):  # somebody else's idea of a page
        return _made(page, asked)


def _made(page: Page, asked: Key) -> Made:
    from stallscope.traces.text.limits import Limits

    limits = Limits(watch=page.reading)
    return _one(page, asked[0].path, limits) if len(asked) == 1 else _two(page, asked, limits)


def _one(page: Page, path: Path, limits: Limits) -> Made:
    from stallscope import api
    from stallscope.analysis.report.html.summary import page_of
    from stallscope.analysis.report.summary import json

    summary, stages = api.explained(path, limits)
    page.does("drawing the page")
    return Made(page_of(summary, stages), json.render([summary]).decode())


def _two(page: Page, asked: Key, limits: Limits) -> Made:
    from stallscope import api
    from stallscope.analysis.report.compare import json
    from stallscope.analysis.report.html.compare import render

    before, after = asked
    compared = api.compared(before.path, after.path, limits, names=(before.name, after.name))
    page.does("drawing the page")
    return Made(render(*compared), json.render(compared.comparison).decode())
