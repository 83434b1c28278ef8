"""The tab and the report in a headless Chromium: each view reached by clicking, the figures those of the summary."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stallscope import cli
from stallscope.analysis.contract.idle import IDLE_CAUSES
from stallscope.analysis.report.compare.text import COUNTS, TIMES
from stallscope.analysis.report.ledger_tables import GROUPED
from stallscope.analysis.units import count, microseconds
from tests.browser.board import PAGE, TAB, five_runs, open_tab, tables, tensorboard, unfold
from tests.browser.chromium import LOCAL, MARKS, Browser, opened
from tests.plugin import a_step
from tests.simulated_iris import SAMPLE

pytestmark = MARKS
TOP = 10  # rows of a table at least, where there are so many


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    with opened(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of every kind."""
    return five_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def board(logdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a TensorBoard on that folder."""
    with tensorboard(logdir, tmp_path_factory.mktemp("board")) as address:
        yield address


@pytest.fixture
def tab(browser: Browser, board: str) -> Iterator[Browser]:
    """The tab, opened by a click; afterwards the console has said nothing, and no other host was asked for anything."""
    browser.errors(), browser.hosts()
    open_tab(browser, board)
    yield browser
    assert browser.errors() == []
    assert browser.hosts() == {"127.0.0.1"}


def told(capsys: pytest.CaptureFixture[str], *command: str) -> dict[str, Any]:
    """What a command says as JSON."""
    assert cli._execute([*command, "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def launches(step: dict[str, Any]) -> list[list[str]]:
    """The rows on launches, copies and waits that the figures of a step make."""
    rows = [
        ("kernel launches (a CPU call starts a kernel)", step["kernel_launches"], step["launch_call_us"]),
        ("kernels run by the GPU", step["kernels"], step["kernel_sum_us"]),
        ("copies", step["memcpys"], step["memcpy_us"]),
        ("memory fills (memset)", step["memsets"], step["memset_us"]),
        ("synchronize calls (the CPU waits)", step["sync_calls"], step["sync_call_us"]),
    ]
    return [[words, count(number), microseconds(us)] for words, number, us in rows if number]


def check_figures(shown: dict[str, list[list[str]]], summary: dict[str, Any]) -> None:
    """Launches, waits, idle causes, sync sites and copies on the page are those of the summary."""

    def rows(title: str) -> list[list[str]]:
        return [row for name, found in shown.items() if name.startswith(title) for row in found]

    step = summary["per_step"]
    for row in launches(step):
        assert row in rows("Launches and waits")
    if step["sync_stall_us"]:
        stall = ["CPU blocked in waits and blocking copies", "", microseconds(step["sync_stall_us"])]
        assert stall in rows("Launches and waits")
    idle = {cause.words: summary["idle_us"][cause.name] for cause in IDLE_CAUSES}
    assert {row[0]: row[1] for row in rows("Why the GPU idles")} == {
        w: microseconds(us) for w, us in idle.items() if us
    }
    sites = [each for each in summary["sync_sites"] or [] if each["kind"] not in GROUPED and not each.get("note")]
    told = [(s["api"], s["calls_per_step"], s["blocked_us_per_step"], s["idle_after_us_per_step"]) for s in sites[:TOP]]
    expected = [[api or "-", count(calls), *map(microseconds, us)] for api, calls, *us in told]
    assert [row[1:] for row in rows("Where the CPU waits")[: len(expected)]] == expected
    copies = [
        [f"{each['direction']}, {each['memory']} memory", count(each["count_per_step"])]
        for each in summary["memcpy"] or []
    ]
    assert [row[:2] for row in rows("Copies")] == copies


RUNS = ("iris-before", "iris-after", "resnet-0", "resnet-4", "two-ranks", "from-2021")


@pytest.mark.parametrize("run", RUNS)
def test_a_run(run: str, tab: Browser, logdir: Path, capsys: pytest.CaptureFixture[str]):
    """Chosen in the tab: verdict, size and figures are those of the summary; every fold opens."""
    tab.choose("#run", run)
    summary = told(capsys, "summary", str(logdir / run))
    tab.enter(TAB, PAGE)
    assert tab.one(".said", summary["verdict"]["text"])
    assert tab.one("dl.facts", f"{summary['trace']['events']} events")
    check_figures(tables(tab), summary)
    unfold(tab)
    folds = tab.driver.find_elements("css selector", "details")
    assert all(each.get_attribute("open") for each in folds)
    assert len(folds) > 2


def test_every_run_is_offered(tab: Browser, logdir: Path):
    """The runs are the folders, in order; of two ranks the second can be chosen; the broken one says why."""
    offered = [each.get_attribute("textContent") for each in tab.one("#run").find_elements("tag name", "option")]
    assert offered == sorted(path.name for path in logdir.iterdir())
    assert set(offered) == {*RUNS, "broken"}
    tab.choose("#run", "two-ranks")
    tab.choose("#worker", "node_1")
    tab.enter(TAB, PAGE)
    assert tab.one("dl.facts", "rank 1 of 2")
    tab.enter(TAB)
    tab.choose("#run", "broken")
    assert tab.one(".told", "There is no page for this trace")


@pytest.mark.parametrize("pair", [("iris-before", "iris-after"), ("resnet-0", "resnet-4")], ids=lambda pair: pair[0])
def test_two_runs_compared(pair: tuple[str, str], tab: Browser, logdir: Path, capsys: pytest.CaptureFixture[str]):
    """Before and after by two clicks: times and counts of each side are those of `compare`."""
    before, after = pair
    comparison = told(capsys, "compare", str(logdir / before), str(logdir / after))
    tab.choose("#run", after)
    tab.choose("#with", before)
    tab.enter(TAB, PAGE)
    assert tab.one("h1", "Stallscope comparison")
    shown = [row[:3] for rows in tables(tab).values() for row in rows]
    for label, path, show in [(*row, microseconds) for row in TIMES] + [(*row, count) for row in COUNTS]:
        words = label.replace("under it", "under the profiler")  # in the text the row before says what "it" is
        change: Any = comparison
        for name in path.split("."):
            change = change[name]
        if change["baseline"] or change["candidate"]:
            assert [words, show(change["baseline"]), show(change["candidate"])] in shown


def test_ranks_of_one_run_compared(tab: Browser):
    """The other rank of a run can stand beside it; looking for new runs forgets neither the rank nor the comparison."""
    tab.choose("#run", "two-ranks")
    tab.choose("#worker", "node_1")
    tab.choose("#with", "two-ranks, node_0")
    tab.enter(TAB, PAGE)
    assert tab.one("h1", "Stallscope comparison")
    assert tab.one("dl.facts", "two-ranks, node_0")
    tab.enter(TAB)
    tab.one("button", "look for new runs").click()
    time.sleep(1)
    chosen = [tab.one(f"#{each} option:checked").get_attribute("textContent") for each in ("run", "worker", "with")]
    assert chosen == ["two-ranks", "node_1", "two-ranks, node_0"]
    tab.enter(TAB, PAGE)
    assert tab.one("h1", "Stallscope comparison")


def test_every_step_of_the_timeline(tab: Browser):
    """Each step offered is drawn when chosen, and named below."""
    tab.choose("#run", "iris-before")
    tab.enter(TAB, PAGE)
    offered = tab.one("#step").find_elements("tag name", "option")
    names = [each.get_attribute("textContent") for each in offered]
    assert len(names) >= 3
    drawn = set()
    for name in names:
        tab.choose("#step", name)
        assert tab.one("#told", f"{name.partition(':')[0].capitalize()} (")
        time.sleep(0.2)
        drawn.add(tab.one("#canvas").screenshot_as_base64)
    assert len(drawn) == len(names)


def test_the_timeline(browser: Browser, tmp_path: Path):
    """By keyboard: closer shows a part of the step, 0 the whole; and another step can be chosen."""
    assert cli._execute(["report", str(SAMPLE), "-o", str(tmp_path / "report.html")]) == 0
    browser.enter()
    browser.driver.get((tmp_path / "report.html").as_uri())
    canvas = browser.one("#canvas")
    whole = canvas.screenshot_as_base64
    canvas.click()
    canvas.send_keys("+", "+", "+")
    time.sleep(0.3)
    closer = canvas.screenshot_as_base64
    canvas.send_keys("0")
    assert closer != whole
    browser.choose("#step", browser.one("#step option:nth-child(2)").get_attribute("textContent"))
    assert browser.one("#told", "(slowest)")
    assert browser.errors() == []
    assert browser.hosts() <= LOCAL


HOSTILE = ("<script>alert(1)", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "x" * 200, "\u202egpj.exe")


def test_hostile_names(browser: Browser, tmp_path: Path):
    """Runs and workers by names that are markup: text in the lists, no element; pages come, and ask for nothing."""
    for name in HOSTILE:
        (tmp_path / "logs" / name).mkdir(parents=True)
        for worker in (name, "second"):
            a_step(name).write(tmp_path / "logs" / name, f"{worker}.1.pt.trace.json")
    browser.errors(), browser.hosts()
    with tensorboard(tmp_path / "logs", tmp_path) as address:
        open_tab(browser, address)
        for name in HOSTILE:
            shown = name.replace("\u202e", "?")
            browser.enter(TAB)
            browser.choose("#run", shown)
            browser.choose("#worker", shown)
            assert browser.one("#with option", f"{shown}, second")
            assert browser.driver.execute_script("return document.querySelectorAll('img, script[src^=x]').length") == 0
            browser.enter(TAB, PAGE)
            assert browser.one("td:first-child", shown)  # the operator, which has the same name
            assert browser.driver.execute_script("return document.querySelectorAll('img').length") == 0
        assert browser.errors() == []
        assert browser.hosts() == {"127.0.0.1"}


def test_an_empty_folder(browser: Browser, tmp_path: Path):
    """The tab of a folder without traces says what to type, and no more; a run that comes is shown after a click."""
    (tmp_path / "logs").mkdir()
    with tensorboard(tmp_path / "logs", tmp_path) as address:
        browser.enter()
        browser.driver.get(f"{address}data/plugin_entry.html?name=stallscope")
        assert browser.one("pre", f"stallscope profile --logdir {tmp_path / 'logs'} train.py")
        assert not any(each.is_displayed() for each in browser.driver.find_elements("css selector", "nav, select"))
        (tmp_path / "logs" / "run").mkdir()
        a_step().write(tmp_path / "logs" / "run")
        time.sleep(5.1)  # for which a listing holds
        browser.one("button", "look for new runs").click()
        browser.enter(PAGE)
        assert browser.one("h1", "Stallscope report")


def test_what_a_frame_asks_for_is_counted(browser: Browser, tmp_path: Path):
    """The tests above can fail: a request of a frame as ours is blocked, counted, and in the console."""
    frame = "<iframe sandbox='allow-scripts' srcdoc='<img src=http://example.org/x.png>'></iframe>"
    (tmp_path / "page.html").write_text(frame)
    browser.errors(), browser.hosts()
    browser.enter()
    browser.driver.get((tmp_path / "page.html").as_uri())
    time.sleep(1)
    assert "example.org" in browser.hosts()
    assert any("ERR_NAME_NOT_RESOLVED" in each for each in browser.errors())
