"""`stallscope whatif`: what it prints in each format, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stallscope import cli
from tests.analysis.forecast.test_whatif import a_manifest
from tests.builders import TraceBuilder
from tests.evidence.simulator.kineto import trace_bytes
from tests.evidence.simulator.machine import Machine
from tests.evidence.simulator.program import Every, Kernel, Launch, Loop, Work, item
from tests.evidence.simulator.run import Process
from tests.simulated_iris import SAMPLE


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    code = cli._execute(["whatif", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_page_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    """Step now, the ladder with what is added up, why each applies, why others do not; no line over 80 columns."""
    code, out, _ = run(capsys, str(SAMPLE))
    assert code == 0
    assert "Step now    503 µs, in profiled time" in out
    assert "added up" in out
    assert "- cuda_graph: every step launches the same 16 kernels" in out
    assert "- pinned_memory: no copy to the GPU comes from pageable memory" in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_document_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    """Schema, base, fixes and constants, each constant with its mark; only the fixes that were asked for."""
    code, out, _ = run(capsys, str(SAMPLE), "--fix", "cuda_graph", "--fix", "record_every=50", "--format", "json")
    document: dict[str, Any] = json.loads(out)
    assert (code, document["schema"]) == (0, "stallscope.whatif/1")
    assert [each["fix"] for each in document["what_if"]] == ["cuda_graph", "record_every_50"]
    assert document["forecast"]["basis"] == "profiled time"
    assert {each["measured"] for each in document["constants"]} == {False}


def test_markdown_for_an_issue(capsys: pytest.CaptureFixture[str]) -> None:
    """A table, and lists of reasons."""
    code, out, _ = run(capsys, str(SAMPLE), "--format", "markdown")
    assert code == 0
    assert "| one CUDA graph for the step |" in out
    assert "### No forecast for" in out


def test_an_unknown_fix_is_one_sentence_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, before any trace is read."""
    code, out, err = run(capsys, "no-such-trace.json", "--fix", "magic")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "magic: no fix of that name; there are record_every, deferred_read, cuda_graph" in err


def test_a_path_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without one: exit code 2 and a sentence."""
    code, _, err = run(capsys)
    assert code == 2
    assert "name a trace or a run folder" in err


def test_a_run_without_a_gpu_says_why_there_is_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No forecast is an answer: exit code 0, the reason, no table."""
    trace = TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 10, 80).write(tmp_path)
    code, out, _ = run(capsys, str(trace))
    assert code == 0
    assert "Forecast    none: this run used no GPU." in out
    assert "added up" not in out


def test_the_constants_and_their_marks(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its source, none measured yet; as JSON too."""
    code, out, _ = run(capsys, "--constants")
    assert code == 0
    assert out.replace("\n    ", " ").count("(not yet measured on hardware)") >= 15
    code, out, _ = run(capsys, "--constants", "--format", "json")
    assert json.loads(out)["schema"] == "stallscope.constants/1"
    code, out, _ = run(capsys, "--constants", "--format", "markdown")
    assert (code, out.splitlines()[0]) == (0, "### Constants that no trace holds")
    assert r"- graph\_launch = 12 (2.5 to 60) µs a graph; NVIDIA blog" in out


def test_scores_of_a_folder_without_a_pair(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One run twice: nothing was changed, so there is nothing to score."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(SAMPLE, tmp_path / name)
    code, out, _ = run(capsys, "--score", str(tmp_path))
    assert code == 0
    assert out == "No pair of runs here differs by one change that a forecast is made for.\n"


def test_scores_of_the_resnet_pair(capsys: pytest.CaptureFixture[str], real_traces: Path) -> None:
    """0 → 4 workers: forecast 124 ms; measured 140 ms, the mean of six uneven steps: said to be outside, 11.5 % low."""
    pair = [str(real_traces / "kineto-2021" / f"resnet50_num_workers_{n}") for n in (0, 4)]
    code, out, _ = run(capsys, "--score", *pair, "--format", "json")
    document = json.loads(out)
    assert (code, document["schema"]) == (0, "stallscope.score/1")
    (scored,) = document["pairs"]
    assert (scored["score"]["fix"], scored["score"]["inside"]) == ("dataloader_workers", False)
    assert document["median_error_percent"] == pytest.approx(11.5, abs=0.5)


def recorded(folder: Path, every: int) -> float:
    """A simulated training as a run folder: its trace, its manifest; the unprofiled step in µs."""
    folder.mkdir(parents=True)
    read_it = (Work(4.0), Every(every, (item(),)))
    body = (*(Work(20.0), Launch(Kernel("k", 2.0))) * 12, Work(10.0), *read_it)
    process = Process(Loop(body), Machine(), "score")
    step_us = process.step_ns(1000) / 1000
    (folder / "w.1700000000000000000.pt.trace.json").write_bytes(trace_bytes(process.record(20)))
    command = ["train.py", "--record-every", str(every)]
    (folder / "stallscope.json").write_bytes(
        msgspec.json.encode(msgspec.structs.replace(a_manifest(step_us), command=command))
    )
    return step_us


def test_scores_of_runs_with_an_unprofiled_step(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Loss read in each step, then in every 100th: the forecast from the first run, beside what the second took."""
    before, after = recorded(tmp_path / "each", 1), recorded(tmp_path / "hundredth", 100)
    code, out, _ = run(capsys, "--score", str(tmp_path), "--format", "json")
    (pair,) = json.loads(out)["pairs"]
    assert code == 0
    assert (pair["baseline"].split("/")[-1], pair["score"]["fix"]) == ("each", "record_every_100")
    assert pair["before_us"] == pytest.approx(before)
    assert pair["score"]["measured_us"] == pytest.approx(after)
    assert abs(pair["score"]["error_percent"]) < 5
    code, out, _ = run(capsys, "--score", str(tmp_path))
    assert "record_every_100" in out
    assert "Error: median" in out
    code, out, _ = run(capsys, "--score", str(tmp_path), "--format", "markdown")
    assert "| change | forecast | measured | error | inside |" in out
    assert r"| record\_every\_100: " in out
