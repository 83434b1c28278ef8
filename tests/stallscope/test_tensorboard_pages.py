"""The pages of the TensorBoard plugin: made once, in the background, the newest first, and dropped when unwanted."""

from __future__ import annotations

import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stallscope import tensorboard
from stallscope.analysis.tensorboard import pages as plugin_pages
from stallscope.analysis.tensorboard.pages import KEPT, Asked, Key, Made, Page, Pages
from stallscope.traces.model.errors import BadInput
from tests.builders import TraceBuilder
from tests.plugin import a_step, clients, spans

pytestmark = pytest.mark.usefixtures("own_cache")
PATIENCE_S = 60


def done(pages: Pages, *paths: Path) -> Page:
    """The page of ``paths``, waited for."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        page = pages.ask(*(Asked(path, "") for path in paths))
        if page.state in ("ready", "failed"):
            return page
        time.sleep(0.01)
    raise AssertionError("the page was never made")


def until(question: Callable[[], object]) -> None:
    """Wait for something to hold."""
    end = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < end
        time.sleep(0.01)


def files(folder: Path, names: str) -> list[Path]:
    """An empty file for each letter, in a folder of its own."""
    paths = [folder / name / "trace" for name in names]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    return paths


def test_pages_are_made_once(tmp_path: Path):
    """Asked twice, made once; changed, made again; a failure is kept as its sentence; old pages are forgotten."""
    made: list[str] = []

    def make(_page: Page, asked: Key) -> Made:
        made.append(asked[0].path.name)
        if asked[0].path.name == "bad":
            raise BadInput("bad: cannot be read")
        return Made(asked[0].path.read_text(), "")

    pages = Pages(make)
    file, bad = tmp_path / "file", tmp_path / "bad"
    file.write_text("one")
    bad.touch()
    assert [done(pages, file).made, done(pages, file).made, made] == [Made("one", ""), Made("one", ""), ["file"]]
    file.write_text("two, and longer")
    assert [done(pages, file).made, made] == [Made("two, and longer", ""), ["file", "file"]]
    assert (done(pages, bad).state, done(pages, bad).text) == ("failed", "bad: cannot be read")
    assert done(pages, tmp_path / "none").state == "failed"
    for number in range(KEPT + 3):
        (tmp_path / str(number)).touch()
        done(pages, tmp_path / str(number))
    assert len(pages._pages) <= KEPT + 1


def test_what_comes_to_a_run_later_makes_another_page(tmp_path: Path):
    """A manifest, or the trace that tells the lines, written after the page was made: it is made again."""
    path = a_step().write(tmp_path, "w.1.pt.trace.json")
    numbers = itertools.count()
    pages = Pages(lambda _page, _asked: Made(str(next(numbers)), ""))
    assert [done(pages, path).made.page for _ in range(2)] == ["0", "0"]
    a_step().write(tmp_path, "w.2.pt.trace.json")
    assert [done(pages, path).made.page for _ in range(2)] == ["1", "1"]
    (tmp_path / "stallscope.json").write_text("{}")
    assert [done(pages, path).made.page for _ in range(2)] == ["2", "2"]
    a_step().write(tmp_path, "another.3.pt.trace.json")
    assert done(pages, path).made.page == "2"


def test_the_newest_is_made_first(tmp_path: Path):
    """One at a time: of those that wait the one asked for last."""
    first, second, third = files(tmp_path, "abc")
    order, go = [], threading.Event()

    def make(_page: Page, asked: Key) -> Made:
        order.append(asked[0].path.parent.name)
        assert go.wait(PATIENCE_S)
        return Made("", "")

    pages = Pages(make)
    pages.ask(Asked(first, ""))
    until(lambda: order)
    for path in (second, third):
        assert pages.ask(Asked(path, "")).state == "waiting"
    go.set()
    done(pages, second)
    assert order == ["a", "c", "b"]


def test_what_nobody_asks_for_any_more_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its work ends when another page waits, and what waits unasked is dropped; asked for again, it is made."""
    monkeypatch.setattr(plugin_pages, "GONE_S", 0.1)
    first, second, third = files(tmp_path, "abc")
    begun: list[str] = []

    def make(page: Page, asked: Key) -> Made:
        begun.append(asked[0].path.parent.name)
        while begun == ["a"]:  # for ever, but for being unwanted
            page.does("turning")
            time.sleep(0.01)
        return Made("", "")

    pages = Pages(make)
    pages.ask(Asked(first, ""))
    until(lambda: begun)
    pages.ask(Asked(second, ""))
    time.sleep(0.2)
    assert done(pages, third).state == "ready"
    assert begun == ["a", "c"]
    assert done(pages, first).state == "ready"
    assert begun == ["a", "c", "a"]


