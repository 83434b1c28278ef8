"""What the TensorBoard plugin lists: every run, worker and span, without ever holding TensorBoard up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from stallscope.analysis.tensorboard import listing
from stallscope.tensorboard import Plugin
from stallscope.traces.runs import runs
from stallscope.traces.runs.runs import Run
from tests.analysis.comparing import manifest_of, window
from tests.plugin import a_step, clients, spans, until_done

pytestmark = pytest.mark.usefixtures("own_cache")


def test_no_run_yet(tmp_path: Path):
    """An empty folder, a missing one and none at all: no run, and a sentence that says so."""
    for folder in (tmp_path, tmp_path / "missing", None):
        told = clients(folder)["/runs"].get("/").json
        assert told["runs"] == []
        assert told["why_none"]


def test_a_run_that_comes_later_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder is looked at again, and the spans that were known keep their numbers."""
    monkeypatch.setattr("stallscope.analysis.tensorboard.listing.FRESH_S", -1.0)
    (tmp_path / "b").mkdir()
    a_step().write(tmp_path / "b")
    routes = clients(tmp_path)
    assert spans(routes) == {"b": 0}
    (tmp_path / "a").mkdir()
    a_step().write(tmp_path / "a")
    assert spans(routes) == {"a": 1, "b": 0}


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
    found = plugin._listings.fresh()
    (run,) = found.runs
    assert [worker["name"] for worker in run["workers"]] == [
        "rank 2 of 16 (host_2.rank2)",
        "rank 10 of 16 (host_10.rank10)",
    ]
    assert [asked.name for asked in found.spans][:2] == [
        f"{tmp_path.name}, rank 2 of 16 (host_2.rank2), timing, short round",
        f"{tmp_path.name}, rank 2 of 16 (host_2.rank2)",
    ]


class Gate:
    """A file system that answers when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.asked = threading.Event()
        monkeypatch.setattr(listing, "find_runs", self.find_runs)

    def find_runs(self, *arguments: Any) -> list[Run]:
        """What ``find_runs`` finds, in the end."""
        self.asked.set()
        assert self.open.wait(60)
        return runs.find_runs(*arguments)


def test_a_slow_file_system_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Is there anything to show? No, while the first look lasts; then yes, at once, whatever a later look takes."""
    monkeypatch.setattr(listing, "FIRST_S", 0.01)
    a_step().write(tmp_path)
    gate = Gate(monkeypatch)
    plugin = Plugin(SimpleNamespace(logdir=str(tmp_path)))
    assert plugin.is_active() is False
    gate.open.set()
    plugin._listings.fresh()
    assert plugin.is_active() is True
    gate.open.clear()
    gate.asked.clear()
    monkeypatch.setattr(listing, "FRESH_S", -1.0)
    assert plugin.is_active() is True
    assert gate.asked.wait(60)
    assert plugin.is_active() is True
    gate.open.set()


def test_the_first_answer_is_right(tmp_path: Path):
    """On a file system that answers, the tab is there when TensorBoard first asks."""
    assert Plugin(SimpleNamespace(logdir=str(tmp_path))).is_active() is False
    a_step().write(tmp_path)
    assert Plugin(SimpleNamespace(logdir=str(tmp_path))).is_active() is True


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are Unicode there")
def test_names_that_are_no_text(tmp_path: Path):
    """A log folder, a run and a worker whose names are not UTF-8: listed, shown and compared as any other."""
    logdir = Path(os.fsdecode(os.fsencode(tmp_path) + b"/logs\xff"))
    for name, worker in ((b"caf\xe9", b"w\xfe"), (b"broken\xe9", b"w")):
        folder = Path(os.fsdecode(os.fsencode(logdir) + b"/" + name))
        folder.mkdir(parents=True)
        a_step().write(folder, os.fsdecode(worker + b".1.pt.trace.json"))
    next(folder.iterdir()).write_text("hello")
    routes = clients(logdir)
    told = routes["/runs"].get("/")
    assert told.status_code == 200
    assert told.json["logdir"].endswith("logs?")
    assert [run["name"] for run in told.json["runs"]] == ["broken?", "caf?"]
    found = spans(routes)
    assert until_done(routes, span=found["broken?"])["state"] == "failed"
    for query in ({"span": found["caf?"]}, {"span": found["caf?"], "with": found["caf?"]}):
        assert until_done(routes, **query)["state"] == "ready"
        assert "caf" in routes["/page"].get("/", query_string=query).text
        assert routes["/figures"].get("/", query_string=query).json["schema"].startswith("stallscope.")


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The runs beside it are listed, and it is named; alone, it is why there are none."""
    for name in ("good", "secret"):
        (tmp_path / name).mkdir()
        a_step().write(tmp_path / name)
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    told = clients(tmp_path)["/runs"].get("/").json
    sentence = f"{tmp_path / 'secret'}: permission denied; check that it can be read"
    assert [run["name"] for run in told["runs"]] == ["good"]
    assert told["unreadable"] == [sentence]
    alone = clients(tmp_path / "secret")["/runs"].get("/").json
    assert (alone["runs"], alone["why_none"]) == ([], sentence)


def test_a_run_that_is_removed_while_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its folder was there and is gone a moment later: the other run is listed, and asking for the gone one fails."""
    for name in ("gone", "stays"):
        (tmp_path / name).mkdir()
        a_step().write(tmp_path / name)
    real = os.walk

    def walk(*arguments: Any, **options: Any) -> Iterator[Any]:
        for found in real(*arguments, **options):
            if Path(found[0]).name == "gone":
                shutil.rmtree(found[0])
            yield found

    monkeypatch.setattr(os, "walk", walk)
    routes = clients(tmp_path)
    found = spans(routes)
    assert until_done(routes, span=found["stays"])["state"] == "ready"
    failed = until_done(routes, span=found["gone"])
    assert failed["state"] == "failed"
    assert "no such file" in failed["text"]


