"""The evidence program, in short: it runs where there is no GPU, and counts what a trace holds."""

import gzip
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from stallscope.analysis.fixes.names import NUMBERED, TITLES
from stallscope.demo.catalog import WORKLOADS
from stallscope.profiling.machine.machine import collect
from stallscope.traces.model.manifest import GpuState
from tests import ROOT
from tests.evidence.gpu import bench, evidence, experiments, measuring, score
from tests.evidence.gpu.clock import Clock
from tests.evidence.gpu.pairs import SCHEMA, Evidence, Experiment, Part, PerStep, Variant, find_pairs, load, merged
from tests.simulated_iris import SAMPLE


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


def test_cooperative_launches_are_launches() -> None:
    """One of each kind of call: two launches, one of a graph, two waits; a query is none."""
    calls = ["cudaLaunchCooperativeKernel", "cuLaunchKernelEx", "cudaGraphLaunch", "cudaEventQuery"]
    waits = ["cudaStreamSynchronize", "cudaEventSynchronize"]
    found = measuring.per_step([*calls, *waits], [], Counter(), 1)
    assert (found.kernel_launches, found.graph_launches, found.sync_calls) == (2, 1, 2)


def test_every_experiment_can_be_told_apart() -> None:
    """Names are used once, keys once an experiment; a baseline changes nothing, and each part has work and a demo."""
    names = [each.name for each in (*experiments.DESIGNS, *experiments.DEMOS)]
    assert len(set(names)) == len(names)
    for design in experiments.DESIGNS:
        keys = [case.key for case in design.cases]
        assert len(set(keys)) == len(keys), design.name
        assert design.baseline.change is None
        assert not design.baseline.needs_gpu
        assert any(case.change for case in design.cases), design.name
        assert all(case.against is None or case.against in keys for case in design.cases)
    for part in experiments.PARTS:
        assert {type(each) for each in experiments.of_part(part)} == {experiments.Design, experiments.Demo}


def test_fixes_are_those_of_the_forecasts() -> None:
    """Each is a name that `whatif --fix` knows, has a number exactly where that takes one, and a change in words."""
    seen = set()
    for case in (case for design in experiments.DESIGNS for case in design.cases if case.fix):
        assert case.fix in TITLES
        assert (case.number is not None) == (case.fix in NUMBERED), case
        assert case.change
        seen.add(case.fix)
    assert seen == set(TITLES) - {"fewer_launches"}


def test_experiments_are_chosen_by_name() -> None:
    """In the order asked for; E4 is E4 at every width and not E4b; a demo by its own name; others are refused."""
    names = [each.name for each in experiments.chosen(["E1c", "matmul", "E4"])]
    assert names == ["E1c", "matmul", "E4-1024", "E4-4096", "E4-64", "E4-8192"]
    with pytest.raises(ValueError, match="E9: no experiment and no demo of that name; there are E1a, "):
        experiments.chosen(["E1a", "E9"])


def test_every_demo_is_known_to_the_command() -> None:
    """`stallscope demo` has each of them, and each of its own is run."""
    assert {demo.name for demo in experiments.DEMOS} == set(WORKLOADS)


MACHINE = collect(with_torch=False, run=lambda _: None)


def some(name: str, part: str, us: float = 8.0, repeats: int = 5, **about: object) -> Evidence:
    """Evidence of one experiment: item-1 takes 10 µs, item-never ``us``, a graph could not be measured."""
    before = Variant(key="item-1", device="cuda", rows=120, us_per_step=[10.0, 11.0, 9.0, 10.0, 10.0])
    after = Variant(
        key="item-never", device="cuda", rows=120, change="the loss never read", fix="record_every", number=1e6,
        against="item-1", us_per_step=[us, us + 0.1, us - 0.1, us, us][:repeats],
    )  # fmt: skip
    missing = Variant(key="graph", device="cuda", rows=120, change="one CUDA graph", fix="cuda_graph", error="no")
    experiment = Experiment(
        name=name, title="", part=part, held_out=True, baseline="item-1", variants=[before, after, missing]
    )
    this = Part(**{"name": part, "created": part, "quick": False, "machine": MACHINE, **about})
    return Evidence(parts=[this], experiments=[experiment])


def test_pairs_are_what_was_measured_on_both_sides() -> None:
    """One pair: the baseline and the fix that has times; what failed makes none. Its number is data."""
    (pair,) = find_pairs(some("E4-64", "part-2"))
    assert (pair.experiment, pair.fix, pair.number, pair.held_out) == ("E4-64", "record_every", 1e6, True)
    assert (pair.before, pair.before_us, pair.after, pair.after_us) == ("item-1", 10.0, "item-never", 8.0)
    assert pair.saving_share == 0.2
    assert pair.doubts == []


