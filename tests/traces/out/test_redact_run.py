"""A run folder that may be shown: traces, manifests and names of files without people and machines."""

import json
from pathlib import Path

import msgspec
import pytest

from stallscope import api, cli
from stallscope.traces.model.manifest import CallSite, Frame, GpuProcess, LineTime, Manifest, RunPart, WholeRun, Window
from stallscope.traces.runs.runs import load_manifests
from tests.analysis.manifests import manifest
from tests.builders import TraceBuilder

SCRIPT = "/home/annika/acme/train.py"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of the worker ``annikas-box_7``, with lines and a command line that tell of its owner."""
    folder = tmp_path / "run"
    folder.mkdir()
    name = "annikas-box_7.1700000000000000000.pt.trace.json"
    written = TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 5, 50).write(folder)
    written.rename(folder / name)
    window = Window(kind="timing", round="full", first_step=0, steps=1, duration_ns=1, samples_ns=[100_000], trace=name)
    told = manifest(
        command=[SCRIPT, "--user", "annika"], windows=[window],
        call_sites=[CallSite(kind="item", frames=[Frame(file=SCRIPT, line=3, function="main")])],
        whole_run=WholeRun(
            total_ns=10, looks=1, looking_ns=0,
            parts=[RunPart(name="training", ns=10, lines=[LineTime(file=SCRIPT, line=4, function="main", ns=10)])],
        ),
    )  # fmt: skip
    machine = msgspec.structs.replace(told.machine, others_on_gpu=[GpuProcess(gpu=0, pid=1, name="annika's game")])
    told = msgspec.structs.replace(told, worker="annikas-box_7", machine=machine)
    (folder / "stallscope.json").write_bytes(msgspec.json.encode(told))
    (folder / "notes of annika.txt").write_text("annika")
    return folder


def test_nothing_tells_of_the_owner_and_the_figures_stay(run: Path, tmp_path: Path) -> None:
    """No name of a file, no manifest, no trace; the summary of the copy is that of the original."""
    copy = tmp_path / "copy"
    assert cli._execute(["redact", str(run), "-o", str(copy)]) == 0
    files = sorted(copy.iterdir())
    assert [file.name for file in files] == ["stallscope.json", "worker0.1700000000000000000.pt.trace.json.gz"]
    assert b"annika" not in files[0].read_bytes()
    assert b"acme" not in files[0].read_bytes()
    manifests, broken = load_manifests(copy)
    assert not broken
    told: Manifest = manifests["worker0"]
    assert told.command == ["train.py"]
    assert told.call_sites[0].frames[0].file.endswith("train.py")
    assert api.summarize(copy).steps == api.summarize(run).steps
    assert api.summarize(copy).run.parts[0].name == "training"


def test_a_folder_that_is_not_empty_is_left_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit code 2, nothing written."""
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "mine").write_text("mine")
    assert cli._execute(["redact", str(run), "-o", str(copy)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in copy.iterdir()] == ["mine"]


def test_a_file_is_still_a_copy_of_the_first_trace(run: Path, tmp_path: Path) -> None:
    """With a name that ends in .json the newest timing trace of the run is copied."""
    assert cli._execute(["redact", str(run), "-o", str(tmp_path / "copy.json")]) == 0
    assert json.loads((tmp_path / "copy.json").read_bytes())["traceEvents"]
