"""The tab and the report in a headless Chromium: each view reached by clicking, the figures those of the summary."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stallscope import cli
from tests.browser.chromium import LOCAL, MARKS, Browser, opened
from tests.builders import TraceBuilder
from tests.conftest import real_trace_folder

pytestmark = MARKS
SAMPLE = next((Path(__file__).parents[2] / "traces" / "samples").glob("iris_mlp_simulated.*.json.gz"))
ADDRESS = re.compile(r"TensorBoard \S+ at (http://\S+)")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    with opened(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def rank(number: int, length: int) -> TraceBuilder:
    """A rank of two: three steps, a kernel in each."""
    builder = TraceBuilder(rank=number, world_size=2)
    for start in range(0, 3 * length, length):
        builder.step(start, length).op("aten::mm", start + 1, 50).launch(start + 5, 5, kernel=("gemm", start + 20, 40))
    return builder


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of every kind: simulated, of two ranks, with a broken trace; and, where they are, real ones of 2021."""
    logdir = tmp_path_factory.mktemp("runs")
    for name in ("iris", "two-ranks", "broken"):
        (logdir / name).mkdir()
    shutil.copy(SAMPLE, logdir / "iris")
    for number, length in ((0, 100), (1, 120)):
        rank(number, length).write(logdir / "two-ranks", f"node_{number}.1700000000000000000.pt.trace.json")
    (logdir / "broken" / "worker0.17.pt.trace.json").write_text('{"traceEvents": "none"}')
    real = real_trace_folder()
    for workers in (0, 4) if real else ():
        shutil.copytree(real / "kineto-2021" / f"resnet50_num_workers_{workers}", logdir / f"resnet-{workers}")
    return logdir


@pytest.fixture(scope="module")
def tensorboard(logdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a TensorBoard on that folder."""
    log = tmp_path_factory.mktemp("log") / "log.txt"
    options = ["--logdir", str(logdir), "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-m", "tensorboard.main", *options], stdout=output, stderr=output)
    try:
        end = time.monotonic() + 120
        while not (found := ADDRESS.search(log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, "TensorBoard did not start"
            time.sleep(0.2)
        yield found[1]
    finally:
        process.terminate()
        process.wait(timeout=30)


def summary(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `stallscope summary --format json` says."""
    assert cli._execute(["summary", "--format", "json", str(path)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


TAB, PAGE = "iframe", "#place iframe"


def test_the_tab(browser: Browser, tensorboard: str, logdir: Path, capsys: pytest.CaptureFixture[str]):
    """Every run by clicking: its verdict, steps and timeline; two compared; a broken one; nothing from elsewhere."""
    browser.driver.get(f"{tensorboard}#stallscope")
    browser.enter(TAB)
    runs = [option.get_attribute("textContent") for option in browser.one("#run").find_elements("tag name", "option")]
    assert set(runs) == {path.name for path in logdir.iterdir()}
    for name in [run for run in runs if run != "broken"]:
        browser.enter(TAB)
        browser.choose("#run", name)
        said = summary(logdir / name, capsys)
        browser.enter(TAB, PAGE)
        assert browser.one(".said", said["verdict"]["text"])
        assert browser.one("#told", "Step ")
        assert browser.one("dl.facts", str(said["trace"]["events"]))
    browser.enter(TAB)
    browser.choose("#run", "two-ranks")
    browser.choose("#worker", "node_1")
    browser.enter(TAB, PAGE)
    assert browser.one("dl.facts", "rank 1 of 2")
    browser.enter(TAB)
    browser.choose("#with", "iris")
    browser.enter(TAB, PAGE)
    assert browser.one("h1", "Stallscope comparison")
    browser.enter(TAB)
    browser.choose("#run", "broken")
    assert browser.one(".told", "There is no page for this trace")
    assert browser.errors() == []
    assert browser.hosts() <= LOCAL


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


def test_an_empty_folder(browser: Browser, tmp_path: Path):
    """The tab of a folder without traces is not offered; asked for by its address, it says what to type."""
    options = ["--logdir", str(tmp_path), "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "tensorboard.main", *options], stdout=log, stderr=log)
    try:
        while not (found := ADDRESS.search((tmp_path / "log.txt").read_text())):
            assert process.poll() is None
            time.sleep(0.2)
        browser.enter()
        browser.driver.get(f"{found[1]}data/plugin_entry.html?name=stallscope")
        assert browser.one("pre", f"stallscope profile --logdir {tmp_path} train.py")
    finally:
        process.terminate()
        process.wait(timeout=30)
