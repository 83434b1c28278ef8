"""The TensorBoard plugin as its tests drive it: a client for each route, a log folder, its pages waited for."""

from __future__ import annotations

import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from werkzeug.test import Client

from stallscope.tensorboard import Plugin
from tests.builders import TraceBuilder

ROUTES = ("/index.js", "/runs", "/state", "/page", "/figures")
PATIENCE_S = 60
VALUES = ("0", "1", "2", "-1", "007", "1e3", "../secret.txt", "/etc/passwd", "%2e%2e%2f", "\x00", "٣", "9" * 4000)


def a_step(operator: str = "aten::mm") -> TraceBuilder:
    """One step with one kernel."""
    return TraceBuilder().step(0, 100).op(operator, 0, 90).launch(2, 5, kernel=("gemm", 10, 30))


def good_and_broken(folder: Path) -> Path:
    """A log folder of two runs, one of them with a broken trace; beside it a file that is nobody's business."""
    for name in ("good", "broken"):
        (folder / "runs" / name).mkdir(parents=True)
    a_step().write(folder / "runs" / "good")
    (folder / "runs" / "broken" / "worker0.17.pt.trace.json").write_text("hello")
    (folder / "secret.txt").write_text("nobody's business")
    return folder / "runs"


def clients(logdir: Path | None) -> dict[str, Client]:
    """A client for each route of the plugin on a log folder."""
    plugin = Plugin(SimpleNamespace(logdir=str(logdir) if logdir else ""))
    return {route: Client(app) for route, app in plugin.get_plugin_apps().items()}


def spans(routes: dict[str, Client]) -> dict[str, int]:
    """The number of the first span of each run."""
    runs = routes["/runs"].get("/").json["runs"]
    return {run["name"]: run["workers"][0]["spans"][0]["id"] for run in runs}


def until_done(routes: dict[str, Client], **query: int) -> dict[str, Any]:
    """The state of a page when nothing more will come."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found: dict[str, Any] = routes["/state"].get("/", query_string=query).json
        if found["state"] in ("ready", "failed"):
            return found
        time.sleep(0.02)
    raise AssertionError("the page was never made")


def a_query(chance: random.Random) -> dict[str, str] | str:
    """Names and values of all kinds, or text that is no query at all."""
    if chance.random() < 0.2:
        return "".join(chr(chance.randrange(1, 0x2FF)) for _ in range(chance.randrange(60)))
    names = chance.sample(["span", "span", "with", "path", "run", "", "span[]"], chance.randrange(4))
    return {
        name: chance.choice([*VALUES, "0", "1", str(chance.random()), chr(chance.randrange(0x10000, 0x1FFFF))])
        for name in names
    }
