"""The routes of the TensorBoard plugin *Stallscope*.

``/runs``              the runs below the log folder, their workers and spans, as JSON
``/state?span=ID``     how far the page of a span is: ``{"state", "text", "doing", "share", "seconds", "number"}``
``/page?span=ID``      the page itself, once its state is ``ready``
``/figures?span=ID``   its figures as JSON (contract ``stallscope.summary/2``), once its state is ``ready``
                       (all three with ``&with=ID``: the span, after, compared with another one, before; the figures
                       are then those of ``stallscope.compare/1``)
``/index.js``          the tab

A span is asked for by the number that ``/runs`` gave it, never by a path: no query reaches a file outside the log
folder. Every query is answered with 200, 400 or 404, and under a name that is not this machine's with 403.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from tensorboard.plugins import base_plugin
from werkzeug import Request, Response

from stallscope.analysis.report.style import safe
from stallscope.analysis.tensorboard.hosts import FOREIGN, Hosts
from stallscope.analysis.tensorboard.listing import Listings
from stallscope.analysis.tensorboard.pages import Asked, Key, Made, Page, Pages

PLUGIN_NAME = "stallscope"
FRAMED = "frame-ancestors 'self'"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": FRAMED,
}


class StallscopePlugin(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard tells no types
    """Runs, workers and spans of a log folder, and a page for each span or pair of spans.

    ``make`` makes a page of one trace file, or of two.
    """

    plugin_name = PLUGIN_NAME

    def __init__(self, context: Any, make: Callable[[Page, Key], Made]) -> None:
        super().__init__(context)
        self._logdir = Path(context.logdir) if context.logdir else None
        self._hosts = Hosts(getattr(context, "flags", None))
        self._pages = Pages(make)
        self._listings = Listings(self._logdir)
        self._listings.look()  # done before a browser asks, but for a slow file system

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        """The routes."""
        answers = {
            "/index.js": self._index,
            "/runs": self._runs,
            "/state": self._state,
            "/page": self._page,
            "/figures": self._figures,
        }
        return {route: Request.application(self._guarded(answer)) for route, answer in answers.items()}

    def is_active(self) -> bool:
        """Whether there is anything to show. TensorBoard's first answer to a browser waits for this one."""
        return bool(self._listings.last().runs)

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """What the tab is called and which script draws it."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Stallscope")

    def _guarded(self, answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
        """Answer only who asks this machine under a name of its own."""

        def guarded(request: Request) -> Response:
            if self._hosts.foreign(request.headers.get("Host", "localhost")):
                return _json({"error": FOREIGN}, 403)
            return answer(request)

        return guarded

    # --- routes ----------------------------------------------------------------------------------

    def _index(self, _request: Request) -> Response:
        return _respond(_script(), "text/javascript")

    def _runs(self, _request: Request) -> Response:
        found = self._listings.fresh()
        logdir = safe(str(self._logdir or ""))
        told = {"runs": found.runs, "why_none": found.why_none, "unreadable": found.unreadable, "logdir": logdir}
        return _json(told)

    def _state(self, request: Request) -> Response:
        asked = self._asked(request)
        if isinstance(asked, Response):
            return asked
        page = self._pages.ask(*asked)
        seconds = round(time.monotonic() - page.since, 1)
        told = {"state": page.state, "text": safe(page.text), "doing": safe(page.doing), "share": page.share}
        return _json({**told, "seconds": seconds, "number": page.number})

    def _page(self, request: Request) -> Response:
        made = self._made(request)
        if isinstance(made, Response):
            return made
        from stallscope.analysis.report.html.page import policy  # noqa: PLC0415 - TensorBoard starts without it

        # The page says the same of itself; a page that others kept beside a run may not.
        return _respond(made.page, "text/html", policy=f"{policy(scripts=True)}; {FRAMED}")

    def _figures(self, request: Request) -> Response:
        made = self._made(request)
        return made if isinstance(made, Response) else _respond(made.figures, "application/json")

    def _made(self, request: Request) -> Made | Response:
        """What was made of the spans that a query names, or the answer to a query that gets nothing."""
        asked = self._asked(request)
        if isinstance(asked, Response):
            return asked
        page = self._pages.ask(*asked)
        if page.made is None:
            return _json({"error": "this page is not ready; ask /state first"}, 404)
        return page.made

    def _asked(self, request: Request) -> tuple[Asked, ...] | Response:
        """The files that a query names by their spans' numbers, the earlier one first; or the answer to any other."""
        told = [request.args[name] for name in ("with", "span") if name in request.args]
        if "span" not in request.args or not all(_is_number(each) for each in told):
            return _json({"error": "span (and with) must be numbers given by /runs"}, 400)
        known = self._listings.last().spans
        if any(int(each) >= len(known) for each in told):
            return _json({"error": "there is no such span"}, 404)
        return tuple(known[int(each)] for each in told)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10  # noqa: PLR2004 - any number that /runs gave


@cache
def _script() -> str:
    return resources.files("stallscope.analysis.tensorboard").joinpath("web", "index.js").read_text(encoding="utf-8")


def _json(content: Any, code: int = 200) -> Response:
    """``content`` in ASCII: what no encoding knows (a name of a file that is not UTF-8) is escaped, never an error."""
    return _respond(json.dumps(content), "application/json", code)


def _respond(text: str, kind: str, code: int = 200, policy: str = FRAMED) -> Response:
    headers = {**HEADERS, "Content-Security-Policy": policy}
    return Response(text, status=code, content_type=f"{kind}; charset=utf-8", headers=headers)