def test_a_pair_is_against_what_was_changed_and_of_as_much_data() -> None:
    """Foreach against the loop, not the baseline; ten times the rows in 12 µs are 1.2 µs for as much as before."""
    before = Variant(key="default", device="cuda", rows=10, us_per_step=[5.0])
    loop = Variant(key="loop", device="cuda", rows=10, change="a loop", us_per_step=[8.0])
    foreach = Variant(key="foreach", device="cuda", rows=100, change="", against="loop", us_per_step=[12.0])
    one = Experiment(name="x", title="", part="p", held_out=False, baseline="default", variants=[before, loop, foreach])
    parts = [Part(name="p", created="", quick=False, machine=MACHINE)]
    found = list(find_pairs(Evidence(parts=parts, experiments=[one])))
    assert [(pair.before, pair.before_us, pair.after_us) for pair in found] == [("default", 5, 8), ("loop", 8, 1.2)]


@pytest.mark.parametrize(
    ("about", "doubt"),
    [
        ({"quick": True}, "the part was quick: its repeats are too short"),
        ({"drift": -0.042}, "the machine drifted by -4.2 % within the part"),
        ({"repeats": 2}, "item-never: 2 of 5 repeats"),
    ],
    ids=["quick", "drift", "cut short"],
)
def test_a_pair_says_why_it_is_doubtful(about: dict[str, object], doubt: str) -> None:
    """A quick part, a drift beyond 3 %, missing repeats; each by itself."""
    (pair,) = find_pairs(some("E1a", "part-1", **about))
    assert pair.doubts == [doubt]


def test_the_better_measured_experiment_counts() -> None:
    """Of one measured twice the later; but never a quick, drifted or shortened one in the place of a better."""
    good = some("E1a", "part-1-a", us=7.0)
    (pair,) = merged([good, some("E1a", "part-1-b", us=6.0), some("E6", "part-3-b")]).pairs[:1]
    assert pair.after_us == 6.0
    worse = ({"quick": True}, {"drift": 0.05}, {"repeats": 3})
    for number, about in enumerate(worse):
        for order in (1, -1):
            both = [good, some("E1a", f"part-1-z{number}", us=6.0, **about)]
            assert merged(both[::order]).pairs[0].after_us == 7.0, about


def test_parts_of_several_files_become_one() -> None:
    """Every part and experiment once, by name, with the pairs of all."""
    found = merged([some("E6", "part-3"), some("E1c", "part-1"), some("E6", "part-3")])
    assert [part.name for part in found.parts] == ["part-1", "part-3"]
    assert [experiment.name for experiment in found.experiments] == ["E1c", "E6"]
    assert [pair.experiment for pair in found.pairs] == ["E1c", "E6"]


def test_what_is_too_large_is_left_out_of_the_tar_file(tmp_path: Path) -> None:
    """The largest first, said by name and size; the rest is there."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, size in (("large", 300), ("middle", 200), ("small", 100)):
        (folder / name).write_bytes(b"x" * size)
    assert evidence.pack(folder, tmp_path / "x.tar", 350) == ["large: left out of the tar file (300 B)"]
    with tarfile.open(tmp_path / "x.tar") as archive:
        assert archive.getnames() == ["middle", "small"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "x.tar"]


def test_the_governor_is_what_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word from a file; None where there is no such file."""
    monkeypatch.setattr(evidence, "GOVERNOR", tmp_path / "scaling_governor")
    assert evidence.governor() is None
    evidence.GOVERNOR.write_text("performance\n", encoding="ascii")
    assert evidence.governor() == "performance"


