"""The evidence program, in short: it runs where there is no GPU, and counts what a trace holds."""

import gzip
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.gpu import evidence
from tests.simulated_iris import SAMPLE

ROOT = Path(__file__).parents[2]


def test_counts_of_a_gpu_trace() -> None:
    """In the sample trace each step has 16 launches and kernels, a copy, a wait and an item, 70 operators."""
    steps, us_per_step, per_step = evidence.counted(SAMPLE)
    assert steps == 20
    assert 460 < us_per_step < 520
    assert per_step == evidence.PerStep(
        kernel_launches=16.0, kernels=16.0, memcpys=1.0, memsets=0.0, sync_calls=1.0, cpu_ops=70.0, items=1.0
    )


def test_work_belongs_to_the_step_that_started_it(tmp_path: Path) -> None:
    """A kernel that runs after the last step counts, for its launch lies in it; one launched before does not."""

    def row(cat: str, name: str, ts: float, dur: float, correlation: int = 0) -> dict[str, object]:
        return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "args": {"correlation": correlation}}

    rows = [
        row("user_annotation", "ProfilerStep#7", 100, 50),
        row("cuda_runtime", "cudaLaunchKernel", 90, 4, 1),
        row("kernel", "early", 110, 5, 1),
        row("cuda_runtime", "cudaLaunchKernel", 140, 4, 2),
        row("kernel", "late", 160, 5, 2),
        row("cuda_runtime", "cudaDeviceSynchronize", 170, 4, 3),
    ]
    path = tmp_path / "trace.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": rows}).encode()))
    _, _, per_step = evidence.counted(path)
    assert (per_step.kernel_launches, per_step.kernels, per_step.sync_calls) == (1.0, 1.0, 0.0)


def test_each_repeat_begins_with_another_variant() -> None:
    """Over five repeats every variant runs in every place once."""
    orders = [evidence.rotated(repeat) for repeat in range(5)]
    assert orders[1] == (10, 100, 1000, 0, 1)
    for place in range(5):
        assert {order[place] for order in orders} == {1, 10, 100, 1000, 0}


@pytest.mark.slow
def test_the_whole_program_in_short(tmp_path: Path) -> None:
    """From the checkout, as a user types it: five variants with five repeats each, and a trace of each."""
    command = [sys.executable, "-m", "tests.gpu.evidence", str(tmp_path / "out"), "--quick"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # on a busy machine, waiting threads make it 100 times slower
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=200, check=True, env=one_thread)
    found = json.loads((tmp_path / "out" / "evidence.json").read_text(encoding="utf-8"))
    assert found["schema"] == "stallscope.evidence/1"
    assert found["machine"]["cores"] >= 1
    cpu = [variant for variant in found["iris"] if variant["device"] == "cpu"]
    assert [variant["read_every"] for variant in cpu] == [1, 10, 100, 1000, 0]
    for variant in cpu:
        assert len(variant["us_per_step"]) == 5
        assert sorted(variant["us_per_step"])[2] == variant["median_us_per_step"] > 0
        assert variant["traced_steps"] == 20
        assert variant["per_step"]["kernel_launches"] == 0
    assert [variant["per_step"]["items"] for variant in cpu] == [1.0, 0.1, 0.0, 0.0, 0.0]
    with tarfile.open(tmp_path / "out" / "iris_traces.tar") as archive:
        assert sorted(archive.getnames()) == sorted(variant["trace"] for variant in found["iris"])
