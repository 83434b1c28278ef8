"""The TensorBoard plugin's routes: what they list and show, and that no query gets more."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from werkzeug.test import Client

from stallscope import page_cache, reporting
from stallscope.analysis.tensorboard.pages import KEPT, Asked, Pages
from stallscope.tensorboard import Plugin
from stallscope.traces.errors import BadInput
from tests.analysis.comparing import manifest_of, window
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


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder is one of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(page_cache, "user_folder", lambda: folder / "pages")
    return folder / "pages"


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
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("; frame-ancestors 'self'")


def test_two_runs_compared(tmp_path: Path):
    """With another span the page is the comparison, that one before, this one after."""
    for name in ("first/run-1", "second/run-1"):
        (tmp_path / name).mkdir(parents=True)
        a_step().write(tmp_path / name)
    routes = clients(tmp_path)
    found = spans(routes)
    query = {"span": found["second/run-1"], "with": found["first/run-1"]}
    while routes["/state"].get("/", query_string=query).json["state"] in ("waiting", "working"):
        time.sleep(0.05)
    text = routes["/page"].get("/", query_string=query).text
    assert "Stallscope comparison" in text
    assert re.search(r"before</dt><dd>first/run-1 \(1 run[^<]*</dd><dt>after</dt><dd>second/run-1 \(1 run", text)


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

    def make(asked: Asked) -> str:
        made.append(asked.path.name)
        if asked.path.name == "bad":
            raise BadInput("bad: cannot be read")
        return asked.path.read_text()

    pages = Pages(make)

    def done(path: Path) -> Any:
        while (page := pages.ask(Asked(path, ""))).state in ("waiting", "working"):
            time.sleep(0.01)
        return page

    file, bad = tmp_path / "file", tmp_path / "bad"
    file.write_text("one")
    bad.touch()
    assert [done(file).text, done(file).text, made] == ["one", "one", ["file"]]
    file.write_text("two, and longer")
    assert [done(file).text, made] == ["two, and longer", ["file", "file"]]
    assert (done(bad).state, done(bad).text) == ("failed", "bad: cannot be read")
    assert pages.ask(Asked(tmp_path / "none", "")).state == "failed"
    for number in range(KEPT + 3):
        (tmp_path / str(number)).touch()
        done(tmp_path / str(number))
    assert len(pages._pages) <= KEPT + 1


def kept_pages(folder: Path) -> list[Path]:
    """The pages that a folder holds."""
    return sorted(folder.glob("*.html.gz"))


def no_page(*_: Any) -> str:
    """A page that must not be made again."""
    raise AssertionError("made again")


def test_a_page_is_kept_beside_its_run(logdir: Path, monkeypatch: pytest.MonkeyPatch):
    """A TensorBoard started again shows the page that lies beside the run; nothing else of the run has changed."""
    before = {path.name: path.read_bytes() for path in (logdir / "good").iterdir()}
    routes = clients(logdir)
    assert until_done(routes["/state"], spans(routes)["good"])["state"] == "ready"
    assert len(kept_pages(logdir / "good" / ".stallscope")) == 1
    monkeypatch.setattr(reporting, "page", no_page)
    again = clients(logdir)
    assert sorted(spans(again)) == ["broken", "good"]
    assert until_done(again["/state"], spans(again)["good"])["state"] == "ready"
    assert "gemm" in again["/page"].get("/", query_string={"span": spans(again)["good"]}).text
    assert {path.name: path.read_bytes() for path in (logdir / "good").iterdir() if path.is_file()} == before


def test_where_the_run_cannot_be_written_to(tmp_path: Path, own_cache: Path):
    """A file where the hidden folder would be: the page lies in the user's cache, and is found there."""
    path = a_step().write(tmp_path)
    (tmp_path / ".stallscope").write_text("in the way")
    assert page_cache.page_of(lambda: "the page", (path,)) == "the page"
    assert len(kept_pages(own_cache)) == 1
    assert page_cache.page_of(no_page, (path,)) == "the page"
    own_cache.rename(own_cache.with_name("gone"))
    own_cache.write_text("in the way")
    assert page_cache.page_of(lambda: "made again", (path,)) == "made again"


