"""`stallscope profile --scalars`: what TensorBoard's own reader finds in the run folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from stallscope import cli, scalars
from stallscope.commands import profile as profiled
from stallscope.profiling.words import voice
from stallscope.traces.model.errors import BadInput
from tests.analysis.comparing import manifest_of, window
from tests.builders import TraceBuilder

SPANS = {"host_1.1700000000000000000.pt.trace.json": "short", "host_1.1700000009000000000.pt.trace.json": "full"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A short span of steps of 100 µs and a full one of 80 µs, each with a launch, a copy and a wait a step."""
    windows = []
    for (name, round_), length in zip(SPANS.items(), (100, 80), strict=True):
        builder = TraceBuilder()
        for at in range(0, 3 * length, length):
            builder.step(at, length).op("aten::mm", at, 60).launch(at + 2, 5, kernel=("k", at + 10, 10))
            builder.memcpy(at + 20, 5, copy=("Memcpy HtoD (Pinned -> Device)", at + 30, 10)).sync(at + 45, 10)
        builder.write(tmp_path, name)
        first_step = 5 if round_ == "short" else 40
        windows.append(replace(window(70, kind="timing", round_=round_), trace=name, first_step=first_step))
        windows.append(window(70, round_=round_, steps=3))
    manifest = manifest_of("train.py", windows=windows)
    (tmp_path / "stallscope.json").write_bytes(msgspec.json.encode(manifest))
    return tmp_path


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each scalar, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, round(e.value, 4)) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_what_tensorboard_reads(run: Path):
    """One point a span at its first step: 20 of 100 µs busy, then 20 of 80; the unprofiled time is the manifest's."""
    scalars.write_scalars(run)
    assert read(run) == {
        "stallscope/launches_per_step": [(5, 1.0), (40, 1.0)],
        "stallscope/sync_calls_per_step": [(5, 1.0), (40, 1.0)],
        "stallscope/copies_per_step": [(5, 1.0), (40, 1.0)],
        "stallscope/gpu_idle_share": [(5, 0.8), (40, 0.75)],
        "stallscope/step_ms": [(5, 0.1), (40, 0.08)],
        "stallscope/step_unprofiled_ms": [(5, 0.07), (40, 0.07)],
    }


def test_a_run_without_timing_spans_has_none(tmp_path: Path):
    """A manifest that tells of none: one sentence, and no file."""
    TraceBuilder().step(0, 100).launch(2, 5, kernel=("k", 10, 10)).write(tmp_path, "w.1.pt.trace.json")
    manifest = replace(manifest_of("train.py", windows=[]), worker="w")
    (tmp_path / "stallscope.json").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(BadInput, match="no timing span"):
        scalars.write_scalars(tmp_path)
    assert [path.name for path in tmp_path.rglob("events*")] == []


def test_every_rank_has_curves_of_its_own(run: Path):
    """Of two ranks each has a folder, TensorBoard's way to lay curves over one another; one rank can be asked for."""
    for rank, worker in ((0, "host_1"), (1, "host_2")):
        windows = [
            replace(window(70, kind="timing", round_=round_), trace=name.replace("host_1", worker), first_step=40)
            for name, round_ in SPANS.items()
        ]
        for name in SPANS:
            (run / name.replace("host_1", worker)).write_bytes((run / name).read_bytes())
        manifest = replace(manifest_of("train.py", windows=windows[1:], rank=rank, world_size=2), worker=worker)
        (run / f"stallscope{f'.rank{rank}' if rank else ''}.json").write_bytes(msgspec.json.encode(manifest))
    assert scalars.write_scalars(run, 1)[0].parent == run / "rank1"
    assert not (run / "rank0").exists()
    scalars.write_scalars(run)
    for rank in (0, 1):
        assert read(run / f"rank{rank}")["stallscope/step_ms"] == [(40, 0.08)]
    assert list(run.glob("events*")) == []


def test_a_folder_of_plain_torch_profiler(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`summary --scalars` writes each span at its place; written again, there is still one point each."""
    for ns, length in ((1_700_000_000_000_000_000, 100), (1_700_000_001_000_000_000, 50)):
        builder = TraceBuilder().step(0, length).launch(2, 5, kernel=("k", 10, 10))
        path = builder.write(tmp_path, f"laptop.{ns}.pt.trace.json")
    for _ in range(2):
        assert cli._execute(["summary", "--scalars", str(tmp_path)]) == 0
        (written,) = tmp_path.glob("events*")
        assert capsys.readouterr().err == f"written: {written}\n"
        assert read(tmp_path)["stallscope/step_ms"] == [(0, 0.1), (1, 0.05)]
    assert cli._execute(["summary", "--scalars", str(path)]) == 2
    assert "name a run folder" in capsys.readouterr().err


def test_a_run_below_the_folder_is_left_alone(run: Path):
    """Traces of somebody else in a folder inside: the run's own scalars are written, and nothing there."""
    (run / "below").mkdir()
    TraceBuilder().step(0, 50).launch(2, 5, kernel=("k", 10, 10)).write(run / "below")
    scalars.write_scalars(run)
    assert len(list(run.glob("events*"))) == 1
    assert list((run / "below").glob("events*")) == []


def test_without_tensorboard_it_is_one_sentence(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The run goes on to its end; stderr says what to install; no file is left."""
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    profiled._scalars(run, 0, voice.of_process())
    assert (
        capsys.readouterr().err
        == "stallscope: no scalars (scalars need TensorBoard: python -m pip install tensorboard)\n"
    )
    assert list(run.glob("events*")) == []


SCRIPT = """
import sys, torch
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(300):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
print("done")
sys.exit(3)
"""


@pytest.mark.slow
def test_a_script_profiled_with_scalars(tmp_path: Path):
    """The output and exit code are the script's; the event file lies in its folder; without the option, none."""
    (tmp_path / "train.py").write_text(SCRIPT)
    for name, options in (("with", ["--scalars"]), ("without", [])):
        command = [sys.executable, "-m", "stallscope", "profile", "--plan", "quick", "--no-summary", "--name", name]
        ran = subprocess.run(
            [*command, *options, "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert (ran.stdout, ran.returncode) == ("done\n", 3), ran.stderr
    assert set(read(tmp_path / "runs" / "with")) == {"stallscope/step_ms", "stallscope/step_unprofiled_ms"}
    assert list((tmp_path / "runs" / "without").glob("events*")) == []
