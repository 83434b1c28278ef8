"""``stallscope summary`` beside ``json.load``, HTA and torch-tb-profiler: CPU time and peak memory of whole processes.

Real traces, and real ones repeated to 50 MB, 500 MB and 1 GB of JSON (without the folder of real traces, built ones).
All files are gzip. Rounds are interleaved, one process at a time; a ratio is the median of the ratios within each
round. Peers run in environments of their own (``peers_env.py``), above ``ONCE`` once.

The work is not the same: ``json.load`` makes no columns, HTA drops the last step, torch-tb-profiler builds trees of
operators, and we print a summary.
"""

from __future__ import annotations

import gzip
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from stallscope.traces.read.read import read
from tests.evidence.benchmarks import bench_read, scaled
from tests.evidence.benchmarks.measure import ROOT, Cost, Row, process_cost
from tests.evidence.benchmarks.peers_env import WORK, python_of
from tests.real import real_trace_folder

ROUNDS = 5
ROUNDS_LARGE = 3
LARGE = 200  # MB of JSON
ONCE = 200  # MB from which a peer runs once
SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "50,500,1000").split(","))
SAMPLE = next((ROOT / "traces" / "samples").glob("*.json.gz"))  # read once before anything is measured
TEMPLATES = {"plain": "v100/diff_test_v100.json.gz", "stacks": "amd/mi300_resnet_train_act_checkpoint.json.gz"}
REAL = (
    "h100/owlv2_large.json.gz",
    "kineto-2021/resnet50_num_workers_0/worker0.1623143089861.pt.trace.json.gz",
    "v100/diff_test_v100.json.gz",
    "amd/mi300_resnet_train_act_checkpoint.json.gz",
    "a100/alexnet.json.gz",
)

# MB/s of json.load on the machine for which goals in MB/s were set: a speed there is our ratio to json.load times this.
REFERENCE_JSON_LOAD = {"plain": 487 / 9.5, "stacks": 512 / 9.1}

JSON_LOAD = "import gzip, json, sys; json.load(gzip.open(sys.argv[1]))"
HTA = """
import sys, warnings
warnings.filterwarnings("ignore")
from hta.trace_analysis import TraceAnalysis
analysis = TraceAnalysis(trace_files={0: sys.argv[1]}, trace_dir="/")
analysis.get_temporal_breakdown(visualize=False)
analysis.get_idle_time_breakdown(ranks=[0], visualize=False)
analysis.get_cuda_kernel_launch_stats(ranks=[0], visualize=False)
"""
TB = """
import sys, tempfile
from torch_tb_profiler.profiler.data import RunProfileData
RunProfileData.parse("worker", 0, sys.argv[1], tempfile.gettempdir())
"""


@dataclass
class Subject:
    """A trace and what was measured on it."""

    name: str
    path: Path
    megabytes: float
    events: int  # complete ones
    rounds: list[dict[str, Cost | None]] = field(default_factory=list)

    def median(self, who: str) -> Cost | None:
        """Median CPU and highest peak of one program; None: it failed or was not run."""
        costs = [cost for each in self.rounds if (cost := each.get(who))]
        if not costs:
            return None
        return Cost(statistics.median(cost.cpu_s for cost in costs), max(cost.peak_bytes or 0 for cost in costs))

    def times(self, who: str) -> tuple[float, float] | None:
        """CPU and peak memory of a peer as multiples of ours, medians of the ratios of each round."""
        pairs = [(mine, cost) for each in self.rounds if (cost := each.get(who)) and (mine := each["stallscope"])]
        if not pairs:
            return None
        cpu = statistics.median(cost.cpu_s / mine.cpu_s for mine, cost in pairs)
        return cpu, statistics.median((cost.peak_bytes or 0) / (mine.peak_bytes or 1) for mine, cost in pairs)


