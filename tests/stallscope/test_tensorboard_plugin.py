"""The TensorBoard plugin's routes: what they show, and that no query gets more."""

from __future__ import annotations

import gzip
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from stallscope import cli
from tests.plugin import ROUTES, a_query, a_step, clients, good_and_broken, spans, until_done

pytestmark = pytest.mark.usefixtures("own_cache")
QUERIES = 10_000


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    """Two runs, one of them with a broken trace, and a file beside them."""
    return good_and_broken(tmp_path)


def test_runs_and_a_page(logdir: Path):
    """Both runs are listed; the good one's page is the report, made in the background and shown when it is ready."""
    routes = clients(logdir)
    found = spans(routes)
    assert sorted(found) == ["broken", "good"]
    assert until_done(routes, span=found["good"])["state"] == "ready"
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
    assert until_done(routes, **query)["state"] == "ready"
    text = routes["/page"].get("/", query_string=query).text
    assert "Stallscope comparison" in text
    assert re.search(r"before</dt><dd>first/run-1 \(1 run[^<]*</dd><dt>after</dt><dd>second/run-1 \(1 run", text)


def test_a_broken_trace_is_a_sentence(logdir: Path):
    """What `summary` would say of the file is what the tab says; there is no page."""
    routes = clients(logdir)
    number = spans(routes)["broken"]
    found = until_done(routes, span=number)
    assert found["state"] == "failed"
    assert "JSON" in found["text"]
    assert routes["/page"].get("/", query_string={"span": number}).status_code == 404


def test_the_figures_of_a_page(logdir: Path, capsys: pytest.CaptureFixture[str]):
    """``/figures`` gives what `summary` and `compare` give as JSON, once the page is ready."""
    routes = clients(logdir)
    number, path = spans(routes)["good"], next((logdir / "good").glob("*.json"))
    assert routes["/figures"].get("/", query_string={"span": number}).status_code == 404
    for query, command in (({}, ["summary", str(path)]), ({"with": number}, ["compare", str(path), str(path)])):
        assert until_done(routes, span=number, **query)["state"] == "ready"
        told = routes["/figures"].get("/", query_string={"span": number, **query})
        assert cli._execute([*command, "--format", "json"]) == 0
        expected = capsys.readouterr().out
        assert (told.status_code, told.content_type) == (200, "application/json; charset=utf-8")
        # a comparison in the tab calls a span by its run, the command by its file
        assert told.text.replace(path.name, "good") == expected.replace(path.name, "good")


def test_any_query(logdir: Path):
    """10 000 of all kinds to every route: 200, 400 or 404, each often; nothing of a file outside the log folder."""
    routes, chance = clients(logdir), random.Random(8)  # noqa: S311 - the same queries each time
    found = spans(routes)
    for query in ({"span": found["good"]}, {"span": found["broken"]}, {"span": found["good"], "with": found["good"]}):
        until_done(routes, **query)
    answers: Counter[tuple[str, int]] = Counter()
    for _ in range(QUERIES):
        route, method = chance.choice(ROUTES), chance.choice(["GET", "GET", "HEAD", "POST"])
        answer = routes[route].open("/", method=method, query_string=a_query(chance))
        answers[route, answer.status_code] += 1
        assert "nobody's business" not in answer.text
        assert "root:x:" not in answer.text
    assert {code for _, code in answers} == {200, 400, 404}, answers
    assert all(answers[route, 200] > 50 for route in ROUTES), answers


def test_a_page_of_somebody_elses_making(logdir: Path):
    """A file in the place of a kept page that holds something else is passed over, and the page made."""
    routes = clients(logdir)
    assert until_done(routes, span=spans(routes)["good"])["state"] == "ready"
    (kept,) = (logdir / "good" / ".stallscope").iterdir()
    kept.write_bytes(gzip.compress(b"<script>alert(1)</script>"))
    again = clients(logdir)
    assert until_done(again, span=spans(again)["good"])["state"] == "ready"
    assert "gemm" in again["/page"].get("/", query_string={"span": spans(again)["good"]}).text


def test_loading_it_is_light(logdir: Path):
    """TensorBoard loads, makes and asks the plugin at its start: without torch, pandas, pkg_resources and numpy."""
    code = (
        "import sys, types, tensorboard.plugins.base_plugin; before = set(sys.modules); import stallscope.tensorboard; "
        f"plugin = stallscope.tensorboard.Plugin(types.SimpleNamespace(logdir={str(logdir)!r})); "
        "plugin.get_plugin_apps(), plugin.frontend_metadata(); assert plugin.is_active(); "
        "print(sorted({'torch', 'pandas', 'pkg_resources', 'numpy', 'sklearn'} & (set(sys.modules) - before)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
