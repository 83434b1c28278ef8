"""The routes of the TensorBoard plugin *Stallscope*.

``/runs``           the runs below the log folder, their workers and spans, as JSON
``/state?span=ID``  how far the page of a span is: ``{"state", "text", "seconds"}``
``/page?span=ID``   the page itself, once its state is ``ready``
                    (both with ``&with=ID``: the comparison of the span, after, with another one, before)
``/index.js``       the tab

A span is asked for by the number that ``/runs`` gave it, never by a path: no query reaches a file outside the log
folder. Every query is answered with 200, 400 or 404.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from tensorboard.plugins import base_plugin
from werkzeug import Request, Response

from stallscope.analysis.tensorboard.pages import Asked, Pages
from stallscope.traces.errors import StallscopeError
from stallscope.traces.runs import Run, Worker, find_runs

PLUGIN_NAME = "stallscope"
FRESH_S = 5.0  # seconds for which a listing of the log folder holds
FRAMED = "frame-ancestors 'self'"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": FRAMED,
}


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies below the log folder; the number of a span is its place in ``spans``."""

    runs: list[dict[str, Any]]
    spans: list[Asked]
    why_none: str


class StallscopePlugin(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard tells no types
    """Runs, workers and spans of a log folder, and a page for each span or pair of spans.

    ``make`` makes a page of one trace file, or of two.
    """

    plugin_name = PLUGIN_NAME

    def __init__(self, context: Any, make: Callable[..., str]) -> None:
        super().__init__(context)
        self._logdir = Path(context.logdir) if context.logdir else None
        self._pages = Pages(make)
        self._listing = Listing([], [], "")
        self._listed = float("-inf")
        self._numbers: dict[Path, int] = {}
        self._names: dict[int, str] = {}
        self._lock = threading.Lock()

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        """The routes."""
        answers = {"/index.js": self._index, "/runs": self._runs, "/state": self._state, "/page": self._page}
        return {route: Request.application(answer) for route, answer in answers.items()}

    def is_active(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.listing().runs)

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """What the tab is called and which script draws it."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Stallscope")

    def listing(self) -> Listing:
        """The runs, looked for again after some seconds."""
        with self._lock:  # TensorBoard asks from many threads, and each span must have a number of its own
            if time.monotonic() - self._listed > FRESH_S:
                self._listing = self._look()
                self._listed = time.monotonic()
            return self._listing

    def _look(self) -> Listing:
        if self._logdir is None or not self._logdir.is_dir():
            return Listing([], [], f"{self._logdir or 'the log folder'}: no such folder on this machine")
        try:
            runs = find_runs(self._logdir)
        except StallscopeError as error:
            return Listing([], [], str(error))
        rows = [
            {"name": run.name, "workers": [self._worker(run, each) for each in sorted(run.workers, key=_rank)]}
            for run in runs
        ]
        return Listing(rows, [Asked(path, self._names[number]) for path, number in self._numbers.items()], "")

    def _worker(self, run: Run, worker: Worker) -> dict[str, Any]:
        """A worker with its spans, the one to look at first marked."""
        first = run.timing_trace(worker).path
        kinds = {window.trace: f"{window.kind}, {window.round} round" for window in _windows(worker)}
        spans: list[dict[str, Any]] = [
            {
                "id": self._numbers.setdefault(span.path, len(self._numbers)),
                "name": span.path.name.removeprefix(f"{worker.name}."),
                "kind": kinds.get(span.path.name),
                "first": span.path == first,
            }
            for span in worker.spans
        ]
        for each in spans:
            known = [run.name, _called(worker) if len(run.workers) > 1 else None]
            known.append(None if each["first"] else each["kind"] or each["name"])
            self._names[each["id"]] = ", ".join(part for part in known if part)
        return {"name": _called(worker), "spans": spans}

    # --- routes ----------------------------------------------------------------------------------

    def _index(self, _request: Request) -> Response:
        return _respond(_script(), "text/javascript")

    def _runs(self, _request: Request) -> Response:
        listing = self.listing()
        return _json({"runs": listing.runs, "why_none": listing.why_none, "logdir": str(self._logdir or "")})

    def _state(self, request: Request) -> Response:
        asked = self._asked(request)
        if isinstance(asked, Response):
            return asked
        page = self._pages.ask(*asked)
        text = page.text if page.state == "failed" else ""
        return _json({"state": page.state, "text": text, "seconds": round(time.monotonic() - page.since, 1)})

    def _page(self, request: Request) -> Response:
        asked = self._asked(request)
        if isinstance(asked, Response):
            return asked
        page = self._pages.ask(*asked)
        if page.state != "ready":
            return _json({"error": "this page is not ready; ask /state first"}, 404)
        from stallscope.analysis.report.html_page import policy  # noqa: PLC0415 - TensorBoard starts without it

        # The page says the same of itself; a page that others kept beside a run may not.
        return _respond(page.text, "text/html", policy=f"{policy(scripts=True)}; {FRAMED}")

    def _asked(self, request: Request) -> tuple[Asked, ...] | Response:
        """The files that a query names by their spans' numbers, the earlier one first; or the answer to any other."""
        told = [request.args[name] for name in ("with", "span") if name in request.args]
        if "span" not in request.args or not all(_is_number(each) for each in told):
            return _json({"error": "span (and with) must be numbers given by /runs"}, 400)
        known = self.listing().spans
        if any(int(each) >= len(known) for each in told):
            return _json({"error": "there is no such span"}, 404)
        return tuple(known[int(each)] for each in told)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10  # noqa: PLR2004 - any number that /runs gave


def _rank(worker: Worker) -> tuple[int, str]:
    """Ranks in order where a manifest tells them."""
    return (worker.manifest.rank or 0) if worker.manifest else 0, worker.name


def _called(worker: Worker) -> str:
    """``rank 1 of 4 (gpu-node-1)``; without a manifest the name that the files carry."""
    manifest = worker.manifest
    if manifest is None or manifest.world_size < 2:  # noqa: PLR2004 - one process is no rank of anything
        return worker.name
    return f"rank {manifest.rank} of {manifest.world_size} ({worker.name})"


def _windows(worker: Worker) -> list[Any]:
    return worker.manifest.windows if worker.manifest else []


@cache
def _script() -> str:
    return resources.files("stallscope.analysis.tensorboard").joinpath("web", "index.js").read_text(encoding="utf-8")


def _json(content: Any, code: int = 200) -> Response:
    return _respond(msgspec.json.encode(content).decode(), "application/json", code)


def _respond(text: str, kind: str, code: int = 200, policy: str = FRAMED) -> Response:
    headers = {**HEADERS, "Content-Security-Policy": policy}
    return Response(text, status=code, content_type=f"{kind}; charset=utf-8", headers=headers)
