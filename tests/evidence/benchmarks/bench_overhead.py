"""What ``stallscope profile`` costs the training: each kind of window, and everything after the last recording.

Each row is a ratio within one run of the benchmark; bare, profiled and torch-profiled processes take turns.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stallscope.profiling.record.plan import AFTER_STEPS
from stallscope.traces.model.manifest import Manifest, Window
from tests.evidence.benchmarks.measure import ROOT, Row

ROUNDS = 9
STEPS = AFTER_STEPS + 6000  # enough to see beyond the window that is sampled after the recordings
OURS = ("-m", "stallscope", "profile", "--no-summary")
LATE = 3000  # the last steps, in which nothing is sampled any more
TURN = 50
RECORDED = 400  # a window of 50 is over in 15 ms: whatever else the machine does then would be all of it

# The network and the data size of the Iris workload; the script times each of its steps itself. Given "torch", it
# records RECORDED of them with torch's own profiler, at about the place where our full timing window is. Given "turns",
# it takes our optimizer hooks out of torch's tables for TURN steps, puts them in for TURN, and so on, once the
# recordings are through: what they cost within one process, however the machine changes from run to run.
SCRIPT = f"""
import json, sys, time, torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
x, y = torch.rand(120, 4), torch.randint(0, 3, (120,))
losses, marks, theirs, count = [], [], None, {STEPS}
if sys.argv[1:] == ["torch"]:
    from torch.profiler import ProfilerActivity, profile, schedule
    when = schedule(wait=1500, warmup=3, active={RECORDED}, repeat=1)
    theirs, count = profile(activities=[ProfilerActivity.CPU], schedule=when), {1600 + RECORDED}
    theirs.start()
hidden = sys.modules["torch.optim.optimizer"]
hooks = hidden._global_optimizer_pre_hooks, hidden._global_optimizer_post_hooks
kept = [{{}}, {{}}]
for step in range(count):
    if sys.argv[1:] == ["turns"] and step >= 1500 and step % {TURN} == 0:
        for table, out in zip(hooks, kept):
            now = dict(table)
            table.clear(); table.update(out); out.clear(); out.update(now)
    marks.append(time.perf_counter_ns())
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if theirs: theirs.step()
marks.append(time.perf_counter_ns())
if theirs: theirs.stop()
print(json.dumps(marks))
"""


@dataclass(frozen=True, slots=True)
class Round:
    """The ns of a step of the bare script, under ``torch.profiler``, in each of our windows, and after them.

    The lower quartile of the single steps: whatever else runs on the machine only ever makes them longer. ``early``:
    of the same steps of the bare script as those of the unprofiled window.
    """

    bare: float
    early: float
    torch: float
    unprofiled: float
    timing: float
    attribution: float
    sampled: float
    late: float
    hooked_sampled: float  # hooks in ÷ hooks out, in turn
    hooked_late: float


def run() -> list[Row]:
    """Ratios within each round, the goals beside them."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(SCRIPT, encoding="utf-8")
        rounds = [_round(script) for _ in range(ROUNDS)]
    bare = statistics.median(each.bare for each in rounds)
    return [
        Row("bare step", f"{bare / 1e3:.1f} µs"),
        Row("unprofiled window ÷ bare", _spread([each.unprofiled / each.early for each in rounds], goal=1.02)),
        Row("timing window ÷ bare torch.profiler", _spread([each.timing / each.torch for each in rounds], goal=1.10)),
        Row("bare torch.profiler ÷ bare", _spread([each.torch / each.bare for each in rounds])),
        Row("attribution window ÷ unprofiled", _spread([each.attribution / each.unprofiled for each in rounds])),
        Row("after the recordings, sampled ÷ bare", _spread([each.sampled / each.bare for each in rounds], goal=1.08)),
        Row("optimizer hooks in ÷ out, in turn, sampled", _spread([each.hooked_sampled for each in rounds], goal=1.02)),
        Row("optimizer hooks in ÷ out, in turn, at last", _spread([each.hooked_late for each in rounds], goal=1.08)),
        Row("after the last window ÷ bare", _spread([each.late / each.bare for each in rounds], goal=1.08)),
    ]


def _spread(ratios: list[float], goal: float | None = None) -> str:
    wanted = "" if goal is None else f"; goal: at most {goal}"
    middle = statistics.median(ratios)
    return f"{middle:.3f} ({min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} rounds{wanted})"


def _round(script: Path) -> Round:
    bare = _run([str(script)], script.parent)
    theirs = _run([str(script), "torch"], script.parent)
    ours = _run([*OURS, "--steps", str(RECORDED), str(script)], script.parent)
    turns = _run(
        ["-m", "stallscope", "profile", "--no-summary", "--name", "turns", str(script), "turns"], script.parent
    )
    newest = max((script.parent / "runs").glob("train*"), key=lambda folder: folder.stat().st_mtime_ns)
    manifest = msgspec.json.decode((newest / "stallscope.json").read_bytes(), type=Manifest)
    windows = {(each.kind, each.round): each for each in manifest.windows}
    unprofiled = windows["unprofiled", "full"]
    return Round(
        bare=_quartile(bare[-LATE:]),
        early=_quartile(bare[unprofiled.first_step : unprofiled.first_step + unprofiled.steps]),
        torch=_quartile(theirs[1503 : 1503 + RECORDED - 1]),  # without the one that its end makes longer
        unprofiled=_step(unprofiled),
        timing=_step(windows["timing", "full"]),
        attribution=_step(windows["attribution", "full"]),
        sampled=_step(windows["unprofiled", "after"]),
        late=_quartile(ours[-LATE:]),
        hooked_sampled=_in_turn(turns, 1500 + 4 * TURN, 1000 + AFTER_STEPS // 2),
        hooked_late=_in_turn(turns, STEPS - LATE, STEPS),
    )


def _in_turn(steps: list[int], start: int, end: int) -> float:
    """Hooks are out first, from step 1500 on."""
    sides: tuple[list[int], list[int]] = ([], [])
    for number in range(start, end):
        if number % TURN:  # the first step of a turn holds the change itself
            sides[(number - 1500) // TURN % 2].append(steps[number])
    out, hooked = map(_quartile, sides)
    return hooked / out


def _step(window: Window) -> float:
    return _quartile(window.samples_ns)


def _quartile(steps: list[int]) -> float:
    return statistics.quantiles(steps, n=4)[0]


def _run(argv: list[str], folder: Path) -> list[int]:
    """The ns of each step of a run."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *argv], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    marks: list[int] = json.loads(done.stdout)
    return [later - earlier for earlier, later in itertools.pairwise(marks)]