def test_what_a_kept_page_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Bytes of the trace and of its manifest, the names told, the code: where one differs, another page is made."""
    path = a_step().write(tmp_path)
    made = iter(range(10))

    def page(*names: str) -> str:
        return page_cache.page_of(lambda: str(next(made)), (path,), names)

    assert [page(), page(), page("a", "b"), page("ab", "")] == ["0", "0", "1", "2"]
    (tmp_path / "stallscope.json").write_text("{}")
    assert [page(), page()] == ["3", "3"]
    times = path.stat()
    path.write_text(path.read_text().replace("gemm", "gram"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [page(), page()] == ["4", "4"]
    monkeypatch.setattr(page_cache, "_build", lambda: b"another version")
    assert [page(), page()] == ["5", "5"]
    (kept,) = [each for each in kept_pages(tmp_path / ".stallscope") if gzip.decompress(each.read_bytes()) == b"5"]
    kept.write_bytes(kept.read_bytes()[:-4])
    assert [page(), page()] == ["6", "6"]
    path.unlink()
    assert page() == "7"


def test_kept_pages_take_no_more_than_so_much_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Room for two pages: of three that of the trace looked at longest ago goes."""
    paths = [a_step().write(tmp_path, f"{name}.pt.trace.json") for name in "abc"]
    page_cache.page_of(lambda: "page", paths[:1])
    (first,) = kept_pages(tmp_path / ".stallscope")
    monkeypatch.setattr(page_cache, "LARGEST", 2 * first.stat().st_size)
    page_cache.page_of(lambda: "page", paths[1:2])
    (second,) = set(kept_pages(tmp_path / ".stallscope")) - {first}
    os.utime(first, (2, 2))
    os.utime(second, (1, 1))
    page_cache.page_of(lambda: "page", paths[2:])
    assert len(kept_pages(tmp_path / ".stallscope")) == 2
    assert first.exists()
    assert not second.exists()


def test_ranks_by_their_number(tmp_path: Path):
    """Of a run whose manifests tell the ranks they come in order, each with its number; its other spans are named."""
    for rank in (10, 2):
        worker = f"host_{rank}.rank{rank}"
        for ns in (1, 2):
            a_step().write(tmp_path, f"{worker}.{ns}.pt.trace.json")
        windows = [
            replace(window(50, kind="timing", round_=name), trace=f"{worker}.{ns}.pt.trace.json")
            for name, ns in (("short", 1), ("full", 2))
        ]
        manifest = replace(manifest_of("train.py", windows=windows, rank=rank, world_size=16), worker=worker)
        (tmp_path / f"stallscope.rank{rank}.json").write_bytes(msgspec.json.encode(manifest))
    plugin = Plugin(SimpleNamespace(logdir=str(tmp_path)))
    (run,) = plugin.listing().runs
    assert [worker["name"] for worker in run["workers"]] == [
        "rank 2 of 16 (host_2.rank2)",
        "rank 10 of 16 (host_10.rank10)",
    ]
    assert [asked.name for asked in plugin.listing().spans][:2] == [
        f"{tmp_path.name}, rank 2 of 16 (host_2.rank2), timing, short round",
        f"{tmp_path.name}, rank 2 of 16 (host_2.rank2)",
    ]


def test_loading_it_is_light():
    """TensorBoard imports the plugin at its start: that brings neither torch nor pandas nor pkg_resources nor numpy."""
    code = (
        "import sys, tensorboard.plugins.base_plugin; before = set(sys.modules); import stallscope.tensorboard; "
        "print(sorted({'torch', 'pandas', 'pkg_resources', 'numpy', 'sklearn'} & (set(sys.modules) - before)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
