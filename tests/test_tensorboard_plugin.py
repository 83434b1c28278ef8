"""The TensorBoard plugin's routes: what they list and show, and that no query gets more."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from stallscope.analysis.tensorboard.pages import KEPT, Pages
from stallscope.tensorboard import Plugin
from stallscope.traces.errors import BadInput
from tests.builders import TraceBuilder

ROUTES = ("/index.js", "/runs", "/state", "/page")


def a_step() -> TraceBuilder:
    """One step with one kernel."""
    return TraceBuilder().step(0, 100).op("aten::mm", 0, 90).launch(2, 5, kernel=("gemm", 10, 30))


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    """Two runs, one of them with a broken trace, and a file beside them that is nobody's business."""
    for name in ("good", "broken"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    a_step().write(tmp_path / "runs" / "good")
    (tmp_path / "runs" / "broken" / "worker0.17.pt.trace.json").write_text("hello")
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path / "runs"


def clients(logdir: Path | None) -> dict[str, Client]:
    """A client for each route of the plugin on a log folder."""
    plugin = Plugin(SimpleNamespace(logdir=str(logdir) if logdir else ""))
    return {route: Client(app) for route, app in plugin.get_plugin_apps().items()}


def until_done(client: Client, span: int) -> dict[str, Any]:
    """The state of a span's page when nothing more will come."""
    for _ in range(600):
        found = client.get("/", query_string={"span": span}).json
        if found["state"] in ("ready", "failed"):
            return found
        time.sleep(0.05)
    raise AssertionError("the page was never made")


def spans(routes: dict[str, Client]) -> dict[str, int]:
    """The number of the first span of each run."""
    runs = routes["/runs"].get("/").json["runs"]
    return {run["name"]: run["workers"][0]["spans"][0]["id"] for run in runs}


def test_runs_and_a_page(logdir: Path):
    """Both runs are listed; the good one's page is the report, made in the background and shown when it is ready."""
    routes = clients(logdir)
    found = spans(routes)
    assert sorted(found) == ["broken", "good"]
    assert until_done(routes["/state"], found["good"])["state"] == "ready"
    page = routes["/page"].get("/", query_string={"span": found["good"]})
    assert page.status_code == 200
    assert "gemm" in page.text
    assert page.headers["Content-Security-Policy"] == "frame-ancestors 'self'"


def test_two_runs_compared(tmp_path: Path):
    """With another span the page is the comparison, that one before, this one after."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        a_step().write(tmp_path / name)
    routes = clients(tmp_path)
    found = spans(routes)
    query = {"span": found["second"], "with": found["first"]}
    while routes["/state"].get("/", query_string=query).json["state"] in ("waiting", "working"):
        time.sleep(0.05)
    text = routes["/page"].get("/", query_string=query).text
    assert "Stallscope comparison" in text
    assert re.search(r"before</dt><dd>[^<]*first[^<]*</dd><dt>after</dt><dd>[^<]*second", text)


def test_a_broken_trace_is_a_sentence(logdir: Path):
    """What `summary` would say of the file is what the tab says; there is no page."""
    routes = clients(logdir)
    number = spans(routes)["broken"]
    found = until_done(routes["/state"], number)
    assert found["state"] == "failed"
    assert "JSON" in found["text"]
    assert routes["/page"].get("/", query_string={"span": number}).status_code == 404


def test_no_run_yet(tmp_path: Path):
    """An empty folder, a missing one and none at all: no run, and a sentence that says so."""
    for folder in (tmp_path, tmp_path / "missing", None):
        told = clients(folder)["/runs"].get("/").json
        assert told["runs"] == []
        assert told["why_none"]


def test_a_run_that_comes_later_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder is looked at again, and the spans that were known keep their numbers."""
    monkeypatch.setattr("stallscope.analysis.tensorboard.plugin.FRESH_S", -1.0)
    (tmp_path / "b").mkdir()
    a_step().write(tmp_path / "b")
    routes = clients(tmp_path)
    assert spans(routes) == {"b": 0}
    (tmp_path / "a").mkdir()
    a_step().write(tmp_path / "a")
    assert spans(routes) == {"a": 1, "b": 0}


QUERY = st.dictionaries(
    st.sampled_from(["span", "with", "run", "path"]),
    st.one_of(
        st.text(max_size=40), st.integers().map(str), st.sampled_from(["../secret.txt", "/etc/passwd", "%2e%2e"])
    ),
    max_size=3,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), query=QUERY)
def test_any_query(logdir: Path, route: str, query: dict[str, str]):
    """200, 400 or 404, never anything of a file outside the log folder."""
    answer = clients(logdir)[route].get("/", query_string=query)
    assert answer.status_code in (200, 400, 404)
    assert "secret" not in answer.text.replace("secret.txt", "")


def test_pages_are_made_once(tmp_path: Path):
    """Asked twice, made once; changed, made again; a failure is kept as its sentence; old pages are forgotten."""
    made: list[str] = []

    def make(path: Path) -> str:
        made.append(path.name)
        if path.name == "bad":
            raise BadInput("bad: cannot be read")
        return path.read_text()

    pages = Pages(make)

    def done(path: Path) -> Any:
        while (page := pages.ask(path)).state in ("waiting", "working"):
            time.sleep(0.01)
        return page

    file, bad = tmp_path / "file", tmp_path / "bad"
    file.write_text("one")
    bad.touch()
    assert [done(file).text, done(file).text, made] == ["one", "one", ["file"]]
    file.write_text("two, and longer")
    assert [done(file).text, made] == ["two, and longer", ["file", "file"]]
    assert (done(bad).state, done(bad).text) == ("failed", "bad: cannot be read")
    assert pages.ask(tmp_path / "none").state == "failed"
    for number in range(KEPT + 3):
        (tmp_path / str(number)).touch()
        done(tmp_path / str(number))
    assert len(pages._pages) <= KEPT + 1


def test_loading_it_is_light():
    """TensorBoard imports the plugin at its start: that brings neither torch nor pandas nor pkg_resources nor numpy."""
    code = (
        "import sys, tensorboard.plugins.base_plugin; before = set(sys.modules); import stallscope.tensorboard; "
        "print(sorted({'torch', 'pandas', 'pkg_resources', 'numpy', 'sklearn'} & (set(sys.modules) - before)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