def test_alone_it_is_made_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A page that nobody asks for any more, and nobody else waits: it is there when somebody comes back."""
    monkeypatch.setattr(plugin_pages, "GONE_S", 0.0)
    (path,) = files(tmp_path, "a")
    ended = threading.Event()

    def make(page: Page, _asked: Key) -> Made:
        for _ in range(10):
            time.sleep(0.01)
            page.does("turning")
        ended.set()
        return Made("", "")

    pages = Pages(make)
    monkeypatch.setattr(plugin_pages, "GONE_S", 0.05)
    pages.ask(Asked(path, ""))
    assert ended.wait(PATIENCE_S)


def test_asked_from_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pages that are dropped the moment they wait, asked for from eight threads: each gets a page, none an error."""
    monkeypatch.setattr(plugin_pages, "GONE_S", 0.0)
    paths = files(tmp_path, "abc")
    pages = Pages(lambda _page, _asked: Made("", ""))
    states: list[str] = []

    def ask(first: int) -> None:
        for number in range(300):
            path = paths[(first + number) % 3]
            os.utime(path, ns=(first, number))  # another page each time
            states.append(pages.ask(Asked(path, "")).state)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(states) == 8 * 300


def a_large_trace(folder: Path) -> Path:
    """Some 40 000 events, 10 MB of text."""
    builder = TraceBuilder().step(0, 400_000)
    for number in range(13_000):
        start = 12.0 * number
        builder.op(f"aten::op{number % 90}", start, 10).launch(start + 2, 5, kernel=(f"k{number % 40}", start + 8, 9))
    return builder.write(folder, "w.1.pt.trace.json")


def test_how_far_it_is(tmp_path: Path):
    """The share of the file's bytes grows while it is read; then come the stages by name."""
    path = a_large_trace(tmp_path)
    told: list[tuple[str, float | None]] = []

    class Told(Page):
        def does(self, what: str, share: float | None = None) -> None:
            told.append((what, share))

    tensorboard.made(Told(0), (Asked(path, ""),))
    stages = [what for what, _ in itertools.groupby(what for what, _ in told)]
    shares = [share for _, share in told if share is not None]
    assert stages == ["looking for a kept page", f"reading {path.name}", "analysing", "drawing the page"]
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1
    told.clear()
    tensorboard.made(Told(0), (Asked(path, ""),))
    assert told == [("looking for a kept page", None)]


@pytest.mark.slow
def test_tensorboard_answers_meanwhile(tmp_path: Path):
    """While a large trace is analysed another route answers as it always does: half of the time within 0.1 s."""
    a_large_trace(tmp_path)
    routes = clients(tmp_path)
    (number,) = spans(routes).values()
    waits = []
    while routes["/state"].get("/", query_string={"span": number}).json["state"] != "ready":
        before = time.perf_counter()
        time.sleep(0.005)  # as any thread of the server does, until a request comes
        assert routes["/index.js"].get("/").status_code == 200
        waits.append(time.perf_counter() - before)
    assert len(waits) > 10
    assert statistics.median(waits) < 0.1
