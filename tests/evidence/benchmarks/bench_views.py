"""The views: size of a report, how soon and how smoothly it can be used, what the plugin costs TensorBoard, its routes.

The browser's figures need Chromium, ChromeDriver and selenium; without them they are left out, which is said.
"""

from __future__ import annotations

import gzip
import itertools
import random
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stallscope import api
from stallscope.analysis.report.html.summary import page_of
from tests.builders import TraceBuilder
from tests.evidence.benchmarks.measure import Row, process_cost
from tests.plugin import a_query
from tests.real import real_trace_folder

LARGE = "h100/owlv2_large.json.gz"
ROUNDS = 7
QUERIES = 10_000
RANGES = 20_000  # what the timeline shows of a step at most
SECONDS = 4  # of panning

HELP = """
import sys
from tensorboard import default, program
real = default._iter_entry_points
default._iter_entry_points = lambda group: [each for each in real(group) if each.name not in sys.argv[1:]]
try:
    program.TensorBoard(default.get_plugins()).configure(["tensorboard", "--help"])
except SystemExit:
    pass
assert ("stallscope.tensorboard" in sys.modules) != ("stallscope" in sys.argv[1:])
"""
PAN = """
const done = arguments[arguments.length - 1], canvas = document.getElementById("canvas"), frames = [];
const press = (key) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
press("+"); press("+");
const start = performance.now();
const frame = (now) => {
  frames.push(now);
  if (now - start > arguments[0] * 1000) return done(frames);
  press(Math.floor((now - start) / 400) % 2 ? "ArrowLeft" : "ArrowRight");
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
"""
READY = """
const entry = performance.getEntriesByType("navigation")[0];
const painted = performance.getEntriesByType("paint").map((each) => each.startTime);
return [Math.max(entry.domContentLoadedEventEnd, ...painted) / 1000, document.getElementById("told").textContent];
"""


def run() -> list[Row]:
    """Measure everything; the rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*reports(folder), *plugin(), *routes(folder)]


def reports(folder: Path) -> list[Row]:
    """The page of a large trace, and panning over a step with as many ranges as are ever shown."""
    rows, pages = [], {}
    real = real_trace_folder()
    if real:
        text = page_of(*api.explained(real / LARGE))
        pages[LARGE] = folder / "large.html"
        pages[LARGE].write_text(text, encoding="utf-8")
        inflated = len(gzip.decompress((real / LARGE).read_bytes())) / 1e6
        size = len(text.encode()) / 1e6
        rows.append(Row(f"report of {LARGE} ({inflated:.0f} MB of JSON)", f"{size:.2f} MB ({met(size < 3)}: < 3 MB)"))
    many = f"one step of {RANGES} ranges"
    pages[many] = folder / "many.html"
    pages[many].write_text(page_of(*api.explained(step_of(RANGES).write(folder))), encoding="utf-8")
    return rows + in_browser(pages, folder)


def step_of(ranges: int) -> TraceBuilder:
    """A step of kernels and the operators and calls that launch them."""
    builder = TraceBuilder().step(0, ranges * 4)
    for number in range(ranges // 3):
        start = 12.0 * number
        builder.op(f"aten::op{number % 90}", start, 10).launch(start + 2, 5, kernel=(f"k{number % 40}", start + 8, 9))
    return builder


def in_browser(pages: dict[str, Path], folder: Path) -> list[Row]:
    """Seconds until a page can be used, and frames a second while its timeline is panned, in headless Chromium."""
    try:
        from tests.browser.chromium import CHROMIUM, DRIVER, Browser
    except pytest.skip.Exception:
        return [Row("in a browser", "not measured: selenium is not installed")]
    if not (CHROMIUM and DRIVER):
        return [Row("in a browser", "not measured: no Chromium with ChromeDriver here")]
    browser = Browser(folder / "profile")
    try:
        return [row for name, path in pages.items() for row in shown(browser.driver, name, path)]
    finally:
        browser.driver.quit()


def shown(driver: Any, name: str, path: Path) -> list[Row]:
    """One page, opened some times, then panned."""
    ready = []
    for _ in range(ROUNDS):
        driver.get(path.as_uri())
        driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => setTimeout(done, 50));")
        seconds, told = driver.execute_script(READY)
        assert told.startswith("Step "), told
        ready.append(seconds)
    driver.set_script_timeout(60)
    frames = driver.execute_async_script(PAN, SECONDS)
    gaps = [b - a for a, b in itertools.pairwise(frames)]
    rate, soon = 1000 * len(gaps) / (frames[-1] - frames[0]), statistics.median(ready)
    return [
        Row(f"{name}: interactive after", f"{soon:.2f} s (median of {ROUNDS}; {met(soon <= 2)}: <= 2 s)"),
        Row(
            f"{name}: panned in headless Chromium, without a GPU",
            f"{rate:.0f} frames a second, median frame {statistics.median(gaps):.0f} ms ({met(rate >= 30)}: >= 30)",
        ),
    ]


def plugin() -> list[Row]:
    """CPU seconds of ``tensorboard --help`` with the plugin and without it, in turn."""
    told = []
    for _ in range(ROUNDS):
        costs = [process_cost(sys.executable, "-c", HELP, *hidden) for hidden in ((), ("stallscope",))]
        if all(costs):
            told.append([cost.cpu_s for cost in costs if cost])
    more = statistics.median(a - b for a, b in told)
    whole = statistics.median(a for a, _ in told)
    value = f"{more:.3f} s of {whole:.2f} s CPU (median of {len(told)}; {met(more <= 0.3)}: <= 0.3 s)"
    return [Row("plugin's part of `tensorboard --help`", value)]


def routes(folder: Path) -> list[Row]:
    """Generated queries to every route of the plugin: how it answered."""
    from werkzeug.test import Client

    from stallscope.tensorboard import Plugin

    logdir = folder / "logdir"
    for name in ("good", "broken"):
        (logdir / name).mkdir(parents=True)
    step_of(30).write(logdir / "good")
    (logdir / "broken" / "worker0.17.pt.trace.json").write_text("hello")
    shutil.copy(__file__, folder / "secret.txt")
    apps = Plugin(SimpleNamespace(logdir=str(logdir))).get_plugin_apps()
    clients = {route: Client(app) for route, app in apps.items()}
    chance = random.Random(8)  # noqa: S311 - the same queries each time
    codes: Counter[int] = Counter()
    leaks = 0
    for _ in range(QUERIES):
        client = clients[chance.choice(sorted(clients))]
        answer = client.open("/", method=chance.choice(["GET", "GET", "HEAD", "POST"]), query_string=a_query(chance))
        codes[answer.status_code] += 1
        leaks += "bench_views" in answer.text or "root:x:" in answer.text
    value = ", ".join(f"{code}: {number}" for code, number in sorted(codes.items()))
    fine = set(codes) <= {200, 400, 404} and not leaks
    return [Row(f"{QUERIES} generated queries", f"{value} ({met(fine)}: 200, 400, 404, no other file)")]


def met(holds: bool) -> str:
    """Whether a goal is met."""
    return "met" if holds else "MISSED"
