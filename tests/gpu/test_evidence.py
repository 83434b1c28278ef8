"""The evidence program, in short: it runs where there is no GPU, and counts what a trace holds."""

import gzip
import json
import os
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest

from stallscope.profiling.machine import collect
from tests.gpu import evidence, experiments, measuring
from tests.gpu.pairs import SCHEMA, Evidence, Experiment, Part, PerStep, Variant, load, merged, pairs
from tests.simulated_iris import SAMPLE

ROOT = Path(__file__).parents[2]


def test_counts_of_a_gpu_trace() -> None:
    """In the sample trace each step has 16 launches and kernels, a copy, a wait and an item, 70 operators."""
    steps, us_per_step, per_step = measuring.counted(SAMPLE)
    assert steps == 20
    assert 460 < us_per_step < 520
    assert per_step == PerStep(
        kernel_launches=16.0,
        graph_launches=0.0,
        kernels=16.0,
        memcpys=1.0,
        memsets=0.0,
        sync_calls=1.0,
        cpu_ops=70.0,
        items=1.0,
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
        row("cuda_runtime", "cudaGraphLaunch", 145, 4, 4),
        row("kernel", "late", 160, 5, 2),
        row("cuda_runtime", "cudaDeviceSynchronize", 170, 4, 3),
    ]
    path = tmp_path / "trace.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": rows}).encode()))
    _, _, per_step = measuring.counted(path)
    assert (per_step.kernel_launches, per_step.graph_launches, per_step.kernels, per_step.sync_calls) == (1, 1, 1, 0)


def test_each_repeat_begins_with_another_case() -> None:
    """Over three repeats every case runs in every place once."""
    orders = [measuring.rotated(["a", "b", "c"], repeat) for repeat in range(3)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]


def test_every_experiment_can_be_told_apart() -> None:
    """Names are used once, keys once an experiment, each baseline has no fix, and each part has work and a demo."""
    names = [design.name for design in experiments.DESIGNS]
    assert len(set(names)) == len(names)
    for design in experiments.DESIGNS:
        keys = [case.key for case in design.cases]
        assert len(set(keys)) == len(keys), design.name
        assert design.baseline.fix is None
        assert not design.baseline.needs_gpu
        assert any(case.fix for case in design.cases), design.name
    assert {design.part for design in experiments.DESIGNS} == {1, 2, 3} == set(experiments.WORKLOADS)


def test_a_part_fits_into_nine_minutes() -> None:
    """What is planned for timing leaves a third of each part for traces, and all of it ends before 540 s."""
    assert evidence.BUDGET_S < 540
    for part in (1, 2, 3):
        assert sum(design.seconds for design in experiments.DESIGNS if design.part == part) < evidence.BUDGET_S * 2 / 3


def some(name: str, part: int, quick: bool = False) -> Evidence:
    """Evidence of one experiment: item-1 takes 10 µs, item-never 8 µs, a graph could not be measured."""
    times = {"us_per_step": [10.0, 11.0, 9.0], "median_us_per_step": 10.0}
    before = Variant(key="item-1", device="cuda", fix=None, rows=120, **times)
    faster = {"us_per_step": [8.0, 8.1, 7.9], "median_us_per_step": 8.0}
    after = Variant(key="item-never", device="cuda", fix="item_every_never", rows=120, **faster)
    missing = Variant(key="graph", device="cuda", fix="cuda_graph", rows=120, error="no")
    experiment = Experiment(
        name=name, title="", part=part, held_out=True, baseline="item-1", variants=[before, after, missing]
    )
    machine = collect(with_torch=False, run=lambda _: None)
    this = Part(number=part, created="", quick=quick, machine=machine, wall_s=1.0, skipped=[])
    return Evidence(parts=[this], experiments=[experiment])


def test_pairs_are_what_was_measured_on_both_sides() -> None:
    """One pair: the baseline and the fix that has times; what failed makes none."""
    (pair,) = pairs(some("E4-64", 2))
    assert (pair.experiment, pair.fix, pair.held_out) == ("E4-64", "item_every_never", True)
    assert (pair.before.median_us_per_step, pair.after.median_us_per_step) == (10.0, 8.0)


def test_parts_of_several_files_become_one() -> None:
    """In the order of the parts; of a part that was measured again the later counts, experiments and all."""
    found = merged([some("E6", 3), some("E1a", 1, quick=True), some("E1c", 1)])
    assert [part.number for part in found.parts] == [1, 3]
    assert [experiment.name for experiment in found.experiments] == ["E1c", "E6"]


@pytest.mark.slow
def test_the_whole_program_in_short(tmp_path: Path) -> None:
    """From the checkout, as a user types it: each part measures, traces and packs what a CPU can do of it."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tests.gpu.evidence", str(out), "--quick"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # on a busy machine, waiting threads make it 100 times slower
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=280, check=True, env=one_thread)
    found = load(out / "evidence.json")
    assert found.schema == SCHEMA
    assert [part.number for part in found.parts] == [1, 2, 3]
    assert all(part.quick for part in found.parts)
    assert "E5-10000: not measured here (no GPU)" in found.parts[2].skipped
    assert {experiment.name for experiment in found.experiments} >= {"E1a", "E1b", "E2", "E6"}
    for experiment in found.experiments:
        with tarfile.open(out / f"part-{experiment.part}.tar") as archive:
            check(experiment, set(archive.getnames()))
    first = found.experiments[0]
    assert first.drift is not None
    assert first.variants[0].run == "runs/E1a_item-1_cpu"
    assert [v.per_step.items for v in first.variants if v.per_step] == [1.0, 0.1]
    assert ("E1a", "item_every_10") in {(pair.experiment, pair.fix) for pair in pairs(found)}
    strict = msgspec.json.decode((out / "evidence.json").read_bytes())
    assert set(strict) == {"schema", "parts", "experiments"}


def check(experiment: Experiment, packed: set[str]) -> None:
    """Times have five repeats whose middle is the median; traces and run folders named are packed."""
    for variant in experiment.variants:
        if variant.error is not None:
            assert variant.error == evidence.NO_GPU, (experiment.name, variant.key)
            assert variant.us_per_step == []
            continue
        assert len(variant.us_per_step) == len(variant.host_us_per_step) == 5
        assert statistics.median(variant.us_per_step) == variant.median_us_per_step
        assert min(variant.us_per_step) > 0
        assert variant.traced_steps == 20
        assert set(variant.traces.values()) <= packed
        assert ("attribution" in variant.traces) == (variant.key == experiment.baseline)
        assert variant.run is None or f"{variant.run}/stallscope.json" in packed
