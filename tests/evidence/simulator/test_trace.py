"""The traces that the simulator writes are whole Kineto traces that say what its machine did."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import stallscope
from tests.evidence.simulator.fixes import FIXES
from tests.evidence.simulator.kineto import trace_bytes
from tests.evidence.simulator.machine import drawn
from tests.evidence.simulator.models import compute
from tests.evidence.simulator.pairs import RECORDED, Pair, pair, pairs
from tests.evidence.simulator.program import Fetch, Kernel, Launch, Loader, Loop, Op, Work, item, kernels_in, to_device
from tests.evidence.simulator.run import Process

ONE_OF_EACH = [next(pairs("development", 1, (fix,))) for fix in FIXES]


def written(path: Path, data: bytes) -> Path:
    """``data`` as a trace file."""
    path.write_bytes(data)
    return path


def of(category: str, data: bytes) -> list[dict[str, Any]]:
    """The complete rows of one category."""
    return [row for row in json.loads(data)["traceEvents"] if row["ph"] == "X" and row["cat"] == category]


@pytest.mark.parametrize("one", ONE_OF_EACH, ids=lambda one: one.fix)
def test_its_traces_are_healthy_before_and_after(one: Pair, tmp_path: Path) -> None:
    """The summary finds nothing lost or damaged, 20 steps, and each launch of the program once a step."""
    before = stallscope.summarize(written(tmp_path / "before.pt.trace.json", one.trace))
    after = stallscope.summarize(written(tmp_path / "after.pt.trace.json", one.trace_after()))
    for summary in (before, after):
        assert (summary.health.grade, summary.health.issues) == ("ok", [])
        assert (summary.steps.source, summary.steps.count) == ("profiler_step", RECORDED)
    assert before.per_step.kernel_launches == len(kernels_in(compute(one.training)))
    assert before.trace.simulated


@pytest.mark.slow
def test_torch_finds_nothing_against_them(tmp_path: Path) -> None:
    """The validator of torch itself passes a loop with copies, reads, a backward pass and two fenced streams."""
    from torch.profiler._trace_validator import validate_trace

    candidates = (pair("development", number, FIXES[1], "balanced") for number in range(100))
    one = next(p for p in candidates if any(e.side for e in p.training.layers) and not p.training.read_pinned)
    assert validate_trace(str(written(tmp_path / "t.json", one.trace))) == (True, [])
    assert {row["name"] for row in of("cuda_sync", one.trace)} == {"Stream Sync", "Context Sync", "Stream Wait Event"}


def test_a_known_step_is_written_row_by_row() -> None:
    """One fetch, one pageable copy with its wait, one operator, one read: these rows a step, and the closing wait."""
    relu = Op("aten::relu", (Launch(Kernel("relu", 2.0)),), before=5.0, forward=0)
    step = (Fetch(), to_device(50_000, pinned=False, non_blocking=False), relu, item())
    data = trace_bytes(Process(Loop(step, Loader(100.0, 50_000)), drawn("trace"), "trace").record(3))
    assert Counter(row["name"] for row in of("cuda_runtime", data)) == {
        "cudaLaunchKernel": 3, "cudaMemcpyAsync": 6, "cudaStreamSynchronize": 6, "cudaDeviceSynchronize": 1,
    }  # fmt: skip
    assert Counter(row["name"] for row in of("user_annotation", data)) == {
        "ProfilerStep#6": 1, "ProfilerStep#7": 1, "ProfilerStep#8": 1,
        "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__": 3,
    }  # fmt: skip
    assert Counter(row["name"] for row in of("gpu_memcpy", data)) == {
        "Memcpy HtoD (Pageable -> Device)": 3,
        "Memcpy DtoH (Device -> Pageable)": 3,
    }
    assert len(of("kernel", data)) == 3
    calls = {row["args"]["correlation"]: row for row in of("cuda_runtime", data)}
    operators = {row["args"]["External id"]: row["name"] for row in of("cpu_op", data)}
    assert {operators[calls[k["args"]["correlation"]]["args"]["External id"]] for k in of("kernel", data)} == {
        "aten::relu"
    }


def test_waits_are_left_out_on_request() -> None:
    """A profiler that was not asked for synchronization rows writes none, and all else."""
    recorded = Process(Loop((Work(5.0), Launch(Kernel("k", 2.0)), item())), drawn("rows"), "rows").record(2)
    with_rows, without = trace_bytes(recorded), trace_bytes(recorded, sync_rows=False)
    assert (len(of("cuda_sync", with_rows)), len(of("cuda_sync", without))) == (3, 0)
    assert len(of("cuda_runtime", with_rows)) == len(of("cuda_runtime", without)) == 7