def test_the_state_of_the_gpu_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clocks when the part began and ended."""
    states = iter([GpuState(sm_mhz=1980, memory_mhz=2619), GpuState(sm_mhz=1410, slowed_by=["power"])])
    monkeypatch.setattr(evidence, "state", lambda: next(states))
    evidence.gather([], "p", evidence.FULL, tmp_path, Clock(60))
    (part,) = load(tmp_path / "evidence.json").parts
    assert part.gpu_at_start == GpuState(sm_mhz=1980, memory_mhz=2619)
    assert part.gpu_at_end == GpuState(sm_mhz=1410, slowed_by=["power"])


def test_a_failing_experiment_takes_no_other_with_it(tmp_path: Path) -> None:
    """One case that cannot be set up, one whose step fails later, a design that breaks: the rest is measured."""
    calls = itertools.count()

    def make_none(_device: str) -> measuring.Step:
        raise RuntimeError("out of memory\nof the GPU")

    def make_brittle(_device: str) -> measuring.Step:
        return lambda: next(calls) > 60 and 1 / 0

    sound = replace(experiments.IRIS, mode="for-loop")
    cases = (
        experiments.Case("base", experiments.IRIS, 120),
        experiments.Case("none", make_none, 120, "set up"),
        experiments.Case("brittle", make_brittle, 120, "later"),
        experiments.Case("sound", sound, 120, "foreach=False"),
    )
    designs = [
        experiments.Design("X1", "", 1, cases),
        experiments.Design("X2", "", 1, ()),
        experiments.Design("X3", "", 1, cases[:1]),
    ]
    scale = replace(evidence.QUICK, cases=None, profiled_steps=0)
    evidence.gather([replace(each, recorded=False) for each in designs], "p", scale, tmp_path, Clock(120))
    found = load(tmp_path / "evidence.json")
    assert [e.name for e in found.experiments] == ["X1", "X3"]
    assert found.parts[0].skipped == ["X2: IndexError: tuple index out of range"]
    errors = {v.key: v.error for v in found.experiments[0].variants}
    assert errors["none"] == "RuntimeError: out of memory of the GPU"
    assert errors["brittle"] == "ZeroDivisionError: division by zero"
    assert errors["base"] is errors["sound"] is None
    assert [pair.after for pair in found.pairs] == ["sound"]


@pytest.mark.slow
@pytest.mark.full
def test_the_whole_program_in_short(tmp_path: Path) -> None:
    """From the checkout, as a user types it: each part measures, traces and packs what a CPU can do of it."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tests.evidence.gpu.evidence", str(out), "--quick"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # on a busy machine, waiting threads make it 100 times slower
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=280, check=True, env=one_thread)
    found = load(out / "evidence.json")
    assert found.schema == SCHEMA
    assert [part.name.split("-")[:3] for part in found.parts] == [["quick", "part", str(n)] for n in (1, 2, 3)]
    assert all(part.quick and part.complete for part in found.parts)
    assert "matmul: not run in the short form" in found.parts[0].skipped
    assert "E5-10000: not measured here (no GPU)" in found.parts[2].skipped
    assert {experiment.name for experiment in found.experiments} >= {"E1a", "E1b", "E2", "E6"}
    assert {path.name for path in out.iterdir()} == {"evidence.json", *(f"{part.name}.tar" for part in found.parts)}
    for experiment in found.experiments:
        with tarfile.open(out / f"{experiment.part}.tar") as archive:
            check(experiment, set(archive.getnames()))
    first = found.experiments[0]
    assert found.part_of(first).drift is not None
    assert first.variants[0].run == "runs/E1a_item-1_cpu"
    assert [v.per_step.items for v in first.variants if v.per_step] == [1.0, 0.1]
    plain = msgspec.json.decode((out / "evidence.json").read_bytes())
    assert set(plain) == {"schema", "parts", "experiments", "pairs"}
    told = [pair for pair in plain["pairs"] if pair["experiment"] == "E1a"]
    assert [(pair["fix"], pair["number"], pair["after"]) for pair in told] == [("record_every", 10, "item-10")]
    baseline, same = (e.variants[0] for e in found.experiments[:2])
    assert baseline.traces == same.traces, "the same training was recorded twice"
    said: list[str] = []
    assert score.main([str(out), "--all"], said.append) == 0
    assert "E2 foreach" in said[0]
    assert "none: this run used no GPU" in said[0]


def check(experiment: Experiment, packed: set[str]) -> None:
    """Times have five repeats whose middle is the median; traces and run folders named are packed."""
    for variant in experiment.variants:
        if variant.error is not None:
            assert variant.error == bench.NO_GPU, (experiment.name, variant.key)
            assert variant.us_per_step == []
            continue
        assert len(variant.us_per_step) == len(variant.host_us_per_step) == 5
        assert statistics.median(variant.us_per_step) == variant.median_us_per_step
        assert min(variant.us_per_step) > 0
        assert variant.traced_steps == 20
        assert set(variant.traces.values()) <= packed
        assert ("attribution" in variant.traces) == (variant.key == experiment.baseline)
        assert variant.run is None or f"{variant.run}/stallscope.json" in packed


def test_the_commands_of_the_readme_fit_into_the_time_they_are_for() -> None:
    """Each names experiments and demos that there are, keeps within its limit, and both leave 180 s of 900 to start."""
    text = (ROOT / "tests/evidence/gpu/README.md").read_text(encoding="utf-8")
    found = re.findall(r"tests\.evidence\.gpu\.evidence \$OUT --budget (\d+) --only (\S+)", text)
    limits = [int(each) for each in re.findall(r"limit (?:of )?(\d+) s", text)]
    assert len(found) == len(limits) == 2
    assert all(int(budget) + 25 <= limit <= 600 for (budget, _), limit in zip(found, limits, strict=True))
    assert sum(int(budget) for budget, _ in found) <= 900 - 180
    first, second = (experiments.chosen(names.split(",")) for _, names in found)
    assert set(first) == set(experiments.DESIGNS)
    assert all(isinstance(each, experiments.Demo) for each in second)
