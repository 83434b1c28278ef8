"""TensorBoard opens a run folder that `profile` wrote, and its PyTorch plugin tells the same runs, steps and times.

On a CPU run the plugin takes a step for what it is, a ``ProfilerStep#N`` range on the host, so its step times must be
ours. (On a GPU run it would move a step's end to the end of the last kernel launched in it, and start the next one
there; it also drops a last step with fewer than 0.8 times the device rows of the one before. Neither happens without
device rows, so nothing is aligned or dropped here.) What must be equal: run, worker and span names, step numbers,
every step's time, its DataLoader part, and the rounded mean.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stallscope.analysis.summary import summarize
from stallscope.traces.model import fields
from stallscope.traces.model.trace import Trace
from stallscope.traces.read.read import read
from stallscope.traces.runs.runs import Run, Span, find_runs
from tests import ROOT

pytestmark = pytest.mark.slow

# The plugin computes in doubles on the file's µs since a fixed date, some 4e12: neighbours are 0.001 µs apart there
# (2**-10), and a duration is the difference of two sums, each rounded once.
TOLERANCE_US = 0.003
PATIENCE_S = 120  # the plugin parses each trace in a process of its own, which imports pandas
SCRIPT = ROOT / "profiling" / "workloads" / "iris_mlp.py"
ADDRESS = re.compile(r"TensorBoard \S+ at (http://\S+)")


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run: the Iris training on the CPU, unmodified, under `profile`."""
    logdir = tmp_path_factory.mktemp("logs") / "runs"
    command = ["profile", "--logdir", str(logdir), "--name", "iris", "--no-summary", "--steps", "12"]
    training = [str(SCRIPT), "--epochs", "1500", "--device", "cpu", "--print-every", "0"]
    result = subprocess.run(
        [sys.executable, "-m", "stallscope", *command, *training],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # threads that wait for each other crawl on a busy machine
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return logdir


@pytest.fixture(scope="module")
def run(logdir: Path) -> Run:
    """The same run, as we find it."""
    (run,) = find_runs(logdir)
    return run


class Plugin:
    """The plugin's own data routes on a running TensorBoard."""

    def __init__(self, address: str) -> None:
        self.base = f"{address.rstrip('/')}/data/plugin/pytorch_profiler"

    def get(self, route: str, **query: str) -> Any:
        """The JSON of one route."""
        url = f"{self.base}/{route}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own loopback address
            return json.load(answer)


def until(seconds: float, question: Any) -> Any:
    """The first answer that is not None, asked four times a second; a failure after ``seconds``."""
    end = time.monotonic() + seconds
    while (answer := question()) is None:
        assert time.monotonic() < end, "TensorBoard gave no answer in time"
        time.sleep(0.25)
    return answer


@pytest.fixture(scope="module")
def plugin(logdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """TensorBoard on a free loopback port, once the plugin has loaded every run; stopped afterwards."""
    log = tmp_path_factory.mktemp("tensorboard") / "log.txt"
    options = ["--logdir", str(logdir), "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-m", "tensorboard.main", *options], stdout=output, stderr=output)
    try:
        yield _ready(process, log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _ready(process: subprocess.Popen[bytes], log: Path) -> Plugin:
    """The plugin, when TensorBoard has told its address and nothing is left to load."""

    def address() -> str | None:
        assert process.poll() is None, log.read_text()
        found = ADDRESS.search(log.read_text())
        return found[1] if found else None

    plugin = Plugin(until(PATIENCE_S, address))

    def loaded() -> bool | None:
        assert process.poll() is None, log.read_text()
        state = plugin.get("runs")
        return True if state["runs"] and not state["loading"] else None

    until(PATIENCE_S, loaded)
    return plugin


def step_numbers(trace: Trace) -> list[str]:
    """N of every ``ProfilerStep#N``, in order of time."""
    rows = [row for row in range(len(trace.events)) if fields.step_number(trace.name_of(row)) is not None]
    return [str(fields.step_number(trace.name_of(row))) for row in rows]


def spans(run: Run) -> dict[str, Span]:
    """The run's trace files under the number the plugin gives them: 1, 2, … in order of time."""
    (worker,) = run.workers
    return {str(number): span for number, span in enumerate(worker.spans, 1)}


def test_run_worker_and_spans_have_our_names(plugin: Plugin, run: Run) -> None:
    """One run, called as its folder; one worker, called as ours; as many spans as trace files."""
    (worker,) = run.workers
    assert plugin.get("runs") == {"runs": ["iris"], "loading": False}
    assert run.name == "iris"
    assert plugin.get("views", run="iris")[:2] == ["Overview", "Operator"]
    assert plugin.get("workers", run="iris", view="Overview") == [worker.name]
    assert plugin.get("spans", run="iris", worker=worker.name) == list(spans(run))


def test_every_step_has_our_number_and_our_time(plugin: Plugin, run: Run) -> None:
    """Step by step, in each span: the plugin's "Total" is our step time."""
    for number, span in spans(run).items():
        trace = read(span.path)
        steps = summarize(trace, None).steps
        assert steps.count == len(steps.wall_us.samples)
        rows = plugin.get("overview", run="iris", worker=span.worker, span=number)["steps"]["rows"]
        assert [row[0] for row in rows] == step_numbers(trace)
        assert len(rows) == steps.count
        totals = [float(re.search(r"Total: ([\d.]+)us", row[2])[1]) for row in rows]  # type: ignore[index]
        assert totals == pytest.approx(steps.wall_us.samples, abs=TOLERANCE_US)


def test_the_newest_full_span_has_the_steps_asked_for(plugin: Plugin, run: Run) -> None:
    """`--steps 12` are 12 steps in the timing span that the summary is made of, in TensorBoard too."""
    (worker,) = run.workers
    timing = run.timing_trace(worker)
    number = next(number for number, span in spans(run).items() if span == timing)
    rows = plugin.get("overview", run="iris", worker=worker.name, span=number)["steps"]["rows"]
    assert len(rows) == 12


def test_the_mean_step_and_its_dataloader_part_agree(plugin: Plugin, run: Run) -> None:
    """The plugin rounds its mean to whole µs; Iris uses no DataLoader, and both say so."""
    for number, span in spans(run).items():
        figures = summarize(read(span.path), None)
        overview = plugin.get("overview", run="iris", worker=span.worker, span=number)
        (performance,) = overview["performance"]
        parts = {part["name"]: part["value"] for part in performance["children"]}
        assert performance["name"] == "Average Step Time"
        assert performance["value"] == pytest.approx(figures.steps.wall_us.mean, abs=0.5 + TOLERANCE_US)
        assert parts["DataLoader"] == 0
        assert figures.per_step.dataloader_us in {0.0, None}
        assert {"title": "Device Type", "value": "CPU"} in overview["environments"]


def test_an_unknown_run_is_not_found(plugin: Plugin) -> None:
    """The routes asked above do look at the name: another gives 404."""
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        plugin.get("views", run="nosuch")
    caught.value.close()


def test_our_own_tab_is_there_beside_it(plugin: Plugin, run: Run) -> None:
    """TensorBoard found the plugin by its entry point, lists its tab, and it knows the same run and spans."""
    base = plugin.base.removesuffix("/plugin/pytorch_profiler")
    with urllib.request.urlopen(f"{base}/plugins_listing", timeout=30) as answer:  # noqa: S310 - our own loopback
        listing = json.load(answer)
    assert (listing["stallscope"]["tab_name"], listing["stallscope"]["enabled"]) == ("Stallscope", True)
    with urllib.request.urlopen(f"{base}/plugin/stallscope/runs", timeout=30) as answer:  # noqa: S310
        (found,) = json.load(answer)["runs"]
    (worker,) = found["workers"]
    assert found["name"] == run.name
    assert len(worker["spans"]) == len(run.workers[0].spans)