def run() -> list[Row]:
    """Measure everything; the table, then the goals."""
    WORK.mkdir(exist_ok=True)
    process_cost(sys.executable, "-m", "stallscope", "summary", str(SAMPLE), environment=as_installed())
    folder = WORK / "scaled"
    try:
        subjects = [measured(subject) for subject in found(folder)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [row(subject) for subject in subjects] + goals({subject.name: subject for subject in subjects})


def found(folder: Path) -> Iterator[Subject]:
    """The traces, each made when its turn comes and removed by the next."""
    real = real_trace_folder()
    for name in REAL if real else ():
        yield subject(name.partition(".")[0], real / name)
    for kind, template in TEMPLATES.items():
        text = gzip.decompress((real / template).read_bytes()).decode() if real else built(stacks=kind == "stacks")
        for size in SIZES:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            path = folder / f"{kind}{size}.json.gz"
            scaled.write(text, size, path)
            yield subject(f"{kind} {size} MB", path)


def built(*, stacks: bool) -> str:
    """A template without any real trace: about 50 MB, with a Python frame around each operator where asked."""
    text = bench_read.generated()
    if not stacks:
        return text
    document = msgspec.json.decode(text)
    operators = [event for event in document["traceEvents"] if event.get("cat") == "cpu_op"]
    frames = [
        event | {"cat": "python_function", "name": f"model.py({i % 90}): forward", "args": {"Python id": i}}
        for i, event in enumerate(operators + operators)
    ]
    document["traceEvents"] += frames
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def subject(name: str, path: Path) -> Subject:
    """A trace with its size and number of complete events."""
    with gzip.open(path) as file:
        size = sum(len(piece) for piece in iter(lambda: file.read(1 << 20), b""))
    return Subject(name, path, size / 1e6, len(read(path).events))


def as_installed() -> dict[str, str]:
    """The environment in which our modules have their bytecode beside them, as pip leaves the peers' (and ours)."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(WORK.resolve() / "bytecode")}


def measured(found: Subject) -> Subject:
    """Run every program on the trace, in turn."""
    environment = as_installed()
    ours = (sys.executable, "-m", "stallscope", "summary", str(found.path), "--format", "json")
    programs = {"stallscope": ours, "json.load": (sys.executable, "-c", JSON_LOAD, str(found.path))}
    for name, code in (("HTA", HTA), ("tb", TB)):
        programs[name] = (str(python_of(name.lower())), "-c", code, str(found.path))
    for number in range(ROUNDS if found.megabytes < LARGE else ROUNDS_LARGE):
        chosen = {w: c for w, c in programs.items() if number == 0 or found.megabytes < ONCE or w not in ("HTA", "tb")}
        found.rounds.append(
            {
                who: process_cost(*command, environment=environment if who == "stallscope" else None)
                for who, command in chosen.items()
            }
        )
        sys.stderr.write(f"{found.name}, round {number + 1}\n")
    return found


def row(found: Subject) -> Row:
    """One line: our CPU time, speed and peak; the others as multiples of it."""
    ours = found.median("stallscope")
    if ours is None:
        return Row(found.name, "failed")
    told = [f"{ours.cpu_s:.2f} s, {found.megabytes / ours.cpu_s:.0f} MB/s, {(ours.peak_bytes or 0) / 1e6:.0f} MB"]
    for who in ("json.load", "HTA", "tb"):
        times = found.times(who)
        told.append(f"{who} {times[0]:.1f}x CPU, {times[1]:.1f}x memory" if times else f"{who} fails")
    return Row(f"{found.name} ({found.megabytes:.1f} MB, {found.events} complete events)", "; ".join(told))


def goals(subjects: dict[str, Subject]) -> list[Row]:
    """Every goal that what was measured can tell, and whether it is met."""
    rows = [goal for found in subjects.values() for goal in goals_of(found)]
    for kind in TEMPLATES:
        half, whole = subjects.get(f"{kind} 500 MB"), subjects.get(f"{kind} 1000 MB")
        costs = [found.median("stallscope") for found in (half, whole) if found]
        if half and whole and all(costs):
            growth = costs[1].cpu_s / costs[0].cpu_s * 2 * half.megabytes / whole.megabytes
            rows.append(goal(f"{kind}: CPU of twice the file <= 2.2x", growth, "x", met=growth <= 2.2))
    return rows


def goals_of(found: Subject) -> list[Row]:
    """The goals for one trace."""
    ours, json_load, hta = found.median("stallscope"), found.times("json.load"), found.times("HTA")
    if ours is None or json_load is None:
        return []
    size, stacks, speed = found.megabytes, "stacks" in found.name, found.megabytes / ours.cpu_s
    peak, most = (ours.peak_bytes or 0) / 1e6, 60 + 230e-6 * found.events
    rows = [goal(f"{found.name}: peak <= 60 MB + 230 B an event ({most:.0f} MB)", peak, " MB", met=peak <= most)]
    if size < 1:
        rows.append(goal(f"{found.name}: <= 0.3 s CPU", ours.cpu_s, " s", met=ours.cpu_s <= 0.3))
    if size >= 30:
        least = 2.0 if size >= 450 else 1.0
        rows.append(goal(f"{found.name}: json.load >= {least:g}x CPU", json_load[0], "x", met=json_load[0] >= least))
    if 450 <= size < 900:
        least, fast = (7, 105) if stacks else (10, 140)
        reference = REFERENCE_JSON_LOAD["stacks" if stacks else "plain"] * json_load[0]
        what = f"{found.name}: >= {fast} MB/s on a machine whose json.load is as fast as the reference's"
        rows.append(goal(f"{what} (here {speed:.0f})", reference, " MB/s", met=reference >= fast))
        if hta:
            rows.append(goal(f"{found.name}: HTA >= {least}x CPU", hta[0], "x", met=hta[0] >= least))
    return rows


def goal(what: str, value: float, unit: str, *, met: bool) -> Row:
    """One goal."""
    return Row(f"goal: {what}", f"{value:.3g}{unit}: {'met' if met else 'MISSED'}")