HOSTILE = ("<script>alert(1)", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "x" * 200, "\u202egpj.exe")


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_hostile_names_are_told_as_they_are(tmp_path: Path):
    """Runs, workers and spans by such names: told as JSON, without what turns the direction of text."""
    for name in HOSTILE:
        (tmp_path / name).mkdir()
        a_step().write(tmp_path / name, f"{name}.1.pt.trace.json")
    told = clients(tmp_path)["/runs"].get("/")
    expected = sorted(name.replace("\u202e", "?") for name in HOSTILE)
    assert told.content_type == "application/json; charset=utf-8"
    assert sorted(run["name"] for run in told.json["runs"]) == expected
    assert sorted(run["workers"][0]["name"] for run in told.json["runs"]) == expected


TORCH = """
import sys, torch
from torch.profiler import ProfilerActivity, profile, schedule, tensorboard_trace_handler
model = torch.nn.Linear(4, 2)
handler = tensorboard_trace_handler(sys.argv[1], worker_name="laptop", use_gzip=True)
with profile(activities=[ProfilerActivity.CPU], schedule=schedule(wait=1, warmup=1, active=3, repeat=2),
             on_trace_ready=handler) as profiler:
    for _ in range(12):
        model(torch.randn(8, 4)).square().mean().backward()
        profiler.step()
"""


@pytest.mark.slow
def test_a_folder_that_torchs_own_handler_wrote(tmp_path: Path):
    """One run with one worker and two spans, the newer first to be looked at; its page tells its three steps."""
    subprocess.run([sys.executable, "-c", TORCH, str(tmp_path / "plain")], check=True, capture_output=True)
    routes = clients(tmp_path)
    (run,) = routes["/runs"].get("/").json["runs"]
    (worker,) = run["workers"]
    assert (run["name"], worker["name"]) == ("plain", "laptop")
    assert [span["first"] for span in worker["spans"]] == [False, True]
    number = worker["spans"][1]["id"]
    assert until_done(routes, span=number)["state"] == "ready"
    assert routes["/figures"].get("/", query_string={"span": number}).json["steps"]["count"] == 3


WITHOUT = """
import json, sys, urllib.request
sys.modules["torch_tb_profiler"] = None  # as if it were not installed
from tensorboard import default, program
real = default._iter_entry_points
default._iter_entry_points = lambda group: [each for each in real(group) if not each.value.startswith("torch_tb_")]
board = program.TensorBoard(default.get_plugins())
board.configure(["tensorboard", "--logdir", sys.argv[1], "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"])
address = board.launch().rstrip("/")
get = lambda route: json.load(urllib.request.urlopen(f"{address}/data/{route}", timeout=60))
listing = get("plugins_listing")
print(json.dumps([sorted(listing), listing["stallscope"]["enabled"], get("plugin/stallscope/runs")["runs"][0]["name"]]))
"""


@pytest.mark.slow
def test_without_torch_tb_profiler(tmp_path: Path):
    """TensorBoard without that plugin still has our tab, and it lists the run."""
    (tmp_path / "run").mkdir()
    a_step().write(tmp_path / "run")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    plugins, enabled, run = json.loads(ran.stdout.splitlines()[-1])
    assert "pytorch_profiler" not in plugins
    assert (enabled, run) == (True, "run")
