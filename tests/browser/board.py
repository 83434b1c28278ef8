"""A log folder with runs of every kind, a TensorBoard on it, and what a page of ours shows, read as a person would."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser.chromium import Browser
from tests.builders import TraceBuilder
from tests.real import real_trace_folder
from tests.simulated_iris import SAMPLE, sample_bytes

ADDRESS = re.compile(r"TensorBoard \S+ at (http://\S+)")
TAB, PAGE = "iframe[src*=stallscope]", "#place iframe"  # our tab in TensorBoard, and the page in it
IN_2021 = {"user_annotation": "Operator", "cpu_op": "Operator", "cuda_runtime": "Runtime", "kernel": "Kernel"}
TABLES = """
const text = (element) => element.textContent.trim();
const folds = [...document.querySelectorAll("details")].filter((each) => each.querySelector(":scope > div > table"));
return folds.map((each) => [text(each.querySelector("summary")), [...each.querySelectorAll("tbody tr")].map(
  (row) => [...row.cells].map(text))]);
"""
CLOSED = "return [...document.querySelectorAll('details:not([open]) > summary')].filter((each) => each.offsetParent)"


def five_runs(logdir: Path) -> Path:
    """Iris before and after, a pair of 2021 with and without loader workers, two ranks, one more of 2021, a broken one.

    Those of 2021 are real where the real traces are, else made in their spelling.
    """
    for name in ("iris-before", "iris-after", "two-ranks", "broken"):
        (logdir / name).mkdir(parents=True)
    shutil.copy(SAMPLE, logdir / "iris-before")
    (logdir / "iris-after" / SAMPLE.name).write_bytes(sample_bytes(every=100))
    for number, length in ((0, 100), (1, 120)):
        rank(number, length).write(logdir / "two-ranks", f"node_{number}.1700000000000000000.pt.trace.json")
    (logdir / "broken" / "worker0.17.pt.trace.json").write_text('{"traceEvents": "none"}')
    of_2021(logdir)
    return logdir


def rank(number: int, length: int) -> TraceBuilder:
    """A rank of two: three steps, a kernel in each."""
    builder = TraceBuilder(rank=number, world_size=2)
    for start in range(0, 3 * length, length):
        builder.step(start, length).op("aten::mm", start + 1, 50).launch(start + 5, 5, kernel=("gemm", start + 20, 40))
    return builder


def of_2021(logdir: Path) -> None:
    """The pair and the single run of 2021."""
    real = real_trace_folder()
    if real:
        for workers in (0, 4):
            shutil.copytree(real / "kineto-2021" / f"resnet50_num_workers_{workers}", logdir / f"resnet-{workers}")
        (logdir / "from-2021").mkdir()
        old = real / "kineto-2021" / "inference_rank_1.json.gz"
        shutil.copy(old, logdir / "from-2021" / "worker0.1623212756351.pt.trace.json.gz")
        return
    for name, loading in (("resnet-0", 900), ("resnet-4", 10), ("from-2021", 100)):
        (logdir / name).mkdir()
        text = json.dumps(in_the_spelling_of_2021(loading))
        (logdir / name / "worker0.1623212756351.pt.trace.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def in_the_spelling_of_2021(loading: int) -> dict[str, Any]:
    """Six steps that wait so many µs for the loader, then launch and wait."""
    builder = TraceBuilder()
    for number in range(6):
        at = number * (loading + 200)
        builder.step(at, loading + 200).dataloader(at + 1, loading).op("aten::conv2d", at + loading + 10, 60)
        builder.launch(at + loading + 20, 8, kernel=("conv", at + loading + 40, 90)).sync(at + loading + 80, 60)
    for event in builder.events:
        event |= {
            "cat": IN_2021[event["cat"]],
            "tid": str(event["tid"]),
            "ts": int(event["ts"]),
            "dur": int(event["dur"]),
        }
        if event["cat"] == "Kernel":
            event["tid"] = f"stream {event['args']['stream']}"
    return {"schemaVersion": 1, "traceEvents": builder.events}


@contextmanager
def tensorboard(logdir: Path, folder: Path) -> Iterator[str]:
    """The address of a TensorBoard on a log folder, started in ``folder``, which is for what it writes too."""
    log = folder / "tensorboard.txt"
    options = ["--logdir", str(logdir), "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    command = [sys.executable, "-m", "tensorboard.main", *options]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, cwd=folder, start_new_session=True
        )
    try:
        end = time.monotonic() + 120
        while not (found := ADDRESS.search(log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, "TensorBoard did not start"
            time.sleep(0.2)
        yield found[1]
    finally:
        # Not by SIGTERM: the PyTorch plugin would first read all traces to their end, in processes of its own.
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait(timeout=30)


def open_tab(browser: Browser, address: str) -> None:
    """Open TensorBoard and click on our tab.

    On its Time Series first: else it opens the PyTorch plugin's tab, which loads scripts from the web.
    """
    browser.enter()
    browser.driver.get("about:blank")
    browser.driver.get(f"{address}#timeseries")
    browser.one("mat-tab-header .plugin-name", "Stallscope").click()
    browser.enter(TAB)
    browser.one("#run option")


def tables(browser: Browser) -> dict[str, list[list[str]]]:
    """Title → rows of cells, of every table of the page."""
    browser.one("details")
    return dict(browser.driver.execute_script(TABLES))


def unfold(browser: Browser) -> None:
    """Click on every fold that is closed, until none is."""
    browser.one("details")
    while found := browser.driver.execute_script(CLOSED):
        for summary in found:
            browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", summary)
            summary.click()
